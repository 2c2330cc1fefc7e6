//! Opening: new and existing files, memory, read-only.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod outside;

use std::time::Duration;

use larder::{Durability, Error, EventKind, ManualClock, Quota, Revision, Store};
use outside::{awkward_names, contents, names};

#[test]
fn opening_creates_a_file_that_keeps_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = Store::open(&path).unwrap();
    assert!(path.is_file());
    assert_eq!(store.revision().unwrap(), Revision(0));
    assert_eq!(store.set("config", "colour", "blue").unwrap(), Revision(1));
    store.close().unwrap();
    assert_eq!(Store::open(&path).unwrap().get("config", "colour").unwrap().unwrap(), "blue");
}

#[test]
fn reopening_a_file_finds_everything_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let clock = ManualClock::new();
    let open = || Store::options().clock(clock.clone()).open(&path).unwrap();

    let store = open();
    store.set("", "", "").unwrap();
    store.set("binary", "bytes", vec![0xff, 0, 0xfe]).unwrap();
    store.set_with_ttl("session", "token", "abc", Duration::from_secs(60)).unwrap();
    let tenant = store.scoped("tenant-42").unwrap();
    tenant.set("preferences", "locale", "en-GB").unwrap();
    let quota = Quota { max_keys: Some(7), ..Quota::default() };
    store.set_quota("tenant-42", quota).unwrap();
    store.delete("binary", "bytes").unwrap();
    store.set("binary", "bytes", vec![0xfe]).unwrap();
    let (stats, entry) = (store.stats().unwrap(), store.entry("session", "token").unwrap());
    let history = store.history("binary", "bytes").unwrap();
    store.close().unwrap();

    let store = open();
    assert_eq!(store.revision().unwrap(), Revision(6));
    assert_eq!(store.get("", "").unwrap().unwrap(), "");
    assert_eq!(store.get("binary", "bytes").unwrap().unwrap(), vec![0xfe]);
    assert_eq!(store.entry("session", "token").unwrap(), entry);
    assert_eq!(store.scoped("tenant-42").unwrap().quota().unwrap(), quota);
    assert_eq!(store.history("binary", "bytes").unwrap(), history);
    let kinds: Vec<EventKind> = history.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Set, EventKind::Delete, EventKind::Set]);
    assert_eq!(store.stats().unwrap().identity, stats.identity);
    assert_eq!(store.stats().unwrap().bytes, stats.bytes);
    assert_eq!(store.set("a", "b", "c").unwrap(), Revision(7), "revisions continue");
    clock.advance(Duration::from_secs(60));
    assert!(!store.exists("session", "token").unwrap());
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn a_closed_store_is_a_single_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("app.db")).unwrap();
    store.set("config", "colour", "blue").unwrap();
    store.close().unwrap();
    assert_eq!(names(folder.path()), ["app.db"]);
}

#[test]
fn an_empty_file_becomes_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    std::fs::write(&path, b"").unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.set("a", "b", "c").unwrap(), Revision(1));
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn stores_in_memory_are_separate_and_end_with_their_last_handle() {
    let one = Store::in_memory().unwrap();
    let other = Store::connect(":memory:").unwrap();
    one.set("config", "colour", "blue").unwrap();
    assert_eq!(other.count_all("").unwrap(), 0);
    let clone = one.clone();
    drop(one);
    assert_eq!(clone.get("config", "colour").unwrap().unwrap(), "blue");
    assert_eq!(other.stats().unwrap().wal_bytes, 0);
}

#[test]
fn a_location_names_a_file_with_or_without_a_scheme() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db").display().to_string();
    Store::connect(&path).unwrap().set("config", "colour", "blue").unwrap();
    for location in [path.clone(), format!("sqlite:{path}"), format!("sqlite://{path}")] {
        let store = Store::connect(&location).unwrap();
        assert_eq!(store.get("config", "colour").unwrap().unwrap(), "blue", "{location}");
    }
    assert_eq!(names(folder.path()), ["app.db"]);
    assert!(Store::connect("sqlite::memory:").unwrap().set("a", "b", "c").is_ok());
}

#[test]
fn a_path_may_contain_any_characters() {
    let folder = tempfile::tempdir().unwrap();
    for name in awkward_names() {
        let path = folder.path().join(&name);
        let store = Store::open(&path).unwrap();
        store.set("config", "colour", "blue").unwrap();
        store.close().unwrap();
        assert!(path.is_file(), "{name:?}");
        assert_eq!(Store::open(&path).unwrap().count("config").unwrap(), 1, "{name:?}");
    }
}

#[cfg(all(unix, not(target_vendor = "apple")))]
#[test]
fn a_path_need_not_be_utf_8() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe.db"));
    let store = Store::open(&path).unwrap();
    store.set("config", "colour", "blue").unwrap();
    store.close().unwrap();
    assert!(path.is_file());
    assert_eq!(Store::open(&path).unwrap().get("config", "colour").unwrap().unwrap(), "blue");
}

#[cfg(unix)]
#[test]
fn a_store_opened_through_a_symbolic_link_is_the_same_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let link = folder.path().join("link.db");
    let store = Store::open(&path).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    // Enough writes that most of the data is in the log beside the file.
    for number in 0..100 {
        store.set("bulk", number.to_string(), vec![b'x'; 10_000]).unwrap();
    }
    let through_link = Store::open(&link).unwrap();
    assert_eq!(through_link.count("bulk").unwrap(), 100);
    assert_eq!(through_link.set("config", "colour", "blue").unwrap(), Revision(101));
    assert_eq!(store.get("config", "colour").unwrap().unwrap(), "blue");
    assert_eq!(through_link.stats().unwrap().wal_bytes, store.stats().unwrap().wal_bytes);
}

/// SQLite keeps the log beside the name that a file was opened by, so two names would be two logs.
#[cfg(unix)]
#[test]
fn a_file_with_several_names_is_opened_by_none_of_them_until_one_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let [path, other, link] = ["app.db", "other.db", "link.db"].map(|name| folder.path().join(name));
    let store = Store::open(&path).unwrap();
    store.set("config", "colour", "blue").unwrap();
    std::fs::hard_link(&path, &other).unwrap();
    std::os::unix::fs::symlink(&other, &link).unwrap();
    let refused = |path: &std::path::Path| {
        for options in [Store::options(), Store::options().create(false), Store::options().read_only(true)] {
            let error = options.open(path).unwrap_err();
            assert!(
                matches!(&error, Error::SeveralNames { path: named, names: 2 } if named == path),
                "{error:?}"
            );
            assert!(error.to_string().contains("hard links"), "{error}");
        }
    };
    let files = ["app.db", "app.db-shm", "app.db-wal", "link.db", "other.db"];
    for name in [&path, &other, &link] {
        refused(name);
        assert_eq!(names(folder.path()), files);
    }
    // The store that was open before can be read, but not written: nobody would find it by the other name.
    assert!(store.exists("config", "colour").unwrap());
    // A write that was under way when the name was made may be the last to succeed.
    let _ = store.set("config", "colour", "blue");
    for _ in 0..2 {
        let error = store.set("config", "colour", "red").unwrap_err();
        assert!(matches!(error, Error::SeveralNames { .. }), "{error:?}");
    }
    store.close().unwrap();
    refused(&path);
    std::fs::remove_file(&path).unwrap();
    for name in [&other, &link] {
        let store = Store::open(name).unwrap();
        assert_eq!(store.get("config", "colour").unwrap().unwrap(), "blue");
        store.close().unwrap();
    }
}

#[test]
fn a_read_only_store_reads_everything_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let clock = ManualClock::new();
    let options = Store::options().clock(clock.clone());
    let store = options.open(&path).unwrap();
    store.set("config", "colour", "blue").unwrap();
    store.set_with_ttl("session", "token", "abc", Duration::from_secs(1)).unwrap();
    store.scoped("t").unwrap().set("g", "k", "v").unwrap();
    store.close().unwrap();
    clock.advance(Duration::from_secs(2));
    let before = std::fs::read(&path).unwrap();

    let store = options.read_only(true).open(&path).unwrap();
    assert_eq!(store.get("config", "colour").unwrap().unwrap(), "blue");
    assert!(!store.exists("session", "token").unwrap(), "an expired entry that was not purged is visible");
    assert_eq!(store.count_all("").unwrap(), 2);
    assert_eq!(store.history("config", "colour").unwrap().len(), 1);
    assert_eq!(store.snapshot().unwrap().revision().unwrap(), Revision(3));
    assert_eq!(store.render("{{ colour }}", "config").unwrap(), "blue");
    assert_eq!(store.watch_from(("*", "*"), 0).unwrap().recv().unwrap().revision, Revision(1));
    assert_eq!(store.check().unwrap(), []);

    let tenant = store.scoped("t").unwrap();
    let minute = Duration::from_secs(60);
    let refused: Vec<(&str, Option<Error>)> = vec![
        ("set", store.set("a", "b", "c").err()),
        ("set_with_ttl", store.set_with_ttl("a", "b", "c", minute).err()),
        ("set_if", store.set_if("a", "b", larder::Condition::Absent, "c").err()),
        ("delete", store.delete("config", "colour").err()),
        ("delete_if", store.delete_if("config", "colour", larder::Condition::Present).err()),
        ("touch", store.touch("config", "colour", minute).err()),
        ("persist", store.persist("config", "colour").err()),
        ("increment", store.increment("a", "b", 1).err()),
        ("delete_group", store.delete_group("config").err()),
        ("delete_prefix", store.delete_prefix("").err()),
        ("purge_expired", store.purge_expired().err()),
        ("batch", store.batch().set("a", "b", "c").commit().err()),
        ("transaction", store.transaction(|tx| tx.set("a", "b", "c")).err()),
        ("set_quota", store.set_quota("t", Quota { max_keys: Some(1), ..Quota::default() }).err()),
        ("scoped set", tenant.set("a", "b", "c").err()),
    ];
    for (call, error) in refused {
        assert!(matches!(error, Some(Error::ReadOnly { .. })), "{call}: {error:?}");
    }
    store.close().unwrap();
    assert!(before == std::fs::read(&path).unwrap(), "the file changed");
}

#[test]
fn a_read_only_store_sees_the_writes_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let writer = Store::open(&path).unwrap();
    let reader = Store::options().read_only(true).open(&path).unwrap();
    for number in 1..=20 {
        writer.increment("stats", "visits", 1).unwrap();
        assert_eq!(reader.get("stats", "visits").unwrap().unwrap(), number.to_string());
        assert_eq!(reader.revision().unwrap(), Revision(number));
    }
}

#[test]
fn a_missing_file_is_not_created_when_opened_read_only_or_without_create() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let read_only = Store::options().read_only(true).open(&path).unwrap_err();
    let no_create = Store::options().create(false).open(&path).unwrap_err();
    for error in [&read_only, &no_create] {
        assert!(matches!(error, Error::NoStore { path: named, .. } if *named == path), "{error:?}");
        assert!(error.to_string().contains("there is no such file"), "{error}");
    }
    assert!(read_only.to_string().contains("read-only"), "{read_only}");
    assert_eq!(names(folder.path()), Vec::<String>::new());

    std::fs::write(&path, b"").unwrap();
    let empty = Store::options().read_only(true).open(&path).unwrap_err();
    assert!(matches!(empty, Error::NoStore { .. }), "{empty:?}");
    assert_eq!(contents(folder.path())["app.db"], b"");
    assert!(matches!(Store::options().read_only(true).in_memory(), Err(Error::ReadOnly { .. })));
}

#[test]
fn a_relaxed_store_keeps_every_acknowledged_write_when_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = Store::options().durability(Durability::Relaxed).open(&path).unwrap();
    for number in 0..500_i64 {
        store.set("bulk", format!("{number:03}"), number.to_string()).unwrap();
    }
    drop(store);
    let store = Store::open(&path).unwrap();
    assert_eq!((store.count("bulk").unwrap(), store.revision().unwrap()), (500, Revision(500)));
}

#[test]
fn a_closed_store_refuses_every_call_but_close() {
    let store = Store::in_memory().unwrap();
    let clone = store.clone();
    let tenant = store.scoped("t").unwrap();
    let snapshot = store.snapshot().unwrap();
    store.close().unwrap();
    store.close().unwrap();
    clone.close().unwrap();
    assert!(matches!(clone.get("a", "b"), Err(Error::Closed)));
    assert!(matches!(tenant.set("a", "b", "c"), Err(Error::Closed)));
    assert!(matches!(snapshot.get("a", "b"), Err(Error::Closed)));
    assert!(matches!(store.transaction(|_| Ok(())), Err(Error::Closed)));
    assert!(matches!(store.watch(("*", "*")), Err(Error::Closed)));
    assert!(matches!(store.stats(), Err(Error::Closed)));
}

#[test]
fn several_threads_can_create_one_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    std::thread::scope(|scope| {
        for opener in 0..8 {
            let path = &path;
            scope.spawn(move || Store::open(path).unwrap().set("opened", opener.to_string(), "x").unwrap());
        }
    });
    let store = Store::open(&path).unwrap();
    assert_eq!((store.count("opened").unwrap(), store.revision().unwrap()), (8, Revision(8)));
    assert_eq!(store.check().unwrap(), []);
}

/// Runs in a process of its own, which may change its folder and its limits.
#[cfg(unix)]
#[test]
fn in_a_process_of_its_own() {
    let Some((path, words)) = outside::child_task() else { return };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["set", key] => drop(Store::open(&path).unwrap().set("g", key, "v").unwrap()),
        ["relative"] => {
            std::env::set_current_dir(path.parent().unwrap()).unwrap();
            let store = Store::open(path.file_name().unwrap()).unwrap();
            store.set("g", "k", "v").unwrap();
            std::env::set_current_dir("/").unwrap();
            let snapshots: Vec<_> = (0..20).map(|_| store.snapshot().unwrap()).collect();
            assert!(snapshots.iter().all(|snapshot| snapshot.count("g").unwrap() == 1));
            assert!(store.stats().unwrap().wal_bytes > 0);
        }
        ["gone"] => {
            std::env::set_current_dir(&path).unwrap();
            std::fs::remove_dir(&path).unwrap();
            let error = Store::open("app.db").unwrap_err();
            assert!(error.to_string().contains("the current folder was deleted"), "{error}");
            assert_eq!(error.advice().unwrap(), "Change to a folder that exists, or give the full path.");
        }
        ["crowded"] => {
            let mut files = Vec::new();
            while let Ok(file) = std::fs::File::open("/") {
                files.push(file);
            }
            // With each file that is closed, opening comes a little further.
            while let Err(error) = Store::open(&path) {
                assert!(!std::fs::metadata(&path).is_ok_and(|file| file.len() == 0), "{error:#}");
                assert!(error.advice().unwrap().contains("ulimit -n"), "{error:#}");
                drop(files.pop().unwrap());
            }
        }
        _ => panic!("{words:?}"),
    }
}

#[cfg(unix)]
fn elsewhere(path: &std::path::Path, words: &str) {
    outside::Process::start("in_a_process_of_its_own", path, words).finish();
}

// Apple's file systems take text alone.
#[cfg(all(unix, not(target_vendor = "apple")))]
#[test]
fn a_path_that_is_not_utf_8_is_a_path_like_any_other() {
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff.db"));
    let store = Store::open(&path).unwrap();
    let watcher = store.watch(larder::Pattern::all()).unwrap();
    assert!(watcher.try_recv().unwrap().is_none());
    elsewhere(&path, "set k");
    let event = watcher.recv_timeout(Duration::from_secs(10)).unwrap().unwrap();
    assert_eq!(event.key.as_deref(), Some("k"));
    for number in 0..100 {
        store.set("bulk", number.to_string(), vec![b'x'; 10_000]).unwrap();
    }
    assert!(store.stats().unwrap().wal_bytes > 0);
    // Opened again while its content is in the log, and read-only.
    assert_eq!(Store::open(&path).unwrap().count("bulk").unwrap(), 100);
    assert_eq!(Store::options().read_only(true).open(&path).unwrap().count("bulk").unwrap(), 100);
    store.backup_to(folder.path().join(std::ffi::OsStr::from_bytes(b"\xfe.db"))).unwrap();
    store.close().unwrap();
    assert_eq!(Store::options().read_only(true).open(&path).unwrap().count("bulk").unwrap(), 100);
}

#[cfg(unix)]
#[test]
fn a_relative_path_names_the_same_store_after_the_process_has_changed_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    for name in awkward_names() {
        elsewhere(&folder.path().join(name), "relative");
    }
}

#[cfg(unix)]
#[test]
fn a_missing_current_folder_is_reported_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    std::fs::create_dir(&gone).unwrap();
    elsewhere(&gone, "gone");
}

#[cfg(unix)]
#[test]
fn too_many_open_files_are_reported_as_such_and_leave_no_empty_file() {
    let folder = tempfile::tempdir().unwrap();
    elsewhere(&folder.path().join("app.db"), "crowded");
}

#[cfg(unix)]
#[test]
fn a_name_too_long_for_what_sqlite_keeps_beside_it_is_refused_and_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let open = |length: usize| Store::open(folder.path().join("y".repeat(length)));
    for length in [248, 250, 255, 256, 5000] {
        let error = open(length).unwrap_err();
        assert!(matches!(error, Error::NoStore { .. }), "{error:?}");
        assert_eq!(error.advice().unwrap(), "Choose a shorter name.", "{length}");
    }
    assert_eq!(names(folder.path()), Vec::<String>::new());
    open(247).unwrap().set("g", "k", "v").unwrap();
    // The full path has a limit of its own.
    let mut deep = folder.path().canonicalize().unwrap();
    while deep.as_os_str().len() < 400 {
        deep = deep.join("d".repeat(20));
    }
    std::fs::create_dir_all(&deep).unwrap();
    let of_length = |length: usize| deep.join("z".repeat(length - deep.as_os_str().len() - 1));
    Store::open(of_length(504)).unwrap().set("g", "k", "v").unwrap();
    let error = Store::open(of_length(505)).unwrap_err();
    assert!(error.to_string().contains("505 bytes"), "{error}");
    assert_eq!(names(&deep).len(), 1);
}

#[test]
fn the_query_of_a_uri_is_not_taken_for_a_part_of_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let location = format!("sqlite:{}?mode=ro", folder.path().join("app.db").display());
    let error = Store::connect(&location).unwrap_err();
    assert!(matches!(error, Error::InvalidLocation { .. }), "{error:?}");
    assert!(error.advice().unwrap().contains("`read_only`"), "{:?}", error.advice());
    assert_eq!(names(folder.path()), Vec::<String>::new());
}
