//! Reads the input of a command: a file, or standard input if its name is `-`.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::failure::Failure;

/// Returns whether a path means standard input or output.
pub fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Returns the name of an input for messages.
pub fn name(path: &Path) -> String {
    if is_standard(path) { "standard input".into() } else { path.display().to_string() }
}

/// Reads a whole file, or all of standard input.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    if is_standard(path) {
        standard_input()
    } else {
        fs::read(path).map_err(|error| Failure::file(path, "read", &error))
    }
}

/// Reads all of standard input.
pub fn standard_input() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map_err(|error| {
        Failure::Refused(format!("standard input could not be read: {error}"))
            .advise("Give the command some.")
    })?;
    Ok(bytes)
}
