//! Upkeep: figures, looking for damage, backups and copies.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;
mod outside;

use std::fs;
use std::thread;
use std::time::Duration;

use common::{Bench, events_now, verify};
use larder::{Entry, Error, Pattern, Quota, Revision, Store};
use outside::{assert_same_files, contents, names, sqlite};

/// A store with something of everything.
fn furnished(bench: &Bench) -> Store {
    let store = bench.store();
    store.set("config", "colour", "blue").unwrap();
    store.set("binary", "bytes", vec![0xff, 0]).unwrap();
    store.set_with_ttl("session", "token", "abc", Duration::from_secs(60)).unwrap();
    store.set_with_ttl("session", "gone", "abc", Duration::from_secs(1)).unwrap();
    let tenant = store.scoped("tenant-42").unwrap();
    tenant.set_quota(Quota { max_keys: Some(9), ..Quota::default() }).unwrap();
    tenant.set("preferences", "locale", "en-GB").unwrap();
    bench.advance_ms(1000);
    store
}

on_every_engine! {
    fn the_figures_are_exact(bench: &Bench) {
        let store = furnished(bench);
        let stats = store.stats().unwrap();
        assert_eq!(stats.revision, bench.nth(5));
        assert_eq!((stats.keys, stats.groups, stats.namespaces), (4, 4, 1));
        assert_eq!(stats.bytes, 6 + 4 + 5 + 2 + 5 + 3 + 6 + 5, "without what has expired");
        assert_eq!((stats.history_from, stats.history_changes), (Revision(0), 5));
        assert!(stats.history_bytes > 0 && stats.file_bytes > 0);
        assert_eq!(stats.wal_bytes > 0, bench.is_file());
        assert_eq!(stats.identity.len(), 32);
        assert_ne!(stats.identity, Store::in_memory().unwrap().stats().unwrap().identity);
        if bench.is_file() {
            assert_eq!(stats.file_bytes, fs::metadata(bench.path()).unwrap().len());
        }
        assert_eq!(Store::in_memory().unwrap().stats().unwrap().keys, 0);
    }

    fn a_backup_is_the_whole_store_and_stands_alone(bench: &Bench) {
        let store = furnished(bench);
        let copy = bench.folder().join("copy.db");
        store.backup_to(&copy).unwrap();
        store.set("config", "colour", "after the backup").unwrap();
        let files: Vec<String> = names(bench.folder()).into_iter().filter(|name| name.contains("copy")).collect();
        assert_eq!(files, ["copy.db"], "nothing unfinished is left");

        let backup = Store::options().clock(bench.clock.clone()).open(&copy).unwrap();
        assert_eq!(backup.get("config", "colour").unwrap().unwrap(), "blue");
        assert_eq!(backup.get("binary", "bytes").unwrap().unwrap(), vec![0xff, 0]);
        assert_eq!(backup.scoped("tenant-42").unwrap().quota().unwrap().max_keys, Some(9));
        let [copied, token] = [&backup, &store].map(|store| store.entry("session", "token").unwrap().unwrap());
        let identities = [&backup, &store].map(|store| store.stats().unwrap().identity);
        if bench.engine_is_sqlite() {
            assert_eq!(copied, token);
            assert_eq!(identities[0], identities[1]);
            assert_eq!(
                events_now(&backup.watch_from(Pattern::all(), 0).unwrap())[..5],
                events_now(&store.watch_from(Pattern::all(), 0).unwrap())[..5]
            );
        } else {
            // A backup of a cluster is a store of its own, a file, whose history begins with it.
            let of_the_store = Entry { revision: copied.revision, ..token };
            assert_eq!(copied, of_the_store);
            assert_ne!(identities[0], identities[1]);
        }
        backup.set("config", "colour", "of the backup").unwrap();
        assert_eq!(store.get("config", "colour").unwrap().unwrap(), "after the backup");
        verify(&backup);
    }

    fn a_backup_goes_nowhere_else_than_where_it_was_sent(bench: &Bench) {
        let store = furnished(bench);
        let target = tempfile::tempdir().unwrap();
        let taken = target.path().join("taken.db");
        fs::write(&taken, "something of value").unwrap();
        fs::create_dir(target.path().join("folder")).unwrap();
        let before = contents(target.path());
        for path in [taken, target.path().join("folder")] {
            let error = store.backup_to(&path).unwrap_err();
            assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
            assert!(error.to_string().contains("exists and was left as it is"), "{error}");
        }
        let error = store.backup_to(target.path().join("missing").join("copy.db")).unwrap_err();
        assert!(matches!(error, Error::Denied { .. }), "{error:?}");
        assert!(error.to_string().contains("does not exist; create it first"), "{error}");
        if cfg!(target_os = "linux") {
            let error = store.backup_to("/proc/copy.db").unwrap_err();
            assert!(matches!(error, Error::Denied { .. }), "{error:?}");
        }
        assert!(store.backup_to("").is_err());
        assert_same_files(&before, &contents(target.path()), "backups that failed");
        if bench.is_file() {
            let error = store.backup_to(bench.path()).unwrap_err();
            assert!(matches!(error, Error::AlreadyExists { .. }), "not over itself: {error:?}");
        }
    }

    fn a_backup_takes_any_path(bench: &Bench) {
        let store = furnished(bench);
        let target = tempfile::tempdir().unwrap();
        let mut paths: Vec<std::path::PathBuf> =
            ["a b'c\".db", "file:x?mode=memory", "鍵"].iter().map(|name| target.path().join(name)).collect();
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            paths.push(target.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe.db")));
        }
        for path in &paths {
            store.backup_to(path).unwrap();
            assert_eq!(Store::open(path).unwrap().get("config", "colour").unwrap().unwrap(), "blue");
        }
        assert_eq!(fs::read_dir(target.path()).unwrap().count(), paths.len());
    }

    fn a_backup_taken_while_others_write_is_of_one_moment(bench: &Bench) {
        let store = bench.store();
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..150 {
                    store.batch().set("a", "n", number.to_string()).increment("b", "n", 1).commit().unwrap();
                }
            });
            for number in 0..4 {
                let path = bench.folder().join(format!("copy-{number}.db"));
                store.backup_to(&path).unwrap();
                let copy = Store::open(&path).unwrap();
                let count = |group: &str| copy.get(group, "n").unwrap().map(|value| value.parse::<i64>().unwrap());
                assert_eq!(count("a").map(|n| n + 1), count("b"));
                verify(&copy);
            }
        });
    }

    fn a_copy_takes_every_entry_with_its_expiry_and_the_quotas(bench: &Bench) {
        let store = furnished(bench);
        let other = Store::options().clock(bench.clock.clone()).expiry_timer(false).in_memory().unwrap();
        other.set("own", "key", "stays").unwrap();
        other.set("config", "colour", "is overwritten").unwrap();
        let watcher = other.watch(Pattern::all()).unwrap();
        assert_eq!(store.copy_to(&other).unwrap(), 4);
        assert_eq!(other.count_all("").unwrap(), 5);
        assert_eq!(other.get("config", "colour").unwrap().unwrap(), "blue");
        assert_eq!(other.get("binary", "bytes").unwrap().unwrap(), vec![0xff, 0]);
        let expiry = |store: &Store| store.entry("session", "token").unwrap().unwrap().expires_at;
        assert_eq!(expiry(&other), expiry(&store));
        assert!(!other.exists("session", "gone").unwrap());
        assert_eq!(other.scoped("tenant-42").unwrap().quota().unwrap().max_keys, Some(9));
        assert!(events_now(&watcher).iter().all(|event| event.revision == Revision(3)), "one transaction");
        verify(&other);
    }

    fn a_copy_that_does_not_fit_copies_nothing(bench: &Bench) {
        let store = furnished(bench);
        let other = Store::options().clock(bench.clock.clone()).in_memory().unwrap();
        let tenant = other.scoped("target").unwrap();
        tenant.set_quota(Quota { max_keys: Some(3), ..Quota::default() }).unwrap();
        let refused = store.copy_to(&tenant);
        assert!(matches!(refused, Err(Error::QuotaExceeded { .. })), "{refused:?}");
        assert_eq!((other.count_all("").unwrap(), other.revision().unwrap()), (0, Revision(0)));
        let small = Store::options().max_value_bytes(3).in_memory().unwrap();
        assert!(matches!(store.copy_to(&small), Err(Error::TooLarge { .. })));
        assert_eq!(small.count_all("").unwrap(), 0);
    }

    fn a_namespace_is_copied_under_the_names_that_it_knows(bench: &Bench) {
        let store = furnished(bench);
        let tenant = store.scoped("tenant-42").unwrap();
        let other = Store::in_memory().unwrap();
        assert_eq!(tenant.copy_to(&other.scoped("renamed").unwrap()).unwrap(), 1);
        assert_eq!(other.get("renamed:preferences", "locale").unwrap().unwrap(), "en-GB");
        assert_eq!(tenant.copy_to(&other).unwrap(), 1);
        assert_eq!(other.get("preferences", "locale").unwrap().unwrap(), "en-GB");
        assert_eq!(other.count_all("").unwrap(), 2, "nothing of the others");
    }

    fn a_store_is_not_copied_into_itself_without_end(bench: &Bench) {
        let store = furnished(bench);
        assert_eq!(store.copy_to(&store).unwrap(), 4);
        assert_eq!(store.count_all("").unwrap(), 4);
        let tenant = store.scoped("inner").unwrap();
        assert_eq!(store.copy_to(&tenant).unwrap(), 4);
        assert_eq!(tenant.count_all("").unwrap(), 4);
    }
}

/// What a hand that is not larder's does to a file, and what `check` is to say of it.
#[test]
fn check_finds_what_does_not_add_up() {
    for (damage, finding) in [
        ("UPDATE groups SET keys = keys + 1 WHERE group_name = 'config'", "groups whose tally differs"),
        ("UPDATE groups SET bytes = bytes - 1", "groups whose tally differs"),
        ("DELETE FROM groups WHERE group_name = 'config'", "groups whose tally differs"),
        ("INSERT INTO groups VALUES ('ghost', 1, 1)", "groups whose tally differs"),
        ("DELETE FROM entries WHERE group_name = 'config'", "groups whose tally differs"),
        ("UPDATE entries SET entry_value = 'longer than it was'", "groups whose tally differs"),
        ("UPDATE namespaces SET keys = 7", "namespaces whose tally differs"),
        ("UPDATE namespaces SET groups = 7", "namespaces whose tally differs"),
        ("DELETE FROM namespaces", "namespaces whose tally differs"),
        ("DELETE FROM changes WHERE revision = 3", "gaps in the change log"),
        ("UPDATE changes SET revision = 99 WHERE revision = 5", "gaps in the change log"),
        ("UPDATE entries SET revision = 99 WHERE group_name = 'config'", "of a later revision"),
        ("DELETE FROM changes WHERE revision = 5", "of a later revision"),
        ("UPDATE changes SET kind = 'unheard of' WHERE revision = 2", "of a kind"),
        ("UPDATE changes SET entry_value = NULL WHERE revision = 2", "of a kind"),
        ("UPDATE changes SET entry_key = NULL WHERE revision = 2", "of a kind"),
    ] {
        let bench = Bench::new(common::Engine::File);
        let store = furnished(&bench);
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
        sqlite(&bench.path()).execute_batch(damage).unwrap();
        let findings = store.check().unwrap();
        assert!(findings.iter().any(|line| line.contains(finding)), "{damage}: {findings:?}");
    }
}
