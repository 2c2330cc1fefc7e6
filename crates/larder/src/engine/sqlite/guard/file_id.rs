//! What tells a file from every other, whatever its name.

use std::fs::Metadata;
use std::io;
use std::path::Path;

/// The device and the inode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine::sqlite) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The file that a path leads to. `None` on systems that do not tell.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        std::fs::metadata(path).map(|found| Self::in_metadata(&found))
    }

    #[cfg(unix)]
    pub fn in_metadata(found: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        Some(Self { device: found.dev(), inode: found.ino() })
    }

    /// On Windows a file that is open can be neither deleted nor replaced, so nothing there asks for this.
    #[cfg(not(unix))]
    pub fn in_metadata(_found: &Metadata) -> Option<Self> {
        None
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl FileId {
    pub fn of_descriptor(file: &std::os::fd::OwnedFd) -> Option<Self> {
        #[allow(
            clippy::useless_conversion,
            clippy::unnecessary_cast,
            reason = "the types differ between systems"
        )]
        rustix::fs::fstat(file)
            .ok()
            .map(|found| Self { device: found.st_dev as u64, inode: found.st_ino as u64 })
    }
}
