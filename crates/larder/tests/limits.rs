//! Real limits of the system: on the size of files, on open files, and on a disk. Writes are refused whole, nothing that
//! was acknowledged is lost, and the store goes on, once there is room, without being opened again.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(unsafe_code)] // Limits and signals are set through the C library.

mod outside;

use std::error::Error as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use larder::{Error, ErrorKind, Store};
use outside::{Process, child_task};
use tempfile::TempDir;

fn new_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    (folder, path)
}

/// Sets the soft limit of this process.
fn limit(what: u32, to: u64) {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a structure of the C library, which both functions only use during the call.
    unsafe {
        assert_eq!(libc::getrlimit(what, &raw mut limits), 0);
        limits.rlim_cur = to.min(limits.rlim_max);
        assert_eq!(libc::setrlimit(what, &raw const limits), 0);
    }
}

/// Writes until it is refused; returns how many writes were acknowledged, and the error.
fn fill(store: &Store, from: u64) -> (u64, Error) {
    for number in from..from + 10_000 {
        if let Err(error) = store.set("g", number.to_string(), "x".repeat(20_000)) {
            return (number, error);
        }
    }
    panic!("nothing was refused");
}

/// Fails unless every acknowledged write is there.
fn verify(store: &Store, written: u64) {
    let found = store.count("g").unwrap();
    assert!(found == written || found == written + 1, "{written} were acknowledged, {found} are there");
    for number in 0..written {
        assert_eq!(store.get("g", number.to_string()).unwrap().unwrap().len(), 20_000, "{number}");
    }
    assert!(store.check().unwrap().is_empty());
}

#[test]
fn a_limit_on_the_size_of_files_refuses_writes_until_it_is_raised() {
    if let Some((path, _)) = child_task() {
        // As a service should: the signal ends a process by default.
        // SAFETY: the signal is ignored from here on, by a process that does nothing else.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        let store = Store::open(&path).unwrap();
        limit(libc::RLIMIT_FSIZE, 2 << 20);
        let (written, error) = fill(&store, 0);
        assert!(matches!(error, Error::Full { .. }), "{error:?}");
        assert!(error.advice().unwrap().contains("ulimit -f"), "{error:?}");
        assert!(written > 20);
        verify(&store, written);
        limit(libc::RLIMIT_FSIZE, u64::MAX);
        store.set("g", written.to_string(), "x".repeat(20_000)).unwrap();
        return verify(&store, written + 1);
    }
    let (_folder, path) = new_path();
    Process::start("a_limit_on_the_size_of_files_refuses_writes_until_it_is_raised", &path, "").finish();
    let store = Store::open(&path).unwrap();
    verify(&store, store.count("g").unwrap());
}

#[test]
fn without_descriptors_reads_fail_clearly_and_writes_go_on() {
    if let Some((path, _)) = child_task() {
        let store = Store::open(&path).unwrap();
        store.set("g", "k", "v").unwrap();
        limit(libc::RLIMIT_NOFILE, 200);
        let files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        // Each holds a connection, so that another read needs a new one. Some are left from before.
        let mut held = Vec::new();
        let error = loop {
            match store.snapshot() {
                Ok(snapshot) => held.push(snapshot),
                Err(error) => break error,
            }
            assert!(held.len() < 100, "descriptors come from somewhere");
        };
        assert!(matches!(error, Error::Storage { .. }), "{error:?}");
        assert!(error.source().unwrap().to_string().contains("Too many open files"), "{error:?}");
        let error = Store::open(path.with_extension("other")).unwrap_err();
        assert!(format!("{error:#}").contains("Too many open files"), "{error:#}");
        store.set("g", "k", "w").unwrap();
        assert_eq!(store.get("g", "k").unwrap().unwrap(), "w");
        drop(files);
        assert_eq!(store.get_all("g").unwrap().len(), 1);
        drop(store.snapshot().unwrap());
        drop(held);
        return;
    }
    let (_folder, path) = new_path();
    Process::start("without_descriptors_reads_fail_clearly_and_writes_go_on", &path, "").finish();
}

/// A small disk in memory, which only the administrator may make.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let done =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        done.is_ok_and(|done| done.status.success()).then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

#[test]
fn a_disk_that_is_really_full_refuses_writes_and_loses_nothing() {
    let Some(disk) = SmallDisk::new(24 << 20) else {
        eprintln!("not run: this user may not mount a disk");
        return;
    };
    let path = disk.path().join("store.db");
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 4 << 20]).unwrap();
    let store = Store::open(&path).unwrap();
    let (written, error) = fill(&store, 0);
    assert!(matches!(error.kind(), ErrorKind::Failed | ErrorKind::OutcomeUnknown), "{error:?}");
    if error.kind() == ErrorKind::Failed {
        assert!(matches!(error, Error::Full { .. }), "{error:?}");
    }
    verify(&store, written);
    std::fs::remove_file(&ballast).unwrap();
    store.set("g", written.to_string(), "x".repeat(20_000)).unwrap();
    verify(&store, written + 1);
    store.close().unwrap();
    verify(&Store::open(&path).unwrap(), written + 1);
}
