use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::engine::sqlite::SqliteEngine;
use crate::engine::sqlite::guard::GuardedConnection;
use crate::engine::sqlite::queries::ReadThrough;
use crate::engine::{Columns as ColumnsWanted, Commit, Engine, Mutation, Scan, Settings, Unheard};

/// What a store holds: values by group and key.
type Model = BTreeMap<(String, String), Vec<u8>>;

/// The generator of "splitmix64": the same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }

    fn name(&mut self) -> String {
        let length = match self.below(20) {
            0 => self.below(3000),
            1 => 0,
            _ => 3,
        };
        format!("{}{}", "n".repeat(usize::try_from(length).unwrap()), self.below(40))
    }

    fn value(&mut self) -> Vec<u8> {
        let length = match self.below(10) {
            0 => self.below(30_000),
            1 => 480 + self.below(64),
            _ => self.below(60),
        };
        let byte = u8::try_from(self.below(256)).unwrap();
        vec![byte; usize::try_from(length).unwrap()]
    }
}

fn change(engine: &SqliteEngine, random: &mut Random, model: &mut Model) {
    let mut mutations = Vec::new();
    for _ in 0..random.below(60) {
        let (group, key) = (format!("group {}", random.below(5)), random.name());
        if random.below(4) == 0 {
            model.remove(&(group.clone(), key.clone()));
            mutations.push(Mutation::Delete { group, key });
        } else {
            let value = random.value();
            model.insert((group.clone(), key.clone()), value.clone());
            mutations.push(Mutation::Set { group, key, value: value.into(), expires_at_ms: None });
        }
    }
    engine.commit(Commit::from(mutations)).wait().unwrap();
}

/// A store in a file with such pages, of which the last bytes are reserved for somebody else.
fn store(path: &Path, page_bytes: u32, auto_vacuum: u8, reserved: u8) -> SqliteEngine {
    let before = Connection::open(path).unwrap();
    before.pragma_update(None, "page_size", page_bytes).unwrap();
    before.pragma_update(None, "auto_vacuum", auto_vacuum).unwrap();
    before.pragma_update(None, "journal_mode", "wal").unwrap();
    drop(before);
    if reserved > 0 {
        // Its one page is empty: how many bytes are reserved, and where the cells would begin.
        let mut bytes = std::fs::read(path).unwrap();
        let content = u16::try_from(page_bytes - u32::from(reserved)).unwrap();
        bytes[20] = reserved;
        bytes[105..107].copy_from_slice(&content.to_be_bytes());
        std::fs::write(path, bytes).unwrap();
    }
    SqliteEngine::open(path, &Settings::default(), Arc::new(Unheard)).unwrap().engine
}

fn of_group<'m>(model: &'m Model, group: &str, after: Option<&str>) -> Vec<(&'m str, &'m [u8])> {
    let wanted =
        model.iter().filter(|((of, key), _)| of == group && after.is_none_or(|after| &**key > after));
    wanted.map(|((_, key), value)| (&**key, &**value)).collect()
}

/// Fails unless a walk finds what the model has, and nothing else. `get` and `scan` ask the walker.
fn assert_same(
    model: &Model,
    random: &mut Random,
    mut get: impl FnMut(&str, &str) -> Option<Option<Vec<u8>>>,
    mut scan: impl FnMut(&str, Option<&str>) -> Option<Vec<(String, Vec<u8>)>>,
) {
    for ((group, key), value) in model {
        assert_eq!(get(group, key).unwrap().as_ref(), Some(value), "{group} {}", key.len());
        let missing = format!("{key} ");
        assert_eq!(get(group, &missing).unwrap(), None);
    }
    for number in 0..6 {
        let group = format!("group {number}");
        for after in [None, Some(random.name()), Some(random.name())] {
            let found = scan(&group, after.as_deref()).unwrap();
            let found: Vec<_> = found.iter().map(|(key, value)| (&**key, &**value)).collect();
            assert_eq!(found, of_group(model, &group, after.as_deref()), "{group} after {after:?}");
        }
    }
}

#[test]
fn a_moment_is_read_as_it_was_wherever_its_pages_are_and_whatever_is_committed_after_it() {
    for (page_bytes, auto_vacuum, reserved) in
        [(512, 0, 0), (1024, 1, 0), (4096, 0, 0), (4096, 2, 0), (4096, 0, 20), (65536, 0, 0)]
    {
        let mut random = Random(u64::from(page_bytes) + u64::from(auto_vacuum));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let engine = store(&path, page_bytes, auto_vacuum, reserved);
        let mut model = Model::new();
        for round in 0..8 {
            change(&engine, &mut random, &mut model);
            let others = Connection::open(&path).unwrap();
            if round % 3 != 0 {
                // All of the log is in the file now, or all but what is kept for a reader.
                others.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
            }
            let snapshot = engine.readers.snapshot(&engine.file, &engine.clock).unwrap();
            let then = model.clone();
            for _ in 0..3 {
                change(&engine, &mut random, &mut model);
                others.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
            }
            if round == 5 {
                // Roots move.
                others.execute_batch("CREATE TABLE IF NOT EXISTS other(x); VACUUM").unwrap();
            }
            let get = |group: &str, key: &str| {
                let read = snapshot.read(|reading| {
                    Ok(reading.connection.walk(|walker, connection| {
                        walker.get(connection, group, key, |row| row.value.to_vec())
                    }))
                });
                read.wait().unwrap()
            };
            let scan = |group: &str, after: Option<&str>| {
                let read = snapshot.read(|reading| {
                    let mut rows = Vec::new();
                    let walked = reading.connection.walk(|walker, connection| {
                        walker.scan(connection, (group, after), true, round % 2 == 0, |row| {
                            rows.push((row.key.to_owned(), row.value.to_vec()));
                            ControlFlow::Continue(())
                        })
                    });
                    Ok(walked.map(|()| rows))
                });
                read.wait().unwrap()
            };
            assert_same(&then, &mut random, get, scan);
            if let Some(((group, key), value)) = then.iter().next() {
                // As everybody asks.
                let found = crate::engine::Read::fetch(&snapshot, group, key).unwrap().unwrap();
                assert_eq!(found.value(), &value[..]);
            }
        }
        engine.close().unwrap();
    }
}

/// Nobody keeps the pages of a moment that SQLite does not know of: it fixes the moment with the first read.
#[test]
fn a_transaction_in_which_nothing_was_read_is_not_walked() {
    let folder = tempfile::tempdir().unwrap();
    let engine = store(&folder.path().join("store.db"), 4096, 0, 0);
    let set = Mutation::Set { group: "g".into(), key: "k".into(), value: "v".into(), expires_at_ms: None };
    engine.commit(set.into()).wait().unwrap();
    let walked = || {
        let get = |connection: &GuardedConnection| {
            Ok(connection
                .walk(|walker, connection| walker.get(connection, "g", "k", |row| row.value.to_vec())))
        };
        engine.readers.read(get).unwrap()
    };
    let scan = |limit| {
        let scan = Scan { limit, ..Scan::whole("g", ColumnsWanted::All) };
        engine.read(|reading| reading.scan(&scan)).wait().unwrap().len()
    };
    for _ in 0..5 {
        assert_eq!((scan(0), walked()), (0, None));
    }
    (0..2).for_each(|_| assert_eq!(scan(1), 1));
    assert_eq!(walked(), Some(Some(b"v".to_vec())));
}

/// The pages of a closed file.
struct InMemory {
    bytes: Vec<u8>,
    page_bytes: usize,
}

impl Source for InMemory {
    fn read(&self, number: u32, into: &mut [u8]) -> bool {
        let pages = &mut self.bytes.chunks_exact(self.page_bytes);
        let page = (number as usize).checked_sub(1).and_then(|before| pages.nth(before));
        page.is_some_and(|page| {
            into.copy_from_slice(page);
            true
        })
    }
}

impl InMemory {
    fn walker(&self, roots: Roots) -> Walker {
        let mut walker = Walker { roots: Some(roots), ..Walker::default() };
        walker.pages.begin_moment(self.page_bytes);
        walker
    }

    fn walk<'w>(&'w self, walker: &'w mut Walker) -> Walk<'w, Self> {
        walker.left = PAGES_FREE;
        Walk { walker, source: self, has_values: true, keeps: 20, large_bytes: 0 }
    }

    fn get(&self, walker: &mut Walker, group: &str, key: &str) -> Option<Option<Vec<u8>>> {
        self.walk(walker).get(group, key, |row| row.value.to_vec())
    }

    fn scan(&self, walker: &mut Walker, group: &str, after: Option<&str>) -> Option<Vec<(String, Vec<u8>)>> {
        let mut rows = Vec::new();
        let root = walker.roots?.entries?;
        let mut visit = |row: Row<'_>| {
            rows.push((row.key.to_owned(), row.value.to_vec()));
            ControlFlow::Continue(())
        };
        let mut walk = self.walk(walker);
        let _ = walk.scan(root, 0, &mut Some(Start { group, after }), group, &mut visit)?;
        Some(rows)
    }
}

/// A file with all kinds of pages, what it holds, and where its trees begin.
fn file(page_bytes: u32) -> (InMemory, Model, Roots) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let engine = store(&path, page_bytes, 0, 0);
    let (mut random, mut model) = (Random(7), Model::new());
    (0..8).for_each(|_| change(&engine, &mut random, &mut model));
    engine.close().unwrap();
    drop(engine);
    let roots = Roots::find(&Connection::open(&path).unwrap(), 0, 0).unwrap();
    (InMemory { bytes: std::fs::read(&path).unwrap(), page_bytes: page_bytes as usize }, model, roots)
}

#[test]
fn a_damaged_file_is_left_to_sqlite_or_read_within_bounds_and_never_ends_the_program() {
    for page_bytes in [512, 4096] {
        let (sound, model, roots) = file(page_bytes);
        let mut walker = sound.walker(roots);
        let mut random = Random(1);
        assert_same(
            &model,
            &mut random,
            |group, key| sound.get(&mut sound.walker(roots), group, key),
            |group, after| sound.scan(&mut walker, group, after),
        );
        let pages = sound.bytes.len() / sound.page_bytes;
        let (mut answers, mut none) = (0, 0);
        let rounds = if cfg!(miri) { 20 } else { 2000 };
        for _ in 0..rounds {
            let mut damaged = InMemory { bytes: sound.bytes.clone(), ..sound };
            for _ in 0..=random.below(4) {
                let at = |random: &mut Random| random.below(pages as u64) as usize * sound.page_bytes;
                let (page, other) = (at(&mut random), at(&mut random));
                match random.below(4) {
                    // The head of a page says most.
                    0 => damaged.bytes[page + random.below(16) as usize] = random.below(256) as u8,
                    1 => damaged.bytes.copy_within(other..other + sound.page_bytes, page),
                    2 => damaged
                        .bytes
                        .truncate(sound.bytes.len() - random.below(4) as usize * sound.page_bytes),
                    _ => {
                        damaged.bytes[page + random.below(page_bytes.into()) as usize] =
                            random.below(256) as u8
                    }
                }
                damaged.bytes.resize(sound.bytes.len(), 0xff);
            }
            let mut walker = damaged.walker(roots);
            for number in 0..5 {
                let group = format!("group {number}");
                let scanned = damaged.scan(&mut walker, &group, None).is_some();
                let got = damaged.get(&mut walker, &group, &random.name()).is_some();
                answers += u32::from(scanned) + u32::from(got);
                none += u32::from(!scanned) + u32::from(!got);
            }
        }
        assert!(answers > 0 && none > 0, "{answers} {none}");
    }
}
