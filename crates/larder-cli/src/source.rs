//! What a command is given to read: a file, or standard input where its name is `-`.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::failure::Failure;

/// Whether a path stands for standard input or output.
pub fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// How a message calls a file.
pub fn name(path: &Path) -> String {
    if is_standard(path) { "standard input".into() } else { path.display().to_string() }
}

/// All of a file, or of standard input.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    if is_standard(path) {
        standard_input()
    } else {
        fs::read(path).map_err(|error| Failure::file(path, "read", &error))
    }
}

/// All of standard input.
pub fn standard_input() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map_err(|error| {
        Failure::Refused(format!("standard input could not be read: {error}"))
            .advise("Give the command some.")
    })?;
    Ok(bytes)
}
