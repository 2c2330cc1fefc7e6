//! Renders one template to a file or to standard output.

use std::borrow::Cow;
use std::path::Path;

use larder::{Reads, View};

use crate::arguments::Render;
use crate::failure::Failure;
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

    /// Renders, and returns whether the output changed. Unchanged output is not written again.
    pub fn render(&mut self, view: &View, output: &mut Output) -> Result<bool, Failure> {
        let template = match &self.given {
            Some(given) => Cow::Borrowed(given.as_str()),
            None => Cow::Owned(read(&self.command.template)?),
        };
        let mut reads = Reads::default();
        let rendered = view.render_recording(&template, &self.command.group, self.command.strict, &mut reads);
        match &rendered {
            Ok(_) => self.reads = reads,
            Err(_) => self.reads.extend(reads),
        }
        let rendered = rendered?;
        if let Some(path) = self.command.output_file() {
            if has_content(path, rendered.as_bytes()) {
                return Ok(false);
            }
            replace_file(path, |file| Ok(file.write_all(rendered.as_bytes())?))?;
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

fn read(template: &Path) -> Result<String, Failure> {
    String::from_utf8(source::read(template)?).map_err(|_| {
        let name = source::name(template);
        Failure::Refused(format!("{name} is not UTF-8, so it is no template")).advise("Convert it.")
    })
}
