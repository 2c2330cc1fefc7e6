//! The folder of the timed stores. They have gigabytes, so it is deleted even if the run is interrupted.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::{fs, io};

use tempfile::TempDir;

use crate::Outcome;

/// The folder that contains all others, for the interrupt handler.
static ROOT: OnceLock<PathBuf> = OnceLock::new();

/// Makes the folder of this run. It is deleted when the returned value is dropped, or when the run is
/// interrupted.
pub fn prepare() -> Outcome<TempDir> {
    let root = tempfile::Builder::new().prefix("larder-bench-").tempdir()?;
    ROOT.get_or_init(|| root.path().to_owned());
    ctrlc::set_handler(|| {
        if let Some(root) = ROOT.get() {
            // The process ends now, so there is no way to report a failure.
            let _ = fs::remove_dir_all(root);
        }
        std::process::exit(130);
    })?;
    Ok(root)
}

/// A folder for the stores of one workload.
pub fn folder() -> io::Result<TempDir> {
    match ROOT.get() {
        Some(root) => tempfile::tempdir_in(root),
        None => tempfile::tempdir(),
    }
}
