//! Disks that are read-only, or turn so under an open store: real ones, mounted in a mount namespace of the test.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod outside;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use larder::{Error, ErrorKind, Store};
use outside::child_task;

/// Runs `work` with a folder in a process that may mount what it likes, which nobody else sees. Says why if this system
/// does not allow it.
fn with_own_mounts(test: &str, programs: &[&str], work: impl FnOnce(&Path)) {
    if let Some((folder, _)) = child_task() {
        return work(&folder);
    }
    for program in [&["unshare", "mount", "umount"], programs].concat() {
        if Command::new(program).arg("--version").output().is_err()
            && Command::new(program).arg("-V").output().is_err()
        {
            return eprintln!("skipped: there is no {program}");
        }
    }
    let tried = run("unshare", &["--mount", "mount", "-t", "tmpfs", "none", "/mnt"]);
    if !tried.status.success() {
        return eprintln!(
            "skipped: nothing may be mounted here: {}",
            String::from_utf8_lossy(&tried.stderr).trim()
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env("LARDER_TEST_PATH", folder.path())
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    if let Some(why) = said.lines().find_map(|line| line.split_once("skipped: ")) {
        eprintln!("skipped: {}", why.1);
    }
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

#[track_caller]
fn must(program: &str, arguments: &[&str]) {
    let output = run(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Waits until a program succeeds. The system may hold a file for a moment longer than the process that has closed it.
fn eventually(program: &str, arguments: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if run(program, arguments).status.success() {
            return;
        }
    }
    must(program, arguments);
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The files below a folder that this process has open or mapped.
fn open_files(folder: &Path) -> Vec<String> {
    let links =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let names = links.map(|path| path.display().to_string()).chain(maps.lines().map(str::to_owned));
    names.filter(|name| name.contains(text(folder))).collect()
}

/// Makes a folder to mount something on.
fn mount_point(folder: &Path) -> PathBuf {
    let at = folder.join("disk");
    fs::create_dir(&at).unwrap();
    at
}

/// The disk below a mount point, such as `loop0`.
fn device(at: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(text(at))).unwrap();
    line.split(' ').next().unwrap().trim_start_matches("/dev/").to_owned()
}

/// Checks that every write is refused as one to a read-only disk, and that reads go on.
fn assert_read_only(store: &Store, entries: u64) {
    let watcher = store.watch(("g", "*")).unwrap();
    let is_refused = |result: larder::Result<()>| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Denied);
    };
    for _ in 0..3 {
        is_refused(store.set("g", "refused", "v").map(drop));
        is_refused(store.delete("g", "0").map(drop));
        is_refused(store.batch().set("g", "refused", "v").delete("g", "1").commit().map(drop));
        is_refused(store.transaction(|tx| tx.set("g", "refused", "v")));
    }
    assert_eq!(store.count("g").unwrap(), entries);
    assert_eq!(
        store.entries("g").unwrap().map(|entry| entry.unwrap().value).filter(|value| *value == "v").count()
            as u64,
        entries
    );
    assert_eq!(store.snapshot().unwrap().get("g", "7").unwrap().unwrap(), "v");
    assert!(store.get("g", "refused").unwrap().is_none());
    assert_eq!(store.check().unwrap(), []);
    assert!(watcher.try_recv().unwrap().is_none(), "nobody hears of what was refused");
}

const ENTRIES: u64 = 20;

fn set_entries(store: &Store) {
    for key in 0..ENTRIES {
        store.set("g", key.to_string(), "v").unwrap();
    }
}

#[test]
fn a_disk_that_turns_read_only_under_an_open_store_refuses_writes_and_loses_none() {
    let test = "a_disk_that_turns_read_only_under_an_open_store_refuses_writes_and_loses_none";
    with_own_mounts(test, &["mkfs.ext4"], |folder| {
        let (image, at) = (folder.join("image"), mount_point(folder));
        fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
        must("mkfs.ext4", &["-q", "-F", text(&image)]);
        let mount = ["-o", "loop,errors=remount-ro", text(&image), text(&at)];
        let mounted = run("mount", &mount);
        if !mounted.status.success() {
            let why = String::from_utf8_lossy(&mounted.stderr);
            return eprintln!("skipped: there are no loop devices: {}", why.trim());
        }
        let path = at.join("store.db");
        let store = Store::open(&path).unwrap();
        let beside = Store::options().cache_bytes(0).open(&path).unwrap();
        set_entries(&store);
        // Nobody can make it read-only while a store has it open. Only the system does, when the disk is damaged.
        assert!(!run("mount", &["-o", "remount,ro", text(&at)]).status.success());
        store.set("g", "0", "v").unwrap();
        fs::write(format!("/sys/fs/ext4/{}/trigger_fs_error", device(&at)), "a test").unwrap();
        for store in [&store, &beside] {
            assert_read_only(store, ENTRIES);
        }
        // It may fail, but ends.
        let _ = (beside.close(), store.close());
        drop((beside, store));
        assert_eq!(open_files(&at), [] as [String; 0]);

        eventually("umount", &[text(&at)]);
        must("mount", &mount);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.count("g").unwrap(), ENTRIES);
        assert_eq!(store.check().unwrap(), []);
        store.set("g", "later", "v").unwrap();
        store.close().unwrap();
        drop(store);
        eventually("umount", &[text(&at)]);
    });
}

#[test]
fn a_store_on_a_disk_that_is_mounted_read_only_says_so_and_is_whole_once_it_can_be_written_to() {
    let test = "a_store_on_a_disk_that_is_mounted_read_only_says_so_and_is_whole_once_it_can_be_written_to";
    with_own_mounts(test, &[], |folder| {
        let at = mount_point(folder);
        must("mount", &["-t", "tmpfs", "none", text(&at)]);
        let path = at.join("store.db");
        let store = Store::open(&path).unwrap();
        set_entries(&store);
        assert!(!run("mount", &["-o", "remount,ro", text(&at)]).status.success());
        store.set("g", "last", "v").unwrap();
        store.close().unwrap();
        drop(store);
        assert_eq!(open_files(&at), [] as [String; 0]);

        eventually("mount", &["-o", "remount,ro", text(&at)]);
        let new = at.join("new.db");
        for (options, path) in
            [(Store::options(), &path), (Store::options().read_only(true), &path), (Store::options(), &new)]
        {
            let error = options.open(path).unwrap_err();
            assert!(matches!(error, Error::Denied { .. }), "{error:?}");
            assert!(error.to_string().ends_with("its file system is mounted read-only"), "{error}");
            assert!(error.advice().unwrap().starts_with("Mount it for writing"), "{error:?}");
        }
        must("mount", &["-o", "remount,rw", text(&at)]);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.count("g").unwrap(), ENTRIES + 1);
        assert_eq!(store.check().unwrap(), []);
        store.set("g", "later", "v").unwrap();
    });
}

#[test]
fn the_log_of_a_crash_on_a_disk_that_is_mounted_read_only_is_not_taken_for_that_of_another_file() {
    let test = "the_log_of_a_crash_on_a_disk_that_is_mounted_read_only_is_not_taken_for_that_of_another_file";
    with_own_mounts(test, &[], |folder| {
        let at = mount_point(folder);
        must("mount", &["-t", "tmpfs", "none", text(&at)]);
        let (path, crashed) = (at.join("store.db"), at.join("crashed.db"));
        Store::open(&path).unwrap().close().unwrap();
        let store = Store::open(&path).unwrap();
        set_entries(&store);
        fs::copy(&path, &crashed).unwrap();
        fs::copy(at.join("store.db-wal"), at.join("crashed.db-wal")).unwrap();
        store.close().unwrap();
        drop(store);

        eventually("mount", &["-o", "remount,ro", text(&at)]);
        for options in [Store::options(), Store::options().read_only(true)] {
            let error = options.open(&crashed).unwrap_err();
            assert!(matches!(error, Error::Denied { .. }), "{error:?}");
            assert!(error.to_string().ends_with("its file system is mounted read-only"), "{error}");
        }
        must("mount", &["-o", "remount,rw", text(&at)]);
        let store = Store::open(&crashed).unwrap();
        assert_eq!(store.count("g").unwrap(), ENTRIES);
        assert_eq!(store.check().unwrap(), []);
    });
}
