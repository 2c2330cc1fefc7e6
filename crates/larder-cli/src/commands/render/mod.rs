//! `larder render`: renders a template, once or after each change.

mod debounce;
mod exec;
mod rendering;

use larder::{ErrorKind, Pattern, Revision, Watcher};

use super::interrupt::{at_termination, close_at_ctrl_c};
use super::watchdog::Watchdog;
use crate::arguments::{Place, Render};
use crate::failure::Failure;
use crate::opening::{Opened, within};
use crate::output::Output;
use exec::ExecCommand;
use rendering::Rendering;

pub fn run(command: &Render, place: &Place, output: &mut Output) -> Result<(), Failure> {
    if command.exec.is_some() && command.output_file().is_none() {
        return Err(Failure::Usage("--exec runs when a file was replaced, and none is named".into())
            .advise("Name one with --output FILE."));
    }
    for file in [Some(command.template.as_path()), command.output_file()].into_iter().flatten() {
        place.refuse_own_file(file)?;
    }
    let rendering = Rendering::of(command)?;
    let exec = ExecCommand::of(command);
    if command.watch {
        let opened = place.watching()?;
        // Watch before the first rendering, so that no change is lost in between. Watch everything, because
        // what a template reads is known only after rendering, and may differ each time.
        let watcher = within!(opened, store => store.watch(Pattern::all()))?;
        let closing = opened.whole.clone();
        let watchdog = Watchdog::of_feed(&opened.whole, command.fail_after, move || drop(closing.close()))?;
        return match watch(rendering, &exec, &opened, &watcher, place, output) {
            // Ctrl-C closed the store, or the watchdog.
            Err(failure) if failure.kind() == ErrorKind::Closed => watchdog.verdict(),
            Err(failure) => Err(failure),
            Ok(()) => watchdog.verdict(),
        };
    }
    if !once(rendering, place, output)? {
        return Ok(());
    }
    let ending = exec.clone();
    at_termination(move || ending.end())?;
    exec.run()
}

/// Renders once. The store is closed when this returns, so the `--exec` command does not keep it open.
fn once(mut rendering: Rendering<'_>, place: &Place, output: &mut Output) -> Result<bool, Failure> {
    let opened = place.reading()?;
    rendering.render(&*opened.snapshot()?, &opened.whole, place, output)
}

fn watch(
    mut rendering: Rendering<'_>,
    exec: &ExecCommand,
    opened: &Opened,
    watcher: &Watcher,
    place: &Place,
    output: &mut Output,
) -> Result<(), Failure> {
    close_at_ctrl_c(&opened.whole)?;
    let (store, ending) = (opened.whole.clone(), exec.clone());
    at_termination(move || {
        ending.end();
        let _ = store.close();
    })?;
    let mut shown = render_and_exec(&mut rendering, exec, opened, place, output)?;
    while debounce::wait_for_change(watcher, shown, rendering.reads(), rendering.debounce())? {
        match render_and_exec(&mut rendering, exec, opened, place, output) {
            Ok(revision) => shown = revision,
            // The next change may fix it. Until then the last good rendering stays.
            Err(failure) if failure.kind() == ErrorKind::Refused => output.report(&failure),
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// Renders the current entries, runs the `--exec` command if the output changed, and returns the rendered
/// revision.
fn render_and_exec(
    rendering: &mut Rendering<'_>,
    exec: &ExecCommand,
    opened: &Opened,
    place: &Place,
    output: &mut Output,
) -> Result<Revision, Failure> {
    let snapshot = opened.snapshot()?;
    let revision = snapshot.revision()?;
    let changed = rendering.render(&snapshot, &opened.whole, place, output)?;
    // An open snapshot would block checkpoints of the write-ahead log while the command runs.
    drop(snapshot);
    if changed && let Err(failure) = exec.run() {
        output.report(&failure);
    }
    Ok(revision)
}
