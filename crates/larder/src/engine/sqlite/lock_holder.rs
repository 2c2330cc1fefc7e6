//! Which processes hold a store's locks, for the message of `Error::Busy` and for what stats say of readers.
//!
//! SQLite's locks are ranges of bytes of the `-shm` file, and of the database file. On Linux `/proc/locks` lists such
//! locks with their owners. (Asking with `fcntl` would mean to open the file, and closing it again would drop the
//! locks that this process holds on it.)

use std::path::Path;

#[cfg(target_os = "linux")]
use std::collections::BTreeSet;
#[cfg(any(target_os = "linux", test))]
use std::ops::RangeInclusive;

/// A lock, as the system lists it.
#[cfg(any(target_os = "linux", test))]
#[derive(Debug, PartialEq, Eq)]
struct Lock {
    process: u32,
    is_exclusive: bool,
    bytes: RangeInclusive<u64>,
}

/// The first byte of SQLite's locks in the `-shm` file: the write lock. Then follow those for checkpoints and for
/// recovery, and five for readers.
#[cfg(any(target_os = "linux", test))]
const WRITE_LOCK: u64 = 120;
#[cfg(target_os = "linux")]
const FIRST_READ_LOCK: u64 = 123;

/// The last of them: who opens the shared memory first holds it alone, while it clears the memory.
#[cfg(any(target_os = "linux", test))]
const OPENING_LOCK: u64 = 128;

/// The first byte of SQLite's locks in the database file: who closes the last connection, and who leaves WAL mode,
/// holds them alone.
#[cfg(any(target_os = "linux", test))]
const FILE_LOCKS: u64 = 0x4000_0000;

/// Reads a line such as `1: POSIX  ADVISORY  WRITE 4321 fe:00:131073 120 120`, if it is of this file.
#[cfg(any(target_os = "linux", test))]
fn parse(line: &str, inode: u64) -> Option<Lock> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, "POSIX", _, kind, process, of, first, last] = fields[..] else { return None };
    let bytes = first.parse().ok()?..=last.parse().unwrap_or(u64::MAX);
    let is_ours = of.rsplit(':').next()?.parse::<u64>().ok()? == inode;
    // 0: a process of another container.
    let process = process.parse().unwrap_or_default();
    is_ours.then_some(Lock { process, is_exclusive: kind == "WRITE", bytes })
}

/// Which process holds up the others, by the locks of the `-shm` file and those of the database file.
#[cfg(any(target_os = "linux", test))]
fn holder(shared: &[Lock], file: &[Lock]) -> Option<u32> {
    let held = |byte| shared.iter().find(move |lock| lock.is_exclusive && lock.bytes.contains(&byte));
    (WRITE_LOCK..=OPENING_LOCK)
        .find_map(held)
        .or_else(|| file.iter().find(|lock| lock.is_exclusive && *lock.bytes.end() >= FILE_LOCKS))
        .map(|lock| lock.process)
        .filter(|process| *process > 0)
}

#[cfg(target_os = "linux")]
fn locks(inode: Option<u64>) -> Vec<Lock> {
    let Some(inode) = inode else { return Vec::new() };
    let list = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    list.lines().filter_map(|line| parse(line, inode)).collect()
}

#[cfg(target_os = "linux")]
fn inode(file: &Path) -> Option<u64> {
    Some(std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(file).ok()?))
}

/// The kernel returns the list a page at a time and loses its position when locks come and go in
/// between, so one look may miss a lock that is held all along.
#[cfg(target_os = "linux")]
const LOOKS: usize = 5;

/// The process that holds the lock which others wait for: usually the write lock.
#[cfg(target_os = "linux")]
pub(super) fn find(file: &Path) -> Option<u32> {
    use super::beside::beside;

    let (shared, database) = (inode(&beside(file, "-shm")), inode(file));
    (0..LOOKS).find_map(|_| holder(&locks(shared), &locks(database)))
}

/// A process that has a database open, where the system tells: whoever has, holds locks on it.
#[cfg(target_os = "linux")]
pub(super) fn user(file: &Path) -> Option<u32> {
    let is_known = |process: &u32| *process > 0;
    (0..LOOKS).find_map(|_| locks(inode(file)).into_iter().map(|lock| lock.process).find(is_known))
}

/// Which of the five locks for readers are held, and by which processes. `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub(super) fn readers(file: &Path) -> Option<Vec<(usize, u32)>> {
    let shared = inode(&super::beside::beside(file, "-shm"));
    let of_lock = |lock: Lock| {
        let bytes = FIRST_READ_LOCK.max(*lock.bytes.start())..=(OPENING_LOCK - 1).min(*lock.bytes.end());
        let numbers = bytes.map(|byte| (byte - FIRST_READ_LOCK) as usize);
        numbers.map(move |number| (number, lock.process)).collect::<Vec<_>>()
    };
    let look = |_| locks(shared).into_iter().filter(|lock| !lock.is_exclusive).flat_map(of_lock);
    // What any look has shown: a reader that stays is missing in one of them at most now and then.
    let seen: BTreeSet<(usize, u32)> = (0..LOOKS).flat_map(look).collect();
    Some(seen.into_iter().collect())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn find(_file: &Path) -> Option<u32> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(super) fn user(_file: &Path) -> Option<u32> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(super) fn readers(_file: &Path) -> Option<Vec<(usize, u32)>> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_writes_recovers_opens_or_closes_is_the_one_that_others_wait_for() {
        let lines = |lines: &[&str]| lines.iter().filter_map(|line| parse(line, 77)).collect::<Vec<_>>();
        let reads = "1: POSIX  ADVISORY  READ  11 fe:00:77 123 123";
        for (line, process) in [
            ("2: POSIX  ADVISORY  WRITE 12 fe:00:77 120 120", 12),
            ("3: POSIX  ADVISORY  WRITE 13 fe:00:77 121 122", 13),
            ("4: POSIX  ADVISORY  WRITE 14 fe:00:77 124 127", 14),
            ("5: POSIX  ADVISORY  WRITE 15 fe:00:77 128 128", 15),
            ("5: POSIX  ADVISORY  WRITE 16 fe:00:77 0 EOF", 16),
        ] {
            assert_eq!(holder(&lines(&[reads, line]), &[]), Some(process), "{line}");
        }
        let closes = lines(&["6: POSIX  ADVISORY  WRITE 17 fe:00:77 1073741824 1073742335"]);
        assert_eq!(holder(&lines(&[reads]), &closes), Some(17));
        for line in [
            reads,
            "7: FLOCK  ADVISORY  WRITE 18 fe:00:77 0 EOF",
            "8: POSIX ADVISORY WRITE 19 fe:00:78 120 120",
        ] {
            assert_eq!(holder(&lines(&[line]), &lines(&[line])), None, "{line}");
        }
    }
}
