//! Which process holds a store's lock, for the message of `Error::Busy`.

use std::path::Path;

#[cfg(target_os = "linux")]
use super::beside::beside;

/// The process that holds SQLite's write lock on a file in WAL mode, where the system tells. The lock is a byte
/// range of the `-shm` file. On Linux `/proc/locks` lists such locks with their owners. (Asking with `fcntl`
/// would mean to open the file, and closing it again would drop the locks that this process holds on it.)
#[cfg(target_os = "linux")]
pub(super) fn find(file: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;

    /// SQLite's WAL_WRITE_LOCK: byte 120 of the `-shm` file.
    const WRITE_LOCK: u64 = 120;

    /// The kernel returns the list a page at a time and loses its position when locks come and go in
    /// between, so one look may miss a lock that is held all along.
    const LOOKS: usize = 5;

    let inode = std::fs::metadata(beside(file, "-shm")).ok()?.ino().to_string();
    // 1: POSIX  ADVISORY  WRITE 4321 fe:00:131073 120 120
    let holder = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "POSIX", _, "WRITE", process, of, first, last] = fields[..] else { return None };
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().unwrap_or(u64::MAX));
        let ours = of.rsplit(':').next() == Some(inode.as_str()) && (first..=last).contains(&WRITE_LOCK);
        ours.then(|| process.parse().ok())?
    };
    (0..LOOKS).find_map(|_| std::fs::read_to_string("/proc/locks").ok()?.lines().find_map(holder))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn find(_file: &Path) -> Option<u32> {
    None
}
