//! Upgrades: a file of every schema version that larder ever wrote opens, with exactly what was in it. The files and
//! what they hold are in `tests/fixtures/versions`; the page there says how one is made.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod outside;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use larder::{Error, History, ManualClock, Pattern, Quota, Store};
use outside::{assert_same_files, contents, names, sqlite};

/// The files, each with a text beside it that says what it holds.
const FILES: [&str; 4] = ["version-1", "version-1-without-cursors", "version-2", "version-3"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/versions")
}

/// Copies a file of an earlier version to a folder.
fn copy(file: &str, folder: &Path) -> PathBuf {
    let path = folder.join("store.db");
    fs::write(&path, fs::read(fixtures().join(format!("{file}.db"))).unwrap()).unwrap();
    path
}

fn expected(file: &str) -> String {
    fs::read_to_string(fixtures().join(format!("{file}.txt"))).unwrap()
}

/// The time at which the files were left.
fn clock() -> ManualClock {
    let clock = ManualClock::new();
    clock.advance(Duration::from_secs(3600));
    clock
}

/// The bytes of a value; of a long one how many they are, and their checksum.
fn in_words(value: &[u8]) -> String {
    if value.len() <= 100 {
        return value.escape_ascii().to_string();
    }
    let fold = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{} bytes, FNV-1a {:016x}", value.len(), value.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// Everything that a store holds, in words.
fn description(store: &Store) -> String {
    let mut text = String::new();
    let ms = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_millis();
    let expiry = |time: Option<SystemTime>| time.map_or("never".into(), |time| ms(time).to_string());
    for group in store.groups("").unwrap() {
        writeln!(text, "group {:?}: {} keys, {} bytes", group.name, group.keys, group.bytes).unwrap();
        for entry in store.entries(&group.name).unwrap() {
            let entry = entry.unwrap();
            let value = in_words(entry.value.as_bytes());
            let (revision, expires) = (entry.revision, expiry(entry.expires_at));
            writeln!(text, "  {:?} = {value}, revision {revision}, expires {expires}", entry.key).unwrap();
        }
    }
    for namespace in store.namespaces().unwrap() {
        let (usage, quota) = (namespace.usage, namespace.quota);
        writeln!(
            text,
            "namespace {:?}: {} keys, {} groups, {} bytes; at most {:?}, {:?}, {:?}",
            namespace.name,
            usage.keys,
            usage.groups,
            usage.bytes,
            quota.max_keys,
            quota.max_groups,
            quota.max_bytes
        )
        .unwrap();
    }
    for cursor in store.cursors().unwrap() {
        let (revision, behind, moved) = (cursor.revision, cursor.behind, ms(cursor.moved_at));
        writeln!(text, "cursor {:?}: revision {revision}, {behind} behind, moved {moved}", cursor.name)
            .unwrap();
        let pattern = cursor.pattern.to_string();
        let of_namespace = cursor.name.split_once(':').map(|(namespace, _)| format!("{namespace}:"));
        if pattern != Pattern::group_prefix(of_namespace.unwrap_or_default()).to_string() {
            writeln!(text, "  wants {pattern}").unwrap();
        }
    }
    // A file of version 1 has one history.
    for history in store.histories().unwrap().into_iter().skip(1) {
        let (bounds, changes, from) = (history.bounds, history.changes, history.from);
        writeln!(text, "history {:?}: {bounds:?}, {changes} changes, from {from}", history.prefix).unwrap();
    }
    let stats = store.stats().unwrap();
    writeln!(
        text,
        "store {}: revision {}, history from {}",
        stats.identity, stats.revision, stats.history_from
    )
    .unwrap();
    let watcher = store.watch_from(Pattern::all(), stats.history_from).unwrap();
    for event in std::iter::from_fn(|| watcher.try_recv().unwrap()) {
        let value = event.value.map_or("nothing".into(), |value| in_words(value.as_bytes()));
        let (kind, expires) = (event.kind.as_str(), expiry(event.expires_at));
        let (revision, key, at) = (event.revision, event.key.as_deref(), ms(event.at));
        writeln!(
            text,
            "change {revision}: {kind} {:?} {key:?} = {value}, expires {expires}, at {at}",
            event.group
        )
        .unwrap();
    }
    text
}

/// Puts an example of everything into a new store.
fn furnish(store: &Store, clock: &ManualClock) {
    for (group, key, value) in [
        ("config", "colour", &b"blue"[..]),
        ("config", "language", b"en-GB"),
        ("config", "empty", b""),
        ("", "", b"no names"),
        ("unicode", "\u{43a}\u{43b}\u{44e}\u{447}", "\u{9375}".as_bytes()),
        ("binary", "not-utf8", &[0xff, 0xfe, 0x00, 0x80]),
        ("binary", "nul\0in the name", b"a\0b"),
        ("tenant_%", "wild^card", b"100%"),
        ("large", "value", &[b'x'; 6000]),
        ("short-lived", "k", b"v"),
    ] {
        store.set(group, key, value).unwrap();
    }
    store.set_with_ttl("session", "expired", "gone", Duration::from_secs(60)).unwrap();
    store.set_with_ttl("session", "alive", "until 2036", Duration::from_secs(10 * 365 * 86_400)).unwrap();
    store.set_with_ttl("session", "purged", "gone", Duration::from_secs(1)).unwrap();
    clock.advance(Duration::from_secs(2));
    store.purge_expired().unwrap();
    let mailer = store.cursor("mailer").unwrap();
    let tenant = store.scoped("tenant-42").unwrap();
    store
        .set_quota("tenant-42", Quota { max_keys: Some(7), max_groups: None, max_bytes: Some(1 << 20) })
        .unwrap();
    tenant.set("preferences", "locale", "en-GB").unwrap();
    store.scoped("tenant-99").unwrap().set("default", "theme", "light").unwrap();
    store.set_quota("reserved", Quota { max_groups: Some(1), ..Quota::default() }).unwrap();
    store.increment("stats", "visits", 41).unwrap();
    store
        .batch()
        .increment("stats", "visits", 1)
        .set("config", "colour", "green")
        .delete("config", "language")
        .commit()
        .unwrap();
    store.delete_group("short-lived").unwrap();
    let first = mailer.try_recv().unwrap().unwrap();
    mailer.ack(&first).unwrap();
    tenant.cursor("indexer").unwrap();
    // Its change is still in the log; that of the other large value is not.
    store.set("large", "logged", vec![b'y'; 700]).unwrap();
    store.set("config", "last", "one").unwrap();
    let day = Some(Duration::from_secs(86_400));
    store.set_history("session", History { changes: 3, age: day, ..History::default() }).unwrap();
    store.set_history("nobody:", History::NONE).unwrap();
    store.cursor_on("painter", Pattern::key("config", "colour")).unwrap();
    clock.advance(Duration::from_secs(3598));
}

#[test]
#[ignore = "writes a fixture: LARDER_NEW_FIXTURE=FILE.db cargo test -p larder --test upgrades write_a -- --ignored"]
fn write_a_file_of_the_current_version() {
    let path = PathBuf::from(std::env::var_os("LARDER_NEW_FIXTURE").expect("LARDER_NEW_FIXTURE=FILE.db"));
    let clock = ManualClock::new();
    // A short history, so that the log has lost its beginning.
    let options = Store::options().clock(clock.clone()).expiry_timer(false);
    let store = options.history(16, 1 << 20).open(&path).unwrap();
    furnish(&store, &clock);
    store.close().unwrap();
    fs::write(path.with_extension("txt"), description(&open(&path, false).unwrap())).unwrap();
}

fn open(path: &Path, read_only: bool) -> larder::Result<Store> {
    Store::options().clock(clock()).expiry_timer(false).read_only(read_only).open(path)
}

#[test]
fn a_file_of_every_version_is_read_without_being_changed() {
    for file in FILES {
        let folder = tempfile::tempdir().unwrap();
        let path = copy(file, folder.path());
        let before = fs::read(&path).unwrap();
        let store = open(&path, true).unwrap();
        assert_eq!(description(&store), expected(file), "{file}");
        common::verify(&store);
        store.close().unwrap();
        assert!(fs::read(&path).unwrap() == before, "{file} changed");
    }
}

/// Since version 2, a file knows whether it is a copy, and is a store of its own once it is written to.
fn without_identity(text: &str) -> String {
    let lines =
        text.lines().map(|line| match line.strip_prefix("store ").and_then(|rest| rest.split_once(": ")) {
            Some((_, rest)) => format!("store: {rest}"),
            None => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_file_of_every_version_keeps_everything_when_it_is_opened_to_write() {
    for file in FILES {
        let folder = tempfile::tempdir().unwrap();
        let path = copy(file, folder.path());
        let store = open(&path, false).unwrap();
        assert_eq!(without_identity(&description(&store)), without_identity(&expected(file)), "{file}");
        common::verify(&store);
        store.close().unwrap();
        assert_eq!(names(folder.path()), ["store.db"]);
        let store = open(&path, false).unwrap();
        assert_eq!(
            without_identity(&description(&store)),
            without_identity(&expected(file)),
            "{file}, opened again"
        );
    }
}

#[test]
fn a_file_of_every_version_goes_on_where_it_was_left() {
    for file in FILES {
        let folder = tempfile::tempdir().unwrap();
        let path = copy(file, folder.path());
        let store = open(&path, false).unwrap();
        let latest = store.revision().unwrap();
        assert_eq!(store.increment("stats", "visits", 1).unwrap(), 43);
        assert_eq!(store.revision().unwrap(), latest.next(), "{file}");
        let purged = store.purge_expired().unwrap();
        assert_eq!(purged, 1, "{file}: what expired before the upgrade is removed after it");
        let tenant = store.scoped("tenant-42").unwrap();
        let refused = (0..9).find_map(|number| tenant.set("new", format!("{number}"), "x").err());
        assert!(matches!(refused, Some(Error::QuotaExceeded { .. })), "{file}: {refused:?}");
        if file != "version-1-without-cursors" {
            let mailer = store.cursor("mailer").unwrap();
            let next = match mailer.try_recv() {
                Err(Error::Restored { .. }) => mailer.try_recv(),
                next => next,
            };
            assert_eq!(next.unwrap().unwrap().group, "tenant-99:default", "after what it had seen");
        }
        common::verify(&store);
    }
}

#[test]
fn a_file_of_a_later_version_is_refused_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy("version-1", folder.path());
    sqlite(&path).pragma_update(None, "user_version", 4711).unwrap();
    let before = contents(folder.path());
    for read_only in [true, false] {
        let error = open(&path, read_only).unwrap_err();
        let Error::NewerVersion { version: 4711, supported, .. } = error else { panic!("{error:?}") };
        assert!(error.to_string().contains("4711"), "{error}");
        assert!(error.to_string().contains(&supported.to_string()), "{error}");
        assert_eq!(error.advice().unwrap(), "Open it with a newer larder.");
    }
    assert_same_files(&before, &contents(folder.path()), "refused");
}

#[test]
fn notes_of_copies_among_the_entries_of_version_1_move_out_of_reach() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy("version-1", folder.path());
    let note = format!("{} \"\" \"\"", "a".repeat(32));
    let lifted = format!("{note} tenant-99");
    let old = sqlite(&path);
    let entries = [(note.as_str(), "a position"), (&lifted, "max_keys=3 max_groups=0 max_bytes=0")];
    for (key, value) in entries {
        old.execute("INSERT INTO entries VALUES ('larder.copies', ?1, ?2, NULL, 3)", [key, value]).unwrap();
    }
    let bytes: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
    old.execute(&format!("INSERT INTO groups VALUES ('larder.copies', 2, {bytes})"), []).unwrap();
    old.close().unwrap();

    assert!(open(&path, true).unwrap().unfinished_copies().unwrap().is_empty(), "nothing moves yet");
    let store = open(&path, false).unwrap();
    assert_eq!(description(&store), expected("version-1"), "the group is gone");
    common::verify(&store);
    assert_eq!(store.unfinished_copies().unwrap()[0].source, "a".repeat(32));
    assert_eq!(store.abandon_copies().unwrap(), 1);
    assert_eq!(store.scoped("tenant-99").unwrap().quota().unwrap().max_keys, Some(3));
}

#[test]
fn a_group_of_version_1_that_only_has_the_name_of_the_notes_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy("version-1", folder.path());
    let old = sqlite(&path);
    old.execute("INSERT INTO entries VALUES ('larder.copies', 'mine', 'v', NULL, 3)", []).unwrap();
    old.execute("INSERT INTO groups VALUES ('larder.copies', 1, 5)", []).unwrap();
    old.close().unwrap();
    let store = open(&path, false).unwrap();
    assert_eq!(store.get("larder.copies", "mine").unwrap().unwrap(), "v");
    assert!(store.unfinished_copies().unwrap().is_empty());
    common::verify(&store);
}
