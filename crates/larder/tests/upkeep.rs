//! Upkeep: `stats`, `check`, backups and copies.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;
mod outside;

use std::fs;
use std::thread;
use std::time::Duration;

use common::{Rig, events_now, furnished, verify};
use larder::{Entry, Error, History, Pattern, Quota, Revision, Store};
use outside::{assert_same_files, awkward_names, contents, names};

on_every_engine! {
    fn the_figures_of_stats_are_exact(rig: &Rig) {
        let store = furnished(rig);
        let stats = store.stats().unwrap();
        assert_eq!(stats.revision, rig.revision(5));
        assert_eq!((stats.keys, stats.groups, stats.namespaces), (4, 4, 1));
        assert_eq!(stats.bytes, 6 + 4 + 5 + 2 + 5 + 3 + 6 + 5, "without expired entries");
        assert_eq!((stats.history_from, stats.history_changes), (Revision(0), 5));
        assert!(stats.history_bytes > 0 && stats.file_bytes > 0);
        assert_eq!(stats.wal_bytes > 0, rig.promises.is_a_file);
        assert_eq!(stats.identity.len(), 32);
        assert_ne!(stats.identity, Store::in_memory().unwrap().stats().unwrap().identity);
        if rig.promises.is_a_file {
            assert_eq!(stats.file_bytes, fs::metadata(rig.path()).unwrap().len());
        }
        assert_eq!(Store::in_memory().unwrap().stats().unwrap().keys, 0);
    }

    fn a_backup_is_complete_and_independent(rig: &Rig) {
        let store = furnished(rig);
        let copy = rig.folder().join("copy.db");
        store.backup_to(&copy).unwrap();
        store.set("config", "colour", "after the backup").unwrap();
        let files: Vec<String> = names(rig.folder()).into_iter().filter(|name| name.contains("copy")).collect();
        assert_eq!(files, ["copy.db"], "a temporary file is left");

        let backup = Store::options().clock(rig.clock.clone()).open(&copy).unwrap();
        assert_eq!(backup.get("config", "colour").unwrap().unwrap(), "blue");
        assert_eq!(backup.get("binary", "bytes").unwrap().unwrap(), vec![0xff, 0]);
        assert_eq!(backup.scoped("tenant-42").unwrap().quota().unwrap().max_keys, Some(9));
        let [copied, token] = [&backup, &store].map(|store| store.entry("session", "token").unwrap().unwrap());
        let identities = [&backup, &store].map(|store| store.stats().unwrap().identity);
        if rig.promises.backups_keep_the_history {
            assert_eq!(copied, token);
            assert_ne!(identities[0], identities[1]);
            assert_eq!(
                events_now(&backup.watch_from(Pattern::all(), 0).unwrap())[..5],
                events_now(&store.watch_from(Pattern::all(), 0).unwrap())[..5]
            );
        } else {
            // A backup of a cluster is a new store in a file, with its own revisions.
            let of_the_store = Entry { revision: copied.revision, ..token };
            assert_eq!(copied, of_the_store);
            assert_ne!(identities[0], identities[1]);
        }
        backup.set("config", "colour", "of the backup").unwrap();
        assert_eq!(store.get("config", "colour").unwrap().unwrap(), "after the backup");
        verify(&backup);
    }

    fn a_backup_has_the_quotas_histories_and_cursors_and_lacks_what_the_log_has_lost(rig: &Rig) {
        if !rig.promises.backups_keep_the_history {
            return;
        }
        let store = furnished(rig);
        let bounds = History { changes: 100, bytes: 1 << 20, age: Some(Duration::from_secs(3600)) };
        store.set_history("orders", bounds).unwrap();
        store.set_history("session", History::NONE).unwrap();
        let cursor = store.cursor_on("mailer", Pattern::group("orders")).unwrap();
        for number in 0..20 {
            store.set("orders", number.to_string(), "a book").unwrap();
        }
        store.set("session", "page", "1").unwrap();
        let first = cursor.recv().unwrap();
        cursor.ack(&first).unwrap();
        let copy = rig.folder().join("copy.db");
        store.backup(&copy).verified().run().unwrap();

        let backup = Store::options().clock(rig.clock.clone()).expiry_timer(false).open(&copy).unwrap();
        verify(&backup);
        let [theirs, ours] = [&backup, &store].map(|store| {
            let stats = store.stats().unwrap();
            let usages = (store.namespaces().unwrap(), store.groups("").unwrap());
            let log = (stats.history_changes, stats.history_bytes, stats.history_from);
            (stats.revision, log, stats.cursors, store.histories().unwrap(), usages)
        });
        assert_eq!(theirs, ours);
        // Who reads the log of either loses the same.
        let lost = |store: &Store| match store.watch_from(Pattern::all(), 0) {
            Err(Error::Compacted { oldest }) => oldest,
            other => panic!("{:?}", other.map(drop)),
        };
        assert_eq!(lost(&backup), lost(&store));
        assert_eq!(backup.set("orders", "next", "a pen").unwrap(), theirs.0.next());
        let orders = |store: &Store| events_now(&store.watch_from(("orders", "*"), 0).unwrap());
        assert_eq!(orders(&backup)[..20], orders(&store)[..]);
    }

    fn a_backup_writes_only_to_its_destination(rig: &Rig) {
        let store = furnished(rig);
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
        assert!(error.to_string().contains("missing does not exist"), "{error}");
        assert_eq!(error.advice().unwrap(), "Create the folder first.");
        if cfg!(target_os = "linux") {
            let error = store.backup_to("/proc/copy.db").unwrap_err();
            assert!(matches!(error, Error::Denied { .. }), "{error:?}");
        }
        assert!(store.backup_to("").is_err());
        assert_same_files(&before, &contents(target.path()), "backups that failed");
        if rig.promises.is_a_file {
            let error = store.backup_to(rig.path()).unwrap_err();
            assert!(matches!(error, Error::AlreadyExists { .. }), "overwriting itself: {error:?}");
        }
    }

    fn a_backup_is_not_put_where_sqlite_keeps_what_belongs_to_a_database(rig: &Rig) {
        let store = furnished(rig);
        let target = tempfile::tempdir().unwrap();
        fs::write(target.path().join("other.db"), "").unwrap();
        for name in ["other.db-journal", "other.db-wal", "other.db-shm"] {
            let error = store.backup_to(target.path().join(name)).unwrap_err();
            assert!(matches!(error, Error::Denied { .. }), "{error:?}");
            assert_eq!(error.advice().unwrap(), "Choose another name.");
        }
        assert_eq!(names(target.path()), ["other.db"]);
    }

    fn backups_to_one_place_at_once_are_one_backup_and_refusals(rig: &Rig) {
        let store = furnished(rig);
        let copy = rig.folder().join("copy.db");
        let made = thread::scope(|scope| {
            let backups = [(); 4].map(|()| scope.spawn(|| store.backup_to(&copy)));
            let results = backups.map(|backup| backup.join().unwrap());
            results.into_iter().filter(|result| match result {
                Ok(()) => true,
                Err(Error::AlreadyExists { .. }) => false,
                Err(error) => panic!("{error:?}"),
            }).count()
        });
        assert_eq!(made, 1);
        verify(&Store::open(&copy).unwrap());
    }

    fn a_backup_takes_any_path(rig: &Rig) {
        let store = furnished(rig);
        let target = tempfile::tempdir().unwrap();
        let paths: Vec<std::path::PathBuf> = awkward_names().iter().map(|name| target.path().join(name)).collect();
        for path in &paths {
            store.backup_to(path).unwrap();
            assert_eq!(Store::open(path).unwrap().get("config", "colour").unwrap().unwrap(), "blue");
        }
        assert_eq!(fs::read_dir(target.path()).unwrap().count(), paths.len());
    }

    fn a_backup_taken_during_writes_is_one_snapshot(rig: &Rig) {
        let store = rig.store();
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..150 {
                    store.batch().set("a", "n", number.to_string()).increment("b", "n", 1).commit().unwrap();
                }
            });
            for number in 0..4 {
                let path = rig.folder().join(format!("copy-{number}.db"));
                store.backup_to(&path).unwrap();
                let copy = Store::open(&path).unwrap();
                let count = |group: &str| copy.get(group, "n").unwrap().map(|value| value.parse::<i64>().unwrap());
                assert_eq!(count("a").map(|n| n + 1), count("b"));
                verify(&copy);
            }
        });
    }

    fn copy_to_copies_every_entry_expiry_and_quota(rig: &Rig) {
        let store = furnished(rig);
        let other = Store::options().clock(rig.clock.clone()).expiry_timer(false).in_memory().unwrap();
        other.set("own", "key", "stays").unwrap();
        other.set("config", "colour", "is overwritten").unwrap();
        let watcher = other.watch(Pattern::all()).unwrap();
        assert_eq!(store.copy_to(&other).in_one_transaction().run().unwrap().entries, 4);
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

    fn a_copy_over_quota_copies_nothing(rig: &Rig) {
        let store = furnished(rig);
        let other = Store::options().clock(rig.clock.clone()).in_memory().unwrap();
        let tenant = other.scoped("target").unwrap();
        other.set_quota("target", Quota { max_keys: Some(3), ..Quota::default() }).unwrap();
        let refused = store.copy_to(&tenant).in_one_transaction().run();
        assert!(matches!(refused, Err(Error::QuotaExceeded { .. })), "{refused:?}");
        assert_eq!((other.count_all("").unwrap(), other.revision().unwrap()), (0, Revision(0)));
        let small = Store::options().max_value_bytes(3).in_memory().unwrap();
        assert!(matches!(store.copy_to(&small).in_one_transaction().run(), Err(Error::TooLarge { .. })));
        assert_eq!(small.count_all("").unwrap(), 0);
    }

    fn a_namespace_is_copied_with_its_own_group_names(rig: &Rig) {
        let store = furnished(rig);
        let tenant = store.scoped("tenant-42").unwrap();
        let other = Store::in_memory().unwrap();
        assert_eq!(tenant.copy_to(&other.scoped("renamed").unwrap()).in_one_transaction().run().unwrap().entries, 1);
        assert_eq!(other.get("renamed:preferences", "locale").unwrap().unwrap(), "en-GB");
        assert_eq!(tenant.copy_to(&other).in_one_transaction().run().unwrap().entries, 1);
        assert_eq!(other.get("preferences", "locale").unwrap().unwrap(), "en-GB");
        assert_eq!(other.count_all("").unwrap(), 2, "entries of other namespaces");
    }

    fn copying_a_store_into_itself_ends(rig: &Rig) {
        let store = furnished(rig);
        assert_eq!(store.copy_to(&store).in_one_transaction().run().unwrap().entries, 4);
        assert_eq!(store.count_all("").unwrap(), 4);
        let tenant = store.scoped("inner").unwrap();
        assert_eq!(store.copy_to(&tenant).in_one_transaction().run().unwrap().entries, 4);
        assert_eq!(tenant.count_all("").unwrap(), 4);
    }
}
