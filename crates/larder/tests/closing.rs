//! What a closed store leaves open, while handles to it live.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod outside;

use std::fs;
use std::path::Path;
use std::time::Duration;

use larder::{Error, Pattern, Store};
use outside::{Process, child_task, names, print_line};

/// What this process has open of a store's file and of those beside it, and how many descriptors it has for reports on
/// files.
fn open_descriptors(path: &Path) -> (Vec<String>, usize) {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let leads_to: Vec<_> =
        descriptors.filter_map(|descriptor| fs::read_link(descriptor.unwrap().path()).ok()).collect();
    let name = path.to_str().unwrap();
    let mut files: Vec<_> =
        leads_to.iter().filter_map(|file| file.to_str()?.strip_prefix(name)).map(str::to_owned).collect();
    files.sort();
    let reports = leads_to.iter().filter(|file| file.to_str() == Some("anon_inode:inotify")).count();
    (files, reports)
}

/// Runs a test in a process of its own, since tests of one process share its descriptors. Returns whether this is not
/// yet it.
fn is_run_outside(test: &str, path: &Path) -> bool {
    if child_task().is_some() {
        return false;
    }
    Process::start(test, path, "").finish();
    true
}

#[test]
fn a_closed_store_has_no_file_open_while_its_handles_live() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    if is_run_outside("a_closed_store_has_no_file_open_while_its_handles_live", &path) {
        return;
    }
    for expiry_timer in [false, true] {
        let store = Store::options().expiry_timer(expiry_timer).open(&path).unwrap();
        let (other, tenant) = (store.clone(), store.scoped("t").unwrap());
        tenant.set_with_ttl("g", "k", "v", Duration::from_secs(60)).unwrap();
        let watcher = store.watch(Pattern::all()).unwrap();
        assert_eq!(store.stats().unwrap().keys, 1);
        let (files, reports) = open_descriptors(&path);
        assert!(files.contains(&String::new()) && files.contains(&"-shm".to_owned()), "{files:?}");
        assert!(reports >= 1);
        store.close().unwrap();
        // One is the whole process's, and not on the file.
        assert_eq!(open_descriptors(&path), (Vec::new(), 1));
        assert_eq!(names(folder.path()), ["store.db"]);
        assert!(matches!(other.get("g", "k"), Err(Error::Closed)));
        assert!(matches!(tenant.get("g", "k"), Err(Error::Closed)));
        drop((watcher, store));
        assert_eq!(open_descriptors(&path), (Vec::new(), 1));
    }
    let store = Store::options().read_only(true).open(&path).unwrap();
    assert_eq!(store.count("t:g").unwrap(), 1);
    store.close().unwrap();
    assert_eq!(open_descriptors(&path), (Vec::new(), 1));
}

#[test]
fn the_last_reader_of_a_closed_store_closes_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    if is_run_outside("the_last_reader_of_a_closed_store_closes_its_file", &path) {
        return;
    }
    let store = Store::open(&path).unwrap();
    store.set("g", "k", "v").unwrap();
    let (first, second) = (store.snapshot().unwrap(), store.snapshot().unwrap());
    store.close().unwrap();
    for snapshot in [first, second] {
        assert_ne!(open_descriptors(&path).0.len(), 0);
        drop(snapshot);
    }
    assert_eq!(open_descriptors(&path).0, Vec::<String>::new());
    assert_eq!(names(folder.path()), ["store.db"]);
}

#[test]
fn a_store_that_is_opened_beside_handles_of_a_closed_one_is_guarded_as_any_other() {
    let test = "a_store_that_is_opened_beside_handles_of_a_closed_one_is_guarded_as_any_other";
    if let Some((path, words)) = child_task()
        && words == ["count"]
    {
        // Another program, which takes the log away if nobody has the file open.
        let count = outside::sqlite(&path).query_row("SELECT count(*) FROM entries", [], |row| row.get(0));
        return print_line(count.unwrap_or(0_u32));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    if is_run_outside(test, &path) {
        return;
    }
    let closed = Store::open(&path).unwrap();
    closed.set("g", "0", "v").unwrap();
    let snapshot = closed.snapshot().unwrap();
    closed.close().unwrap();
    let store = Store::open(&path).unwrap();
    drop(snapshot);
    for number in 1..4 {
        store.set("g", number.to_string(), "v").unwrap();
        // Closing it drops every POSIX lock that this process has on it.
        fs::read(&path).unwrap();
        fs::read(path.with_extension("db-shm")).unwrap();
        let mut outside = Process::start(test, &path, "count");
        assert_eq!(outside.next_line(), Some((number + 1).to_string()));
        outside.finish();
        assert_eq!(names(folder.path()).len(), 3, "nobody has taken the log away");
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(store.set("g", "late", "v"), Err(Error::Replaced { .. } | Error::Unknown { .. })));
    store.close().unwrap();
    assert_eq!(open_descriptors(&path).0, Vec::<String>::new());
}
