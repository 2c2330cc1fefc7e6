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

/// Reads a whole text file, or all of standard input, of up to so many bytes.
///
/// It stops after a NUL, which no format has: its parser refuses it. So a device that returns zeros for ever is refused at
/// once.
pub fn read_text(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: io::Error| match is_standard(path) {
        true => unreadable_input(&error),
        false => Failure::file(path, "read", &error),
    };
    let input: Box<dyn Read> = match is_standard(path) {
        true => Box::new(io::stdin().lock()),
        false => Box::new(fs::File::open(path).map_err(unreadable)?),
    };
    let mut input = input.take(most.saturating_add(1));
    let (mut bytes, mut looked) = (Vec::new(), 0);
    while input.by_ref().take(CHUNK_BYTES).read_to_end(&mut bytes).map_err(unreadable)? > 0 {
        if let Some(nul) = bytes[looked..].iter().position(|byte| *byte == 0) {
            bytes.truncate(looked + nul + 1);
            break;
        }
        looked = bytes.len();
    }
    if bytes.len() as u64 > most {
        let reason = format!("{} has more than {most} bytes", name(path));
        return Err(Failure::Refused(reason).advise("Split it, or allow more with --max-bytes."));
    }
    Ok(bytes)
}

/// How much is read before it is looked at.
const CHUNK_BYTES: u64 = 1 << 20;

/// Reads no more than so many bytes of a file or of standard input, whatever there is.
pub fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    if is_standard(path) {
        io::stdin().lock().take(most).read_to_end(&mut bytes).map_err(|error| unreadable_input(&error))?;
    } else {
        let read = fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
        read.map_err(|error| Failure::file(path, "read", &error))?;
    }
    Ok(bytes)
}

/// Reads a value from standard input, of up to so many bytes.
pub fn standard_input(most: u64) -> Result<Vec<u8>, Failure> {
    let bytes = read_at_most(Path::new("-"), most.saturating_add(1))?;
    if bytes.len() as u64 > most {
        let reason = format!("standard input has more than the {most} bytes that a value may have");
        return Err(Failure::Refused(reason).advise("Store a part of it, or where it is."));
    }
    Ok(bytes)
}

fn unreadable_input(error: &io::Error) -> Failure {
    Failure::Refused("standard input could not be read".into())
        .because(error)
        .advise("Give the command some.")
}
