//! `larder render`

mod follow_up;
mod quiet;
mod rendering;

use larder::{ErrorKind, Pattern, Revision};

use super::interrupt::{at_termination, close_at_ctrl_c};
use crate::arguments::{Place, Render};
use crate::failure::Failure;
use crate::opening::{Opened, within};
use crate::output::Output;
use follow_up::FollowUp;
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
    let follow_up = FollowUp::of(command);
    if command.watch {
        return match watch(command, rendering, &follow_up, &place.watching()?, output) {
            // Ctrl-C came.
            Err(failure) if failure.kind() == ErrorKind::Closed => Ok(()),
            ended => ended,
        };
    }
    if !once(rendering, place, output)? {
        return Ok(());
    }
    let ending = follow_up.clone();
    at_termination(move || ending.end())?;
    follow_up.run()
}

/// The store is closed again when this returns, however long the command takes that follows.
fn once(mut rendering: Rendering<'_>, place: &Place, output: &mut Output) -> Result<bool, Failure> {
    rendering.render(&*place.reading()?.snapshot()?, output)
}

fn watch(
    command: &Render,
    mut rendering: Rendering<'_>,
    follow_up: &FollowUp,
    opened: &Opened,
    output: &mut Output,
) -> Result<(), Failure> {
    // Watched before it is rendered for the first time, so that no change falls in between. Everything is:
    // what a template reads is known when it has been rendered, and may be something else each time.
    let watcher = within!(opened, store => store.watch(Pattern::all()))?;
    close_at_ctrl_c(&opened.whole)?;
    let (store, ending) = (opened.whole.clone(), follow_up.clone());
    at_termination(move || {
        ending.end();
        let _ = store.close();
    })?;
    let mut shown = render_and_follow_up(&mut rendering, follow_up, opened, output)?;
    while quiet::after_a_change(&watcher, shown, rendering.reads(), command.debounce)? {
        match render_and_follow_up(&mut rendering, follow_up, opened, output) {
            Ok(revision) => shown = revision,
            // The next change may put it right; until then the last good rendering stands.
            Err(failure) if failure.kind() == ErrorKind::Refused => output.report(&failure),
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// Renders what is there now, runs the command if that has changed the output, and gives the revision
/// that was rendered.
fn render_and_follow_up(
    rendering: &mut Rendering<'_>,
    follow_up: &FollowUp,
    opened: &Opened,
    output: &mut Output,
) -> Result<Revision, Failure> {
    let snapshot = opened.snapshot()?;
    let revision = snapshot.revision()?;
    let changed = rendering.render(&snapshot, output)?;
    // A command that takes its time must not keep the write-ahead log from being folded back.
    drop(snapshot);
    if changed && let Err(failure) = follow_up.run() {
        output.report(&failure);
    }
    Ok(revision)
}
