//! Renders one template to a file or to standard output.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use larder::{Reads, Store, View};

use crate::arguments::{Place, Render};
use crate::failure::Failure;
use crate::opening::{incomplete, left_out};
use crate::output::{Form, Output};
use crate::replace_file::{has_content, replace_file};
use crate::source;

/// A template, its output, and what the last rendering read.
pub struct Rendering<'a> {
    command: &'a Render,
    /// The template from standard input, which can be read only once. A template file is read for each rendering.
    given: Option<String>,
    /// The last rendering written to standard output.
    printed: Option<String>,
    /// What the last rendering read; after a failure, also what the renderings before it read.
    reads: Reads,
}

impl<'a> Rendering<'a> {
    pub fn of(command: &'a Render) -> Result<Self, Failure> {
        let given = source::is_standard(&command.template).then(|| read(&command.template)).transpose()?;
        Ok(Self { command, given, printed: None, reads: Reads::default() })
    }

    /// Returns what the last rendering depends on.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Returns how long to wait until nothing changes any more.
    pub fn debounce(&self) -> Duration {
        self.command.debounce
    }

    /// Renders a view of a store, and returns whether the output changed. Unchanged output is not written again.
    pub fn render(
        &mut self,
        view: &View,
        store: &Store,
        place: &Place,
        output: &mut Output,
    ) -> Result<bool, Failure> {
        let template = match &self.given {
            Some(given) => Cow::Borrowed(given.as_str()),
            None => Cow::Owned(read(&self.command.template)?),
        };
        let mut reads = Reads::default();
        let before = left_out(store)?;
        let rendered = view.render_recording(&template, &self.command.group, self.command.strict, &mut reads);
        match &rendered {
            Ok(_) => self.reads = reads,
            Err(_) => self.reads.extend(reads),
        }
        let rendered = rendered?;
        if left_out(store)? != before {
            return Err(incomplete(&place.store).advise(
                "Nothing was put out, because a template shows as empty what is missing. `larder check` names what \
                 was left out, and `larder check --repair --delete-unreadable` deletes it.",
            ));
        }
        if let Some(path) = self.command.output_file() {
            if has_content(path, rendered.as_bytes()) {
                return Ok(false);
            }
            replace_file(path, output, |file| Ok(file.write_all(rendered.as_bytes())?))?;
            return Ok(true);
        }
        if self.printed.as_ref() == Some(&rendered) {
            return Ok(false);
        }
        match output.form() {
            Form::Json => output.json(&rendered)?,
            _ => output.raw(rendered.as_bytes())?,
        }
        output.flush()?;
        self.printed = Some(rendered);
        Ok(true)
    }
}

/// More than larder takes as a template. What is longer, such as a device that never ends, is not read further.
const BYTES_MAX: u64 = 1 << 20;

fn read(template: &Path) -> Result<String, Failure> {
    let bytes = source::read_at_most(template, BYTES_MAX)?;
    let name = source::name(template);
    if bytes.len() as u64 == BYTES_MAX {
        let reason = format!("{name} is too long for a template, which has at most 256 KiB");
        return Err(Failure::Refused(reason).advise("Shorten it."));
    }
    String::from_utf8(bytes).map_err(|_| {
        Failure::Refused(format!("{name} is not UTF-8, so it is no template")).advise("Convert it.")
    })
}
