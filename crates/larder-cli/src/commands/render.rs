//! `larder render`

use larder::{Pattern, View};

use super::interrupt::close_at_ctrl_c;
use super::watch::for_each_event;
use crate::arguments::{Place, Render};
use crate::failure::Failure;
use crate::opening::within;
use crate::output::{Form, Output, complain};
use crate::replace_file::replace_file;
use crate::source;

pub fn run(command: &Render, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let name = source::name(&command.template);
    let template = String::from_utf8(source::read(&command.template)?)
        .map_err(|_| Failure::Refused(format!("{name} is not UTF-8, so it is no template; convert it")))?;
    if !command.watch {
        return render(command, &template, &*place.reading()?.snapshot()?, output);
    }
    let opened = place.watching()?;
    // Watched before it is rendered for the first time, so that no change falls in between.
    let watcher = within!(opened, store => store.watch(Pattern::group(&command.group)))?;
    close_at_ctrl_c(&opened.whole)?;
    render(command, &template, &*opened.snapshot()?, output)?;
    for_each_event(&watcher, |_| {
        // Changes that have come by now need one rendering between them.
        while let Ok(Some(_)) = watcher.try_recv() {}
        match opened.snapshot().and_then(|snapshot| render(command, &template, &snapshot, output)) {
            // The next change may put it right; until then the last good rendering stands.
            Err(Failure::Store(error @ larder::Error::Template { .. })) => {
                complain("error", &error.to_string());
                Ok(())
            }
            // Ctrl-C came meanwhile.
            Err(Failure::Store(larder::Error::Closed)) => Ok(()),
            done => done,
        }
    })
}

fn render(command: &Render, template: &str, view: &View, output: &mut Output) -> Result<(), Failure> {
    let rendered = if command.strict {
        view.render_strict(template, &command.group)?
    } else {
        view.render(template, &command.group)?
    };
    match &command.output {
        Some(path) if !source::is_standard(path) => {
            return replace_file(path, |file| Ok(file.write_all(rendered.as_bytes())?));
        }
        _ if output.form() == Form::Json => output.json(&rendered)?,
        _ => output.raw(rendered.as_bytes())?,
    }
    output.flush()
}
