//! Where the trials keep their files.

use std::io;
use std::path::Path;

/// A folder of its own, in memory where there is such a file system: that is the fastest.
pub fn folder() -> io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    builder.prefix("larder-torture-");
    if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() }
}
