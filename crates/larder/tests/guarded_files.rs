//! Where a store's file may lie, and who may read it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[cfg(target_os = "linux")]
mod fuse;
mod outside;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use larder::{Error, Store};

/// The permissions of every file in a folder.
fn permissions(folder: &Path) -> Vec<(String, u32)> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap())
        .map(|file| {
            let mode = file.metadata().unwrap().permissions().mode() & 0o777;
            (file.file_name().into_string().unwrap(), mode)
        })
        .collect();
    found.sort();
    found
}

fn expect(mode: u32, names: &[&str]) -> Vec<(String, u32)> {
    names.iter().map(|name| ((*name).to_owned(), mode)).collect()
}

#[test]
fn only_its_owner_can_read_a_new_store_its_log_and_its_backups() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let store = Store::open(&path).unwrap();
    store.set("g", "secret", "v").unwrap();
    store.backup_to(folder.path().join("b.db")).unwrap();
    Store::in_memory().unwrap().backup_to(folder.path().join("c.db")).unwrap();
    assert_eq!(permissions(folder.path()), expect(0o600, &["a.db", "a.db-shm", "a.db-wal", "b.db", "c.db"]));
}

#[test]
fn the_group_of_a_store_may_use_it_if_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::options().group_access(true).open(folder.path().join("a.db")).unwrap();
    store.set("g", "k", "v").unwrap();
    store.backup_to(folder.path().join("b.db")).unwrap();
    assert_eq!(permissions(folder.path()), expect(0o660, &["a.db", "a.db-shm", "a.db-wal", "b.db"]));
}

#[test]
fn an_existing_file_keeps_its_permissions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let store = Store::open(&path).unwrap();
    store.set("g", "k", "v").unwrap();
    assert_eq!(permissions(folder.path()), expect(0o644, &["a.db", "a.db-shm", "a.db-wal"]));
}

#[test]
fn a_new_store_behind_a_symbolic_link_is_private_too() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    symlink("middle.db", folder.path().join("link.db")).unwrap();
    symlink("data/a.db", folder.path().join("middle.db")).unwrap();
    let store = Store::open(folder.path().join("link.db")).unwrap();
    store.set("g", "k", "v").unwrap();
    assert_eq!(permissions(&folder.path().join("data")), expect(0o600, &["a.db", "a.db-shm", "a.db-wal"]));
}

/// Mounts something while this lives, in the mount namespace of the test. `None` where that is not allowed.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(arguments: &[&str], at: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(arguments).arg(at).output().ok()?;
        if !mounted.status.success() {
            eprintln!("skipped: {}", String::from_utf8_lossy(&mounted.stderr));
        }
        mounted.status.success().then(|| Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.0.display());
    }
}

#[test]
fn a_file_that_is_mounted_by_itself_is_refused_and_one_in_a_mounted_folder_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("a.db"), folder.path().join("other.db"));
    Store::open(&path).unwrap().set("g", "k", "v").unwrap();
    fs::write(&other, "").unwrap();
    let Some(_mounted) = Mounted::new(&["--bind", path.to_str().unwrap()], &other) else { return };
    for options in [Store::options(), Store::options().read_only(true)] {
        let refused = options.open(&other).unwrap_err();
        assert!(matches!(&refused, Error::MountedFile { path } if *path == other), "{refused:?}");
    }
    // Its own name is not mounted.
    assert!(Store::open(&path).unwrap().exists("g", "k").unwrap());

    let second = folder.path().join("second");
    fs::create_dir(&second).unwrap();
    let Some(_mounted) = Mounted::new(&["--bind", folder.path().to_str().unwrap()], &second) else { return };
    assert!(Store::open(second.join("a.db")).unwrap().exists("g", "k").unwrap());
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_on_a_file_system_that_may_lie_anywhere_is_refused_unless_that_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_mounted) = fuse::Fuse::mount(folder.path()) else { return };
    let path = folder.path().join("a.db");
    let refused = Store::open(&path).unwrap_err();
    assert!(
        matches!(&refused, Error::UnsafeFileSystem { path: named, kind } if *named == path && kind == "fuse.larder-test"),
        "{refused:?}"
    );
    // This one can create no file, which is found only where it was allowed to try.
    let allowed = Store::options().allow_unsafe_file_system(true).open(&path).unwrap_err();
    assert!(matches!(allowed, Error::Denied { .. }), "{allowed:?}");
}

/// Old versions of SQLite that have changed a file.
#[cfg(target_os = "linux")]
mod old_sqlite {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::sync::{Arc, Mutex};

    use larder::Store;

    /// Keeps what is logged as warnings.
    #[derive(Clone, Default)]
    struct Warnings(Arc<Mutex<Vec<String>>>);

    impl tracing::Subscriber for Warnings {
        fn enabled(&self, what: &tracing::Metadata<'_>) -> bool {
            *what.level() == tracing::Level::WARN
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            let mut text = String::new();
            event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                text.push_str(&format!("{field}={value:?} "));
            });
            self.0.lock().unwrap().push(text);
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[test]
    fn a_file_that_an_old_sqlite_has_changed_is_opened_with_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        Store::open(&path).unwrap().set("g", "k", "v").unwrap();
        let warnings_at_opening = || {
            let warnings = Warnings::default();
            let opened = tracing::subscriber::with_default(warnings.clone(), || Store::open(&path));
            assert!(opened.unwrap().exists("g", "k").unwrap());
            warnings.0.lock().unwrap().clone()
        };
        assert_eq!(warnings_at_opening(), Vec::<String>::new());
        // SQLite notes its version at byte 96 of the file.
        for (version, shown) in [(3_040_001_u32, "3.40.1"), (3_051_002, "3.51.2")] {
            File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .write_all_at(&version.to_be_bytes(), 96)
                .unwrap();
            let warnings = warnings_at_opening();
            assert!(warnings.len() == 1 && warnings[0].contains(shown), "{warnings:?}");
        }
    }
}
