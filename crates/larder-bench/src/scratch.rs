//! Where the stores lie while they are timed, and nothing of them afterwards: they have gigabytes.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::{fs, io};

use tempfile::TempDir;

use crate::Outcome;

/// The one folder that holds all others, for whoever has to clear them away in a hurry.
static ROOT: OnceLock<PathBuf> = OnceLock::new();

/// Makes the folder for this run. It is gone when what is returned is dropped, or the run interrupted.
pub fn prepare() -> Outcome<TempDir> {
    let root = tempfile::Builder::new().prefix("larder-bench-").tempdir()?;
    ROOT.get_or_init(|| root.path().to_owned());
    ctrlc::set_handler(|| {
        if let Some(root) = ROOT.get() {
            // What cannot be cleared away now stays; there is nobody left to tell.
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
