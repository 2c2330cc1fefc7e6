//! What another user has planted in a folder where everybody may create files: no file is written through it.
//!
//! Links of another user can only be made by root. Without it, those tests do nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![cfg(unix)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use larder::{Error, Store};
use tempfile::TempDir;

/// Usually called nobody.
const ANOTHER_USER: u32 = 65534;

/// A folder like `/tmp`, and a file that is none of larder's.
struct Shared {
    folder: TempDir,
    victim: PathBuf,
    _private: TempDir,
}

impl Shared {
    fn new() -> Self {
        let (folder, private) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).unwrap();
        let victim = private.path().join("victim.db");
        let store = Store::open(&victim).unwrap();
        store.set("config", "of", "somebody").unwrap();
        store.close().unwrap();
        Self { folder, victim, _private: private }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A link to the victim that belongs to another user; `None` where this user cannot make one.
    fn link_of_another(&self, name: &str) -> Option<PathBuf> {
        let link = self.path(name);
        symlink(&self.victim, &link).unwrap();
        lchown(&link, Some(ANOTHER_USER), Some(ANOTHER_USER)).ok().map(|()| link)
    }
}

fn is_refused<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Denied { reason, .. }) if reason.contains("another user"))
}

#[test]
fn no_link_of_another_user_in_a_shared_folder_is_followed() {
    let shared = Shared::new();
    let Some(link) = shared.link_of_another("app.db") else { return };
    let before = fs::read(&shared.victim).unwrap();
    let own = Store::in_memory().unwrap();
    own.set("config", "of", "me").unwrap();
    let backup = shared.path("backup.db");
    own.backup_to(&backup).unwrap();

    assert!(is_refused(Store::open(&link)));
    assert!(is_refused(Store::options().read_only(true).open(&link)));
    assert!(is_refused(own.backup(&link).replacing().run()));
    assert!(is_refused(Store::restore(&backup, &link).run()));
    assert!(matches!(own.backup_to(&link), Err(Error::AlreadyExists { .. })));
    // A folder on the way is no different.
    let folder = shared.path("folder");
    symlink(shared.victim.parent().unwrap(), &folder).unwrap();
    lchown(&folder, Some(ANOTHER_USER), Some(ANOTHER_USER)).unwrap();
    assert!(is_refused(Store::open(folder.join("victim.db"))));
    assert!(is_refused(own.backup_to(folder.join("new.db"))));
    // Nor is a link to a link.
    let own_link = shared.path("own.db");
    symlink(&link, &own_link).unwrap();
    assert!(is_refused(Store::open(&own_link)));
    assert!(fs::read(&shared.victim).unwrap() == before);
}

#[test]
fn ones_own_link_is_followed_and_so_is_one_where_not_everybody_may_create_files() {
    let shared = Shared::new();
    let own = shared.path("own.db");
    symlink(&shared.victim, &own).unwrap();
    assert!(Store::open(&own).is_ok());
    let Some(link) = shared.link_of_another("app.db") else { return };
    fs::set_permissions(shared.folder.path(), Permissions::from_mode(0o755)).unwrap();
    assert!(Store::open(&link).is_ok());
}

#[test]
fn a_log_or_a_journal_of_another_user_beside_a_store_in_a_shared_folder_is_refused() {
    for suffix in ["-wal", "-journal", "-shm"] {
        for exists in [false, true] {
            let shared = Shared::new();
            let path = shared.path("app.db");
            if exists {
                fs::copy(&shared.victim, &path).unwrap();
            }
            let planted = shared.path(&format!("app.db{suffix}"));
            fs::write(&planted, "planted").unwrap();
            if lchown(&planted, Some(ANOTHER_USER), Some(ANOTHER_USER)).is_err() {
                return;
            }
            assert!(is_refused(Store::open(&path)), "{suffix}, exists: {exists}");
            assert_eq!(fs::read_to_string(&planted).unwrap(), "planted");
            // Whoever owns the file owns what lies beside it.
            if exists {
                fs::remove_file(&planted).unwrap();
                fs::write(&planted, "").unwrap();
                for file in [&path, &planted] {
                    lchown(file, Some(ANOTHER_USER), Some(ANOTHER_USER)).unwrap();
                }
                assert!(Store::open(&path).is_ok(), "{suffix}");
            }
        }
    }
}

/// Somebody puts a link where a backup is about to appear, and takes it away, as fast as they can.
#[test]
fn a_link_that_appears_while_a_backup_is_made_is_neither_followed_nor_replaced() {
    let shared = Shared::new();
    let target = shared.path("backup.db");
    let before = fs::read(&shared.victim).unwrap();
    let own = Store::in_memory().unwrap();
    own.set("config", "of", "me").unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                if symlink(&shared.victim, &target).is_ok() {
                    let is_link =
                        |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
                    assert!(is_link(&target), "the link was replaced");
                    fs::remove_file(&target).unwrap();
                }
                std::thread::yield_now();
            }
        });
        for _ in 0..30 {
            match own.backup_to(&target) {
                Ok(()) => {
                    assert!(!fs::symlink_metadata(&target).unwrap().is_symlink());
                    fs::remove_file(&target).unwrap();
                }
                Err(error) => assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}"),
            }
        }
        is_over.store(true, Ordering::SeqCst);
    });
    assert!(fs::read(&shared.victim).unwrap() == before);
}

#[test]
fn what_is_written_belongs_to_its_writer_alone_whatever_lies_under_names_of_the_kind() {
    let shared = Shared::new();
    let own = Store::in_memory().unwrap();
    own.set("config", "of", "me").unwrap();
    // The names that earlier versions used, of files that everybody could read.
    for number in 0..20 {
        let name = format!(".larder-{}-{number}.unfinished", std::process::id());
        for suffix in ["", "-journal", "-wal"] {
            symlink(&shared.victim, shared.path(&format!("{name}{suffix}"))).unwrap();
        }
    }
    let before = fs::read(&shared.victim).unwrap();
    let backup = shared.path("backup.db");
    own.backup_to(&backup).unwrap();
    let found = fs::symlink_metadata(&backup).unwrap();
    assert!(found.is_file());
    assert_eq!((found.mode() & 0o7777, found.nlink()), (0o600, 1));
    assert!(fs::read(&shared.victim).unwrap() == before);
    assert_eq!(Store::open(&backup).unwrap().get("config", "of").unwrap().unwrap(), "me");
}
