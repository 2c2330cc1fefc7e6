//! Asks for confirmation before something is lost.

use std::io::{self, IsTerminal, Write};

use crate::failure::Failure;
use crate::text;

/// Asks for confirmation on a terminal. A script is not asked.
pub fn confirm(question: &str) -> Result<(), Failure> {
    confirm_or(question, "nothing was deleted")
}

/// As [`confirm`], with what to say if the answer is no.
pub fn confirm_or(question: &str, otherwise: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(());
    }
    let mut error = io::stderr().lock();
    let _ = write!(error, "{} [y/N] ", text::one_line(question));
    let _ = error.flush();
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|cause| {
        Failure::Refused("the answer could not be read".into())
            .because(&cause)
            .advise("Give --yes to go without.")
    })?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(Failure::NotFound(otherwise.into()))
    }
}
