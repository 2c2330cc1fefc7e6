//! Progress bars of long commands, drawn on standard error if that is a terminal.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

/// Creates a bar of `steps` steps.
pub fn bar(doing: &'static str, steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps).with_message(doing);
    let template = "{msg} [{bar:30}] {human_pos} of {human_len} ({rate}, {eta} left)";
    if let Ok(style) = ProgressStyle::with_template(template) {
        let rate = |state: &ProgressState, out: &mut dyn Write| {
            let _ = write!(out, "{}/s", HumanCount(state.per_sec() as u64));
        };
        bar.set_style(style.with_key("rate", rate).progress_chars("=> "));
    }
    bar
}

/// Creates a spinner for a step of unknown length.
pub fn spinner(doing: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(doing);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
