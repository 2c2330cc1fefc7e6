//! A file of an earlier version is upgraded while others have it open.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod outside;

use std::fs;
use std::path::{Path, PathBuf};

use larder::{Error, History, Options, Pattern, Revision, Store};
use outside::{Process, child_task, print_line, read_line, sqlite};

/// The files, with their version and the number of their histories.
const FILES: [(&str, i64, usize); 3] =
    [("version-1", 1, 1), ("version-1-without-cursors", 1, 1), ("version-2", 2, 3)];

/// How many processes open one file.
const PROCESSES: usize = 6;

/// The latest commit of all files.
const LATEST: Revision = Revision(20);

fn copy(file: &str, folder: &Path) -> PathBuf {
    let path = folder.join("store.db");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/versions");
    fs::write(&path, fs::read(fixtures.join(format!("{file}.db"))).unwrap()).unwrap();
    path
}

fn options() -> Options {
    Store::options().expiry_timer(false)
}

fn version(path: &Path) -> i64 {
    sqlite(path).pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[test]
fn processes_that_open_a_file_of_an_earlier_version_at_once_upgrade_it_once() {
    let test = "processes_that_open_a_file_of_an_earlier_version_at_once_upgrade_it_once";
    if let Some((path, words)) = child_task() {
        print_line("ready");
        read_line();
        let store = options().open(path).unwrap();
        let revision = store.set("opened", &*words[0], "by this one").unwrap();
        return print_line(revision);
    }
    for (file, former, histories) in FILES {
        let folder = tempfile::tempdir().unwrap();
        let path = copy(file, folder.path());
        let mut processes: Vec<_> =
            (0..PROCESSES).map(|number| Process::start(test, &path, &number.to_string())).collect();
        processes.iter_mut().for_each(|process| drop(process.next_line().expect("ready")));
        processes.iter_mut().for_each(|process| process.send_line("go"));
        let mut revisions: Vec<u64> = processes
            .iter_mut()
            .map(|process| process.next_line().expect("a revision").parse().unwrap())
            .collect();
        processes.into_iter().for_each(Process::finish);
        revisions.sort_unstable();
        let next = LATEST.0 + 1;
        assert!(revisions.iter().copied().eq(next..next + PROCESSES as u64), "{file}: {revisions:?}");
        let store = options().open(&path).unwrap();
        assert_eq!(store.count("opened").unwrap(), PROCESSES as u64);
        assert_eq!(store.get("config", "last").unwrap().unwrap(), "one");
        assert_eq!(store.histories().unwrap().len(), histories);
        let from = store.stats().unwrap().history_from;
        let events = common::events_now(&store.watch_from(Pattern::all(), from).unwrap());
        let mut found: Vec<u64> = events.iter().map(|event| event.revision.0).collect();
        found.dedup();
        assert!(
            found.into_iter().eq(from.0 + 1..next + PROCESSES as u64),
            "{file}: every commit is in the log"
        );
        common::verify(&store);
        assert!(version(&path) > former);
    }
}

#[test]
fn a_reader_of_a_file_reads_and_watches_on_while_it_is_upgraded() {
    for (file, former, _) in FILES {
        let folder = tempfile::tempdir().unwrap();
        let path = copy(file, folder.path());
        let reader = options().read_only(true).open(&path).unwrap();
        let watcher = reader.watch(Pattern::all()).unwrap();
        assert_eq!(reader.get("config", "last").unwrap().unwrap(), "one");
        assert!(watcher.try_recv().unwrap().is_none());
        let snapshot = reader.snapshot().unwrap();
        assert_eq!(version(&path), former);

        let writer = options().open(&path).unwrap();
        assert_eq!(reader.revision().unwrap(), LATEST);
        assert_eq!(reader.histories().unwrap(), writer.histories().unwrap());
        assert_eq!(reader.cursors().unwrap(), writer.cursors().unwrap());
        writer.set_history("session", History { changes: 7, ..History::default() }).unwrap();
        writer.set("config", "last", "two").unwrap();
        assert_eq!(reader.get("config", "last").unwrap().unwrap(), "two");
        assert_eq!(common::next_event(&watcher).value.unwrap(), "two");
        assert_eq!(snapshot.get("config", "last").unwrap().unwrap(), "one", "of its own moment");
        assert!(reader.histories().unwrap().iter().any(|history| history.bounds.changes == 7));
        let large = "large ".repeat(1000);
        writer.set_with_ttl("config", "last", &large, common::ms(86_400_000)).unwrap();
        assert_eq!(reader.get("config", "last").unwrap().unwrap(), large.as_str());
        assert_eq!(common::next_event(&watcher).value.unwrap(), large.as_str());
        assert_eq!(reader.get_all("config").unwrap().get("last").unwrap(), large.as_str());
        assert_eq!(reader.get("large", "value").unwrap().unwrap().len(), 6000, "as it was stored before");
        common::verify(&reader);
        let refused = reader.set("config", "last", "three");
        assert!(matches!(refused, Err(Error::ReadOnly { .. })), "{refused:?}");
        assert!(version(&path) > former);
    }
}

/// What a writer of version 1 runs at the beginning of each of its transactions, and to prune: in the words of its
/// code.
const OF_VERSION_1: [&str; 3] = [
    "SELECT group_name, entry_key FROM changes WHERE sequence > 0 LIMIT 4096",
    "SELECT revision, sequence, logged_bytes FROM changes ORDER BY sequence DESC LIMIT 1",
    "SELECT sequence, logged_bytes FROM changes ORDER BY sequence LIMIT 1",
];

/// What a process of version 2 runs whenever somebody else has committed, before it reads or writes on.
const OF_VERSION_2: &str =
    "SELECT prefix, history, max_changes, max_bytes, max_age, pruned_changes, pruned_bytes,
                            pruned_revision, pruned_position FROM histories ORDER BY prefix";

#[test]
fn a_process_of_version_2_goes_no_further_once_the_file_is_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy("version-2", folder.path());
    let old = sqlite(&path);
    old.pragma_update(None, "journal_mode", "WAL").unwrap();
    old.prepare_cached(OF_VERSION_2).unwrap().query([]).unwrap().next().unwrap();
    let store = options().open(&path).unwrap();
    let failed = old
        .prepare_cached(OF_VERSION_2)
        .and_then(|mut prepared| prepared.query([])?.next().map(drop))
        .unwrap_err();
    assert!(failed.to_string().contains("no such column: pruned_position"), "{failed}");
    common::verify(&store);
}

#[test]
fn a_process_of_an_earlier_version_loses_no_write_and_makes_none_after_the_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy("version-1", folder.path());
    let old = sqlite(&path);
    old.pragma_update(None, "journal_mode", "WAL").unwrap();
    for sql in OF_VERSION_1 {
        old.prepare_cached(sql).unwrap().query([]).unwrap().next().unwrap();
    }
    // It is in the middle of a commit when the other begins to open the file.
    old.execute_batch(
        "BEGIN IMMEDIATE;
         INSERT INTO entries VALUES ('from', 'before', 'kept', NULL, 21);
         INSERT INTO groups VALUES ('from', 1, 10);
         INSERT INTO changes (sequence, revision, position, kind, group_name, entry_key, entry_value,
                              expires_at, at, logged_bytes)
         SELECT sequence + 1, 21, 0, 'set', 'from', 'before', 'kept', NULL, 1767229200000, logged_bytes + 62
         FROM changes ORDER BY sequence DESC LIMIT 1;",
    )
    .unwrap();
    let refused = options().timeout(common::ms(10)).open(&path);
    assert!(matches!(refused, Err(Error::Busy { .. })), "{refused:?}");
    assert_eq!(version(&path), 1);
    old.execute_batch("COMMIT").unwrap();
    let store = options().open(&path).unwrap();
    assert_eq!(store.revision().unwrap(), LATEST.next());
    assert_eq!(store.get("from", "before").unwrap().unwrap(), "kept");
    for sql in OF_VERSION_1 {
        let failed = old
            .prepare_cached(sql)
            .and_then(|mut prepared| prepared.query([])?.next().map(drop))
            .unwrap_err();
        assert!(failed.to_string().contains("no such column: sequence"), "{failed}");
    }
    store.set("from", "after", "the other").unwrap();
    common::verify(&store);
}
