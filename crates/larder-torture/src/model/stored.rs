//! Sequences in files: each line is one in hexadecimal digits, and what follows `#` is a comment.

use std::io;
use std::path::Path;

/// Reads the sequences of a file, or of all files of a folder.
///
/// # Errors
/// If a file cannot be read, or a line is something else.
pub fn stored(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    if !path.is_dir() {
        return std::fs::read_to_string(path)?.lines().filter_map(line).collect();
    }
    let mut files: Vec<_> =
        std::fs::read_dir(path)?.map(|file| Ok(file?.path())).collect::<io::Result<_>>()?;
    files.sort_unstable();
    let mut all = Vec::new();
    for file in files {
        all.extend(stored(&file)?);
    }
    Ok(all)
}

fn line(line: &str) -> Option<io::Result<Vec<u8>>> {
    let digits = line.split('#').next().unwrap_or_default().trim();
    if digits.is_empty() {
        return None;
    }
    let bytes = (0..digits.len()).step_by(2).map(|at| {
        let byte = digits.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
        byte.ok_or_else(|| io::Error::other(format!("not hexadecimal digits: {digits}")))
    });
    Some(bytes.collect())
}
