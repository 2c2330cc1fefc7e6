//! No read is stale, whichever process wrote last. Four processes write, delete and read the same few keys,
//! and each read is compared with every write acknowledged before it began. `LARDER_COHERENCE_SECONDS` makes
//! the run longer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod outside;

use std::fs::File;
use std::io;
use std::panic;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use larder::{Durability, Entry, History, Revision, Store};
use outside::{Process, child_task, print_line, read_line};

/// The number of processes, of the keys that they share, and of the groups with those keys.
const PROCESSES: usize = 4;
const KEYS: usize = 12;
const GROUPS: usize = 3;

/// The exit code of a process in which a thread has failed.
const FAILED: i32 = 70;

/// A file beside the store in which each process publishes its acknowledged writes, one slot per key.
struct Board(File);

/// The acknowledged writes of one process to one key.
#[derive(Clone, Copy, Default)]
struct Acknowledged {
    /// The revisions of its last set and its last delete.
    set: u64,
    delete: u64,
    /// Whether it is deleting: the delete may have happened, but is not acknowledged.
    deleting: bool,
}

impl Board {
    fn open(store: &Path) -> Self {
        let path = store.with_extension("board");
        Self(File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap())
    }

    fn offset(key: usize, process: usize) -> u64 {
        (24 * (key * PROCESSES + process)) as u64
    }

    fn read(&self, key: usize) -> [Acknowledged; PROCESSES] {
        let mut bytes = [0; 24 * PROCESSES];
        // The read is short where no process has written yet.
        let _ = read_at(&self.0, &mut bytes, Self::offset(key, 0)).unwrap();
        std::array::from_fn(|process| {
            let number = |index: usize| {
                let start = 24 * process + 8 * index;
                u64::from_ne_bytes(bytes[start..start + 8].try_into().unwrap())
            };
            Acknowledged { set: number(0), delete: number(1), deleting: number(2) > 0 }
        })
    }

    fn write(&self, key: usize, process: usize, acknowledged: Acknowledged) {
        let numbers = [acknowledged.set, acknowledged.delete, u64::from(acknowledged.deleting)];
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
        assert_eq!(write_at(&self.0, &bytes, Self::offset(key, process)).unwrap(), bytes.len());
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, offset)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
}

fn names(key: usize) -> (String, String) {
    (format!("group-{}", key % GROUPS), format!("key-{key}"))
}

/// Sets and deletes keys: single ones, in batches, in transactions, and whole groups.
fn write(store: &Store, board: &Board, process: usize, mut number: u64, stop: &AtomicBool) {
    let mut own: Vec<Acknowledged> = (0..KEYS).map(|key| board.read(key)[process]).collect();
    while !stop.load(Ordering::Relaxed) {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = (number >> 33) as usize % KEYS;
        let (group, name) = names(key);
        let set = |acknowledged: &mut Acknowledged, revision: Revision| acknowledged.set = revision.0;
        match (number >> 50) % 16 {
            0 | 1 => {
                own[key].deleting = true;
                board.write(key, process, own[key]);
                own[key].delete = store.batch().delete(&group, &name).commit().unwrap().0;
                own[key].deleting = false;
            }
            2 => {
                let keys = (0..KEYS).filter(|other| other % GROUPS == key % GROUPS);
                for key in keys.clone() {
                    own[key].deleting = true;
                    board.write(key, process, own[key]);
                }
                let revision = store.batch().delete_group(&group).commit().unwrap().0;
                for key in keys {
                    own[key].delete = revision;
                    own[key].deleting = false;
                    board.write(key, process, own[key]);
                }
            }
            3 | 4 => {
                store.transaction(|tx| tx.set(&group, &name, "transaction")).unwrap();
            }
            _ => set(&mut own[key], store.set(&group, &name, "set").unwrap()),
        }
        board.write(key, process, own[key]);
    }
}

/// Reads keys and whole groups, and fails if a read is older than a write acknowledged before it began.
fn read(store: &Store, board: &Board, mut number: u64, stop: &AtomicBool, reads: &AtomicU64) {
    while !stop.load(Ordering::Relaxed) {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = (number >> 33) as usize % KEYS;
        if !(number >> 50).is_multiple_of(8) {
            let (group, name) = names(key);
            let before = board.read(key);
            let entry = store.entry(group, name).unwrap();
            check(store, board, key, &before, entry.map(|entry| entry.revision));
        } else {
            // The cache may keep a group from its second scan on.
            (0..4).for_each(|way| read_group(store, board, key % GROUPS, way));
        }
        reads.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads a whole group, in one of two ways.
fn read_group(store: &Store, board: &Board, group: usize, way: usize) {
    let keys = || (0..KEYS).filter(|key| key % GROUPS == group);
    let before: Vec<_> = keys().map(|key| board.read(key)).collect();
    let (group, _) = names(group);
    let found: Vec<Entry> = if way.is_multiple_of(2) {
        store.page(&group, None, KEYS).unwrap().entries
    } else {
        store.entries(&group).unwrap().map(Result::unwrap).collect()
    };
    for (key, before) in keys().zip(before) {
        let (_, name) = names(key);
        let entry = found.iter().find(|entry| entry.key == name);
        check(store, board, key, &before, entry.map(|entry| entry.revision));
    }
}

/// Fails if what was found under a key, as of a revision or absent, is older than what was acknowledged before.
fn check(
    store: &Store,
    board: &Board,
    key: usize,
    before: &[Acknowledged; PROCESSES],
    found: Option<Revision>,
) {
    let (group, name) = names(key);
    let set = before.iter().map(|acknowledged| acknowledged.set).max().unwrap();
    let delete = before.iter().map(|acknowledged| acknowledged.delete).max().unwrap();
    match found {
        Some(revision) => assert!(
            revision.0 >= set && revision.0 > delete,
            "{group}/{name} was read as of {revision} after a set of {set} and a delete of {delete}; now the store has {:?}, and a snapshot of it {:?}",
            store.entry(&group, &name).map(|entry| entry.map(|entry| entry.revision)),
            store
                .snapshot()
                .and_then(|snapshot| snapshot.entry(&group, &name))
                .map(|entry| entry.map(|entry| entry.revision)),
        ),
        None => {
            let deleted = |acknowledged: &Acknowledged| acknowledged.deleting || acknowledged.delete > set;
            assert!(
                set == 0 || before.iter().any(deleted) || board.read(key).iter().any(deleted),
                "{group}/{name} was read as absent after a set of {set}"
            );
        }
    }
}

/// One of the processes: two threads read and one writes, until the parent says stop.
fn work(path: &Path, process: usize) {
    let options = Store::options().durability(Durability::Relaxed).history(3_000, 1 << 20);
    let store = options.timeout(Duration::from_secs(60)).open(path).unwrap();
    let board = Board::open(path);
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    print_line("ready");
    assert_eq!(read_line(), "go");
    thread::scope(|scope| {
        let seed = Instant::now().elapsed().as_nanos() as u64 + u64::from(std::process::id());
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let (store, board, stop, reads) = (&store, &board, &stop, &reads);
                scope.spawn(move || read(store, board, seed * (reader + 2), stop, reads))
            })
            .collect();
        let (store, board, stop) = (&store, &board, &stop);
        scope.spawn(move || write(store, board, process, seed, stop));
        read_line();
        stop.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    print_line(reads.into_inner());
}

/// Ends the process at once when a thread of it fails. Otherwise it would go on until it is killed, which looks the same
/// as if all was well.
fn fail_at_once() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(FAILED);
    }));
}

fn seconds() -> u64 {
    std::env::var("LARDER_COHERENCE_SECONDS").map_or(4, |seconds| seconds.parse().unwrap())
}

#[test]
fn a_read_sees_every_write_acknowledged_in_any_process_before_it_began() {
    if let Some((path, words)) = child_task() {
        fail_at_once();
        return work(&path, words[0].parse().unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    // One group in the store's own history, one that keeps nothing, and one that each commit prunes.
    let store = Store::open(&path).unwrap();
    store.set_history("group-1", History::NONE).unwrap();
    store.set_history("group-2", History { changes: 40, ..History::default() }).unwrap();
    store.close().unwrap();
    let test = "a_read_sees_every_write_acknowledged_in_any_process_before_it_began";
    let start = |process: usize| {
        let mut process = Process::start(test, &path, &process.to_string());
        assert_eq!(process.next_line().as_deref(), Some("ready"));
        process.send_line("go");
        process
    };
    let mut processes: Vec<Process> = (0..PROCESSES).map(start).collect();
    let end = Instant::now() + Duration::from_secs(seconds());
    let mut killed = 0;
    while Instant::now() < end {
        // Kills one of them now and then, perhaps while it writes the header of the WAL index.
        thread::sleep(Duration::from_millis(100 + killed * 37 % 200));
        let unlucky = (killed as usize) % PROCESSES;
        processes[unlucky].child.kill().unwrap();
        let ended = processes[unlucky].child.wait().unwrap();
        assert_ne!(ended.code(), Some(FAILED), "process {unlucky} failed before it was killed");
        processes[unlucky] = start(unlucky);
        killed += 1;
    }
    let mut reads = 0;
    for mut process in processes {
        process.send_line("stop");
        reads += process.next_line().expect("a process that runs to its end").parse::<u64>().unwrap();
        process.finish();
    }
    assert!(reads > 0);
    let store = Store::open(&path).unwrap();
    common::verify(&store);
    if seconds() > 4 {
        println!("{reads} reads, {} commits, {killed} processes killed", store.revision().unwrap());
    }
}

#[test]
fn rows_written_by_another_program_with_sql_are_visible_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&path).unwrap();
    store.set("g", "k", "old").unwrap();
    let other = outside::sqlite(&path);
    for number in 0..5 {
        assert!(store.get("g", "k").unwrap().is_some());
        other.execute("UPDATE entries SET entry_value = ?1", [number.to_string()]).unwrap();
        assert_eq!(store.get("g", "k").unwrap().unwrap(), number.to_string());
    }
    other.execute("DELETE FROM entries", []).unwrap();
    assert_eq!(store.get("g", "k").unwrap(), None);
}

#[test]
fn writes_are_visible_at_once_even_if_the_write_ahead_log_restarted_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let (ours, theirs) = (Store::open(&path).unwrap(), Store::open(&path).unwrap());
    let other = outside::sqlite(&path);
    for number in 0..5 {
        theirs.set("g", "k", number.to_string()).unwrap();
        assert_eq!(ours.get("g", "k").unwrap().unwrap(), number.to_string());
        // Checkpoints the whole log, so that the next writer restarts it.
        other.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
        assert_eq!(ours.get("g", "k").unwrap().unwrap(), number.to_string());
    }
}
