//! Damage: whatever happens to a file's bytes, every call returns an error or the right answer, and never
//! panics.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod outside;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use larder::{Durability, Error, FindingKind, ManualClock, Pattern, Repair, Store, Value};

/// Enough entries for B-trees of several levels, and a value of several pages.
fn sound_store(path: &Path) -> Vec<u8> {
    let store = open(path).unwrap();
    for chunk in 0..10 {
        let batch = store.batch();
        let keys = chunk * 30..chunk * 30 + 30;
        keys.fold(batch, |batch, n| batch.set("bulk", format!("key-{n:03}"), format!("value {n}")))
            .commit()
            .unwrap();
    }
    store.set("large", "value", vec![b'x'; 20_000]).unwrap();
    store.set("config", "colour", "blue").unwrap();
    store.scoped("tenant-42").unwrap().set("g", "k", "v").unwrap();
    store.set_with_ttl("session", "token", "abc", std::time::Duration::from_secs(60)).unwrap();
    store.close().unwrap();
    fs::read(path).unwrap()
}

fn open(path: &Path) -> larder::Result<Store> {
    let options = Store::options().clock(ManualClock::new()).expiry_timer(false);
    // Hundreds of files are written here, and no power is cut.
    options.durability(Durability::Relaxed).open(path)
}

/// The answers of every read of a store.
#[derive(Clone, Debug, Default, PartialEq)]
struct Answers {
    exact: String,
    /// The same without the content of names, values and numbers: only counts, lengths, and whether each
    /// entry is found by its key. Neither SQLite nor larder keeps checksums of rows, so a changed byte inside
    /// a text cannot be noticed.
    shape: String,
}

fn read(store: &Store) -> larder::Result<Answers> {
    let mut answers = Answers::default();
    for group in store.groups("")? {
        let all = store.get_all(&group.name)?;
        answers.exact += &format!("{group:?} {} {all:?} ", store.count(&group.name)?);
        answers.shape += &format!("{} {} {} ", group.keys, group.bytes, all.len());
        for entry in store.entries(&group.name)? {
            let entry = entry?;
            let found = store.get(&group.name, &entry.key)? == Some(entry.value.clone());
            answers.exact += &format!("{entry:?} {found}");
            answers.shape += &format!("{} {} {found} ", entry.key.len(), entry.value.len());
        }
    }
    let watcher = store.watch_from(Pattern::all(), 0)?;
    while let Some(event) = watcher.try_recv()? {
        answers.exact += &format!("{event:?}");
        answers.shape += &format!("{} ", event.revision);
    }
    let stats = store.stats()?;
    answers.exact += &format!("{:?} {} {}", store.namespaces()?, stats.revision, stats.keys);
    answers.shape += &format!("{} {} {}", store.namespaces()?.len(), stats.revision, stats.keys);
    Ok(answers)
}

/// Writes the damaged bytes to a file and makes every call on it. A call may fail, but only with a clear
/// error. If an answer is wrong, `check` must find the damage.
fn try_with(bytes: &[u8], sound: &Answers, what: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    fs::write(&path, bytes).unwrap();
    let errors = catch_unwind(AssertUnwindSafe(|| use_it(&path, sound)));
    match errors {
        Err(_) => panic!("{what}: it panicked"),
        Ok(Err(wrong)) => panic!("{what}: {wrong}"),
        Ok(Ok(errors)) => errors.iter().for_each(|error| assert_clear(error, what)),
    }
}

/// Returns the errors of all calls, or a description of what went wrong without an error.
fn use_it(path: &Path, sound: &Answers) -> Result<Vec<Error>, String> {
    let store = match open(path) {
        Err(error) => return Ok(vec![error]),
        Ok(store) => store,
    };
    let (answers, findings) = (read(&store), store.check());
    if let (Ok(answers), Ok(findings)) = (&answers, &findings)
        && answers.shape != sound.shape
        && findings.is_empty()
    {
        return Err("wrong answers, but check finds nothing".into());
    }
    let mut errors: Vec<Error> = answers.err().into_iter().chain(findings.err()).collect();
    let uses = [
        store.set("new", "key", "value").map(drop),
        store.delete_group("bulk").map(drop),
        store.increment("stats", "n", 1).map(drop),
        store.purge_expired().map(drop),
        store.snapshot().map(drop),
        store.history("config", "colour").map(drop),
    ];
    errors.extend(uses.into_iter().filter_map(Result::err));
    Ok(errors)
}

#[track_caller]
fn assert_clear(error: &Error, what: &str) {
    let clear = matches!(
        error,
        Error::Damaged { .. }
            | Error::NotADatabase { .. }
            | Error::ForeignDatabase { .. }
            | Error::NewerVersion { .. }
            | Error::Compacted { .. }
            | Error::NoStore { .. }
            // A flipped journal mode or page size makes SQLite look for files that do not exist.
            | Error::Storage { .. }
            | Error::ReadOnly { .. }
            | Error::Denied { .. }
            | Error::Full { .. }
            | Error::Conflict { .. }
            | Error::NotANumber { .. }
    );
    assert!(clear, "{what}: {error:?}");
    assert!(!error.to_string().is_empty());
}

fn sound_bytes_and_answers() -> (Vec<u8>, Answers) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let bytes = sound_store(&path);
    let store = open(&path).unwrap();
    (bytes, read(&store).unwrap())
}

#[test]
fn a_flipped_bit_anywhere_causes_an_error_or_no_harm() {
    let (bytes, sound) = sound_bytes_and_answers();
    let mut state = 42_u64;
    for _ in 0..150 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (place, bit) = ((state >> 16) as usize % bytes.len(), (state >> 60) as u8 % 8);
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << bit;
        try_with(&damaged, &sound, &format!("bit {bit} of byte {place}"));
    }
}

#[test]
fn a_flipped_bit_in_the_first_page_causes_an_error_or_no_harm() {
    let (bytes, sound) = sound_bytes_and_answers();
    for place in 0..112 {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        try_with(&damaged, &sound, &format!("byte {place}"));
    }
}

#[test]
fn check_finds_a_page_of_garbage_or_zeros() {
    let (bytes, sound) = sound_bytes_and_answers();
    for page in 0..bytes.len() / 4096 {
        for fill in [0x00, 0xa5, 0xff] {
            let mut damaged = bytes.clone();
            damaged[page * 4096..(page + 1) * 4096].fill(fill);
            try_with(&damaged, &sound, &format!("page {page} of {fill:#x}"));
        }
    }
}

#[test]
fn a_truncated_file_is_refused() {
    let (bytes, sound) = sound_bytes_and_answers();
    for kept in (1..bytes.len()).step_by(bytes.len() / 60) {
        try_with(&bytes[..kept], &sound, &format!("the first {kept} bytes"));
    }
}

/// SQLite takes what is missing of a page for zeros. Only a read of the last page of a long value notices it.
#[test]
fn check_finds_what_the_end_of_a_file_had_although_its_log_says_how_long_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let value = "v".repeat(30_000);
    open(&path).unwrap().set("large", "value", &*value).unwrap();
    let store = open(&path).unwrap();
    store.set("small", "value", "v").unwrap();
    let (file, log) = (fs::read(&path).unwrap(), fs::read(folder.path().join("store.db-wal")).unwrap());
    let mut noticed = 0;
    for cut in (0..8 * 4096).step_by(500) {
        let copy = tempfile::tempdir().unwrap();
        let path = copy.path().join("store.db");
        fs::write(&path, &file[..file.len() - cut]).unwrap();
        fs::write(copy.path().join("store.db-wal"), &log).unwrap();
        let Ok(store) = open(&path).inspect_err(|error| assert_clear(error, &format!("{cut}"))) else {
            continue;
        };
        let (found, findings) = (store.get("large", "value"), store.check().unwrap());
        match found {
            Ok(found) => assert_eq!((found.unwrap(), findings), (Value::from(&*value), Vec::new()), "{cut}"),
            Err(error) => {
                assert!(matches!(error, Error::Damaged { .. }), "{cut}: {error:?}");
                assert_ne!(findings, [], "{cut}");
                noticed += 1;
            }
        }
    }
    assert!(noticed > 10, "{noticed}");
}

/// SQLite ends a transaction in which the disk fails.
#[test]
fn a_snapshot_of_which_a_read_has_failed_never_shows_another_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    open(&path).unwrap().set("large", "value", "v".repeat(30_000)).unwrap();
    let store = open(&path).unwrap();
    store.set("small", "value", "then").unwrap();
    let (file, log) = (fs::read(&path).unwrap(), fs::read(folder.path().join("store.db-wal")).unwrap());
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("store.db");
    fs::write(&path, &file[..file.len() - 500]).unwrap();
    fs::write(copy.path().join("store.db-wal"), &log).unwrap();
    let store = Store::options().cache_bytes(0).open(&path).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.get("small", "value").unwrap().unwrap(), "then");
    store.set("small", "value", "now").unwrap();
    assert_eq!(snapshot.get("small", "value").unwrap().unwrap(), "then");
    assert!(matches!(snapshot.get("large", "value"), Err(Error::Damaged { .. })));
    let (lost, revision) = (snapshot.get("small", "value"), snapshot.revision());
    assert!(matches!(lost, Err(Error::SnapshotLost { .. })), "{lost:?} {revision:?}");
    assert_eq!(store.snapshot().unwrap().get("small", "value").unwrap().unwrap(), "now");
    // A read of the store itself that fails is followed by one of the present.
    for text in ["one", "two"] {
        for _ in 0..3 {
            assert!(matches!(store.get("large", "value"), Err(Error::Damaged { .. })));
        }
        store.set("small", "value", text).unwrap();
        for _ in 0..3 {
            assert_eq!(store.get("small", "value").unwrap().unwrap(), text);
        }
    }
}

#[test]
fn check_finds_swapped_pages() {
    let (bytes, sound) = sound_bytes_and_answers();
    let pages = bytes.len() / 4096;
    for (a, b) in (1..pages).zip(2..pages) {
        let mut damaged = bytes.clone();
        let (first, second) = damaged.split_at_mut(b * 4096);
        first[a * 4096..].swap_with_slice(&mut second[..4096]);
        try_with(&damaged, &sound, &format!("pages {a} and {b} swapped"));
    }
}

#[test]
fn a_damaged_log_loses_only_whole_commits_from_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open(&path).unwrap();
    for number in 1..=20 {
        let text = format!("{number}");
        store.batch().set("a", "n", text.as_str()).set("b", "n", text.as_str()).commit().unwrap();
    }
    let (file, log) = (fs::read(&path).unwrap(), fs::read(folder.path().join("store.db-wal")).unwrap());
    for cut in (0..log.len()).step_by(log.len() / 40) {
        for garbled in [false, true] {
            let copy = tempfile::tempdir().unwrap();
            let path = copy.path().join("store.db");
            let mut bytes = log.clone();
            if garbled {
                bytes[cut] ^= 0x10;
            } else {
                bytes.truncate(cut);
            }
            fs::write(&path, &file).unwrap();
            fs::write(copy.path().join("store.db-wal"), &bytes).unwrap();
            let what = format!("{cut} garbled: {garbled}");
            let store = match open(&path) {
                Ok(store) => store,
                Err(error) => {
                    assert_clear(&error, &what);
                    continue;
                }
            };
            let revision = store.revision().unwrap().0;
            let expected = (revision > 0).then(|| revision.to_string());
            for group in ["a", "b"] {
                let found = store.get(group, "n").unwrap().map(|value| value.as_str().unwrap().to_owned());
                assert_eq!(found, expected, "{what}");
            }
            assert_eq!(store.check().unwrap(), [], "{what}");
        }
    }
}

#[test]
fn a_damaged_tally_allocates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = Store::open(&path).unwrap();
    store.set("g", "k", "v").unwrap();
    let sqlite = outside::sqlite(&path);
    sqlite.execute("UPDATE groups SET keys = 1 << 62, bytes = 1 << 62", []).unwrap();
    assert_eq!(store.get_all("g").unwrap().len(), 1);
}

/// The first page of a tree.
fn root(path: &Path, of: &str) -> usize {
    let root = "SELECT rootpage FROM sqlite_master WHERE name = ?1";
    outside::sqlite(path).query_row(root, [of], |row| row.get::<_, u32>(0)).unwrap() as usize
}

/// Puts an empty page of a table where the tree of something else begins.
fn with_an_empty_page(bytes: &[u8], path: &Path, of: &str) -> Vec<u8> {
    fs::write(path, bytes).unwrap();
    let root = root(path, of);
    let mut damaged = bytes.to_vec();
    let page = &mut damaged[(root - 1) * 4096..root * 4096];
    page.fill(0);
    page[..8].copy_from_slice(&[0x0d, 0, 0, 0, 0, 0x10, 0, 0]);
    damaged
}

#[test]
fn check_finds_rows_in_the_index_of_expiries_that_belong_to_no_entry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open(&path).unwrap();
    store.scoped("tenant").unwrap().set("g", "k", "v").unwrap();
    store.close().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let (groups, expiries) = (root(&path, "groups"), root(&path, "entries_by_expiry"));
    bytes.copy_within((groups - 1) * 4096..groups * 4096, (expiries - 1) * 4096);
    fs::write(&path, bytes).unwrap();

    let store = open(&path).unwrap();
    let found = store.check().unwrap();
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(finding.kind, FindingKind::ExpiryIndex);
    assert_eq!(finding.examples, ["entries_by_expiry has 1 row instead of 0"]);
    store.repair(Repair::default()).unwrap();
    assert_eq!(store.check().unwrap(), []);
    assert_eq!(store.namespaces().unwrap().len(), 1);
}

#[test]
fn check_finds_a_page_of_another_kind_also_where_it_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open(&path).unwrap();
    store.set("g", "k", "v").unwrap();
    store.close().unwrap();
    let bytes = fs::read(&path).unwrap();
    for of in
        ["entries", "entries_by_expiry", "groups", "namespaces", "histories", "cursors", "notes", "store"]
    {
        fs::write(&path, with_an_empty_page(&bytes, &path, of)).unwrap();
        let Ok(store) = open(&path) else { continue };
        let found = store.check();
        assert!(found.as_ref().map_or(true, |findings| !findings.is_empty()), "{of}: {found:?}");
    }
}
