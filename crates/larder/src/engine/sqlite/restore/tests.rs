//! Ends the process at each step of a restore.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::engine::sqlite::SqliteEngine;
use crate::engine::{Commit, Engine, Mutation, Read, Unheard};

const STEPS: [Step; 6] =
    [Step::Checked, Step::Written, Step::Folded, Step::Exchanged, Step::Cleared, Step::Kept];

fn open_store(path: &Path) -> Result<SqliteEngine> {
    let settings = Settings { create: false, ..Settings::default() };
    SqliteEngine::open(path, &settings, Arc::new(Unheard)).map(|opened| opened.engine)
}

fn set(engine: &SqliteEngine, key: &str) {
    let (group, value) = ("g".into(), "v".into());
    let set = Mutation::Set { group, key: key.into(), value, expires_at_ms: None };
    engine.commit(Commit::from(set)).wait().unwrap();
}

/// Whether the file is a sound store with this key and not the other.
fn holds(path: &Path, key: &str, other: &str) -> bool {
    let engine = open_store(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(!engine.check().wait().unwrap().iter().any(|finding| finding.is_damage()), "{path:?}");
    engine.get("g", key).unwrap().is_some() && engine.get("g", other).unwrap().is_none()
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// A folder with a store that has crashed, whose latest writes are in its log, and with a backup.
fn crashed(folder: &Path) -> (PathBuf, PathBuf) {
    let live = folder.join("live");
    fs::create_dir(&live).unwrap();
    let engine = SqliteEngine::open(&live.join("app.db"), &Settings::default(), Arc::new(Unheard)).unwrap();
    let engine = engine.engine;
    set(&engine, "both");
    let new = NewFile::begin(&live.join("backup.db")).unwrap();
    engine.backup_into(&new).unwrap().wait().unwrap();
    new.publish().unwrap();
    let backup = open_store(&live.join("backup.db")).unwrap();
    set(&backup, "new");
    backup.close().unwrap();
    set(&engine, "old");
    let crash = folder.join("crash");
    copy_files(&live, &crash);
    (crash.join("app.db"), crash.join("backup.db"))
}

/// Runs a restore in another process, which ends at a step as if it was killed.
fn restore_until(step: usize, keeps_old: bool, target: &Path) {
    let name = "engine::sqlite::restore::tests::whenever_a_restore_is_killed_the_store_is_the_old_one_or_the_new_one";
    let ended = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--test-threads=1"])
        .env("LARDER_RESTORE_TARGET", target)
        .env("LARDER_RESTORE_STEP", format!("{step} {keeps_old}"))
        .output()
        .unwrap();
    assert!(!ended.status.success(), "the restore came to its end: {ended:?}");
}

fn end_at_step(target: &Path) {
    let given = std::env::var("LARDER_RESTORE_STEP").unwrap();
    let (step, keeps_old) = given.split_once(' ').unwrap();
    let last = STEPS[step.parse::<usize>().unwrap()];
    let request =
        Request { backup: &target.with_file_name("backup.db"), target, keeps_old: keeps_old == "true" };
    let end = |step| {
        if step == last {
            std::process::abort();
        }
        Ok(())
    };
    drop(stepwise(&request, end));
}

#[test]
fn whenever_a_restore_is_killed_the_store_is_the_old_one_or_the_new_one() {
    if let Some(target) = std::env::var_os("LARDER_RESTORE_TARGET") {
        return end_at_step(Path::new(&target));
    }
    for (step, name) in STEPS.iter().enumerate() {
        for keeps_old in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let (target, backup) = crashed(folder.path());
            let before = fs::read(&backup).unwrap();
            restore_until(step, keeps_old, &target);

            let look = folder.path().join("look");
            copy_files(target.parent().unwrap(), &look);
            let is_new = matches!(name, Step::Exchanged | Step::Cleared | Step::Kept);
            let (key, other) = if is_new { ("new", "old") } else { ("old", "new") };
            assert!(holds(&look.join("app.db"), key, other), "{name:?}");
            assert!(fs::read(&backup).unwrap() == before, "{name:?}: the backup");
            if keeps_old && is_new {
                // Whatever its name is by now, the old store is there with its latest write.
                let others = fs::read_dir(&look).unwrap().map(|file| file.unwrap().path());
                let mut old = others.filter(|path| {
                    let name = path.file_name().unwrap().to_str().unwrap();
                    name.ends_with(".unfinished") || name.ends_with(".before-restore")
                });
                assert!(old.any(|path| holds(&path, "old", "new")), "{name:?}: the old store");
            }

            let request = Request { backup: &backup, target: &target, keeps_old };
            let done = restore(&request).unwrap();
            assert!(holds(&target, "new", "old"), "{name:?}: again");
            if let Some(old) = done.old {
                assert!(is_new || holds(&old, "old", "new"), "{name:?}: kept");
            }
        }
    }
}

#[test]
fn a_restore_that_fails_says_whether_the_store_is_as_it_was_and_loses_no_file_that_was_to_be_kept() {
    for failing in STEPS {
        for keeps_old in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let (target, backup) = crashed(folder.path());
            let request = Request { backup: &backup, target: &target, keeps_old };
            let fail = |step| if step == failing { Err(ErrorKind::Other.into()) } else { Ok(()) };
            match stepwise(&request, fail).map(drop).unwrap_err() {
                Error::RestoreFailed { .. } => {
                    assert!(matches!(failing, Step::Checked | Step::Written | Step::Folded), "{failing:?}");
                    assert!(holds(&target, "old", "new"), "{failing:?}");
                }
                Error::Unknown { reason, .. } => {
                    assert!(matches!(failing, Step::Exchanged | Step::Cleared | Step::Kept), "{failing:?}");
                    assert!(holds(&target, "new", "old"), "{failing:?}");
                    let old = reason.split("the old file is ").nth(1);
                    assert_eq!(old.is_some(), keeps_old, "{reason}");
                    assert!(old.is_none_or(|old| holds(Path::new(old), "old", "new")), "{failing:?}");
                }
                error => panic!("{failing:?}: {error:?}"),
            }
        }
    }
}

#[test]
fn a_restore_over_a_foreign_log_that_is_killed_leaves_what_is_refused_or_the_new_store() {
    for (step, name) in STEPS.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let (target, backup) = crashed(folder.path());
        // Somebody has tried to restore by hand.
        fs::copy(&backup, &target).unwrap();
        restore_until(step, true, &target);
        let look = folder.path().join("look");
        copy_files(target.parent().unwrap(), &look);
        let opened = open_store(&look.join("app.db"));
        if matches!(name, Step::Cleared | Step::Kept) {
            drop(opened.unwrap());
            assert!(holds(&look.join("app.db"), "new", "old"), "{name:?}");
        } else {
            assert!(matches!(opened, Err(Error::ForeignLog { .. })), "{name:?}");
        }
        let done = restore(&Request { backup: &backup, target: &target, keeps_old: true }).unwrap();
        assert!(holds(&target, "new", "old"), "{name:?}: again");
        let log = beside(&done.old.unwrap(), "-wal");
        assert_eq!(
            log.exists(),
            !matches!(name, Step::Cleared | Step::Kept),
            "{name:?}: the log is kept, too"
        );
    }
}

#[test]
fn a_store_that_is_made_while_a_backup_is_restored_in_its_place_stays_and_keeps_its_writes() {
    for made_at in [Step::Checked, Step::Written] {
        let folder = tempfile::tempdir().unwrap();
        let (_, backup) = crashed(folder.path());
        let target = backup.with_file_name("made.db");
        let mut made = None;
        let make = |step| {
            if step == made_at {
                let opened = SqliteEngine::open(&target, &Settings::default(), Arc::new(Unheard)).unwrap();
                set(&opened.engine, "acknowledged");
                made = Some(opened.engine);
            }
            Ok(())
        };
        let request = Request { backup: &backup, target: &target, keeps_old: false };
        let refused = stepwise(&request, make).map(drop).unwrap_err();
        assert!(matches!(refused, Error::AlreadyExists { .. }), "{made_at:?}: {refused:?}");

        // What a crash would leave: the write is in the log.
        let look = folder.path().join("look");
        copy_files(target.parent().unwrap(), &look);
        assert!(holds(&look.join("made.db"), "acknowledged", "new"), "{made_at:?}");
        set(&made.unwrap(), "afterwards");
    }
}
