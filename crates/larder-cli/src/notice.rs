//! What is said on standard error: that something has failed, or a warning. A person gets lines, a program with `--json`
//! one object, both with the same parts.

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{Tone, colour_wanted, tint};
use crate::text;

/// Something to say on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What a line of text begins with.
    label: &'static str,
    /// What a program tells it by.
    kind: &'static str,
    message: String,
    causes: Vec<String>,
    advice: Option<String>,
}

impl Notice {
    /// A warning: the command has done what it was asked, and somebody should know this about it.
    pub fn warning(message: impl Into<String>) -> Self {
        let (label, kind) = ("warning", "warning");
        Self { label, kind, message: message.into(), causes: Vec::new(), advice: None }
    }

    /// Something that was logged, of this kind.
    pub fn logged(kind: &'static str, message: String) -> Self {
        Self { label: kind, kind, message, causes: Vec::new(), advice: None }
    }

    /// Adds what caused it, in the words of the cause.
    pub fn because(mut self, cause: impl ToString) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    /// Adds what to do about it, in the imperative.
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Returns the lines for a person: the label, its colour, and the text.
    pub fn lines(&self) -> Vec<(&'static str, Tone, String)> {
        let mut lines = vec![(self.label, Tone::Bad, text::one_line(&self.message))];
        lines.extend(self.causes.iter().map(|cause| ("caused by", Tone::Faint, text::one_line(cause))));
        lines.extend(self.advice.iter().map(|advice| ("advice", Tone::Name, text::one_line(advice))));
        lines
    }

    fn json(&self) -> Value {
        json!({
            "kind": self.kind, "message": self.message, "caused_by": self.causes, "advice": self.advice,
        })
    }

    /// Says it. A failure to do so must not end the command.
    pub fn say(&self, as_json: bool) {
        let mut error = io::stderr().lock();
        let mut said = String::new();
        if as_json {
            said = self.json().to_string();
            said.push('\n');
        } else {
            let colour = error.is_terminal() && colour_wanted();
            for (label, tone, words) in self.lines() {
                let label = if colour { tint(tone, label) } else { label.to_owned() };
                said += &format!("{label}: {words}\n");
            }
        }
        // One write, so that other writers cannot get in between.
        let _ = error.write_all(said.as_bytes());
    }
}

impl From<&Failure> for Notice {
    fn from(failure: &Failure) -> Self {
        Self {
            label: "error",
            kind: failure.kind().as_str(),
            message: failure.message(),
            causes: failure.causes(),
            advice: failure.advice(),
        }
    }
}
