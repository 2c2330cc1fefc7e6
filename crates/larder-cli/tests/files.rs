//! Files that commands write: they never overwrite the store, keep their metadata, and are named literally.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use common::{Answer, Desk};

fn desk() -> Desk {
    let desk = Desk::new();
    desk.ok(&["set", "web", "colour", "blue"]);
    desk.write("t", "{{ colour }}");
    desk
}

fn names(desk: &Desk) -> Vec<String> {
    let files = fs::read_dir(desk.folder.path()).unwrap();
    let mut names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn no_command_overwrites_the_store_under_any_name() {
    let desk = desk();
    // An open store keeps its write-ahead log beside the file.
    let store = desk.store();
    store.set("web", "size", "9").unwrap();
    fs::create_dir(desk.path("folder")).unwrap();
    symlink("larder.db", desk.path("link")).unwrap();
    symlink("link", desk.path("link-to-link")).unwrap();
    symlink("larder.db-wal", desk.path("link-to-log")).unwrap();
    symlink("larder.db-journal", desk.path("link-to-nothing")).unwrap();
    symlink(desk.folder.path(), desk.path("folder/up")).unwrap();
    let absolute = desk.path("larder.db").display().to_string();
    let before = names(&desk);
    for file in [
        "larder.db",
        "./larder.db",
        "folder/../larder.db",
        "folder/up/larder.db",
        &absolute,
        "link",
        "link-to-link",
        "link-to-log",
        "link-to-nothing",
        "larder.db-wal",
        "larder.db-shm",
        "larder.db-journal",
        "folder/up/larder.db-journal",
    ] {
        desk.fails(3, "part of the store", &["export", "--format", "json", file]);
        desk.fails(3, "part of the store", &["render", "t", "web", "--output", file]);
        desk.fails(3, "part of the store", &["render", "t", "web", "--output", file, "--watch"]);
        desk.fails(3, "", &["backup", file]);
        desk.fails(3, "part of the store", &["backup", file, "--force"]);
        for location in ["link", "sqlite:larder.db", &format!("sqlite://{absolute}")] {
            desk.fails(3, "part of the store", &["--store", location, "export", "--format", "json", file]);
        }
        // Nor is it read: closing the file again would drop the locks of the open store.
        desk.fails(3, "part of the store", &["render", file, "web"]);
    }
    assert_eq!(names(&desk), before);
    assert_eq!(desk.ok(&["get", "web", "colour"]), "blue");
    store.close().unwrap();
    assert_eq!(desk.ok(&["check"]), "the store is sound\n");
    // Files with similar names are not part of the store.
    desk.ok(&["export", "--format", "json", "folder/larder.db"]);
    desk.ok(&["render", "t", "web", "--output", "larder.db-walnut"]);
}

#[test]
fn no_command_prints_into_the_store() {
    let desk = desk();
    let append = || fs::OpenOptions::new().append(true).open(desk.path("larder.db")).unwrap();
    for arguments in [
        &["get", "web", "colour"][..],
        &["export"],
        &["set", "web", "colour", "red"],
        &["copy", "larder.db", "other.db"],
        &["list"],
    ] {
        let child = desk.command(arguments).stdout(append()).spawn().unwrap();
        Answer::of(child).failed(
            3,
            "standard output is redirected to a file of the store",
            &format!("{arguments:?}"),
        );
        let child = desk.command(arguments).stderr(append()).stdout(Stdio::null()).spawn().unwrap();
        assert_eq!(Answer::of(child).code, 3, "{arguments:?}");
    }
    assert_eq!(desk.ok(&["get", "web", "colour"]), "blue");
}

#[test]
fn a_replaced_file_keeps_its_owner_group_and_permissions() {
    let desk = desk();
    let (uid, gid) = if is_root() {
        (33, 34)
    } else {
        (fs::metadata(desk.path("t")).unwrap().uid(), fs::metadata(desk.path("t")).unwrap().gid())
    };
    for (number, mode_before) in [0o600, 0o640, 0o4755, 0o2664, 0o444, 0o000].into_iter().enumerate() {
        let name = format!("out{number}");
        for command in
            [&["render", "t", "web", "--output", &name][..], &["export", "--format", "json", &name]]
        {
            desk.write(&name, "old");
            if is_root() {
                chown(desk.path(&name), Some(uid), Some(gid)).unwrap();
            }
            fs::set_permissions(desk.path(&name), Permissions::from_mode(mode_before)).unwrap();
            desk.ok(command);
            let found = fs::metadata(desk.path(&name)).unwrap();
            assert_eq!(
                (found.uid(), found.gid(), found.mode() & 0o7777),
                (uid, gid, mode_before),
                "{command:?}"
            );
            fs::remove_file(desk.path(&name)).unwrap();
        }
    }
    // A new file has the same permissions as any other that the user creates.
    fs::write(desk.path("any"), "").unwrap();
    desk.ok(&["render", "t", "web", "--output", "new"]);
    assert_eq!(mode(&desk.path("new")), mode(&desk.path("any")));
}

#[test]
fn a_lost_owner_is_reported_and_grants_no_access() {
    if !is_root() {
        return;
    }
    let desk = desk();
    let (owner, group, user) = (33, 34, 65534);
    fs::set_permissions(desk.folder.path(), Permissions::from_mode(0o777)).unwrap();
    for file in ["larder.db", "t"] {
        chown(desk.path(file), Some(user), Some(user)).unwrap();
    }
    desk.write("out", "old");
    chown(desk.path("out"), Some(owner), Some(group)).unwrap();
    fs::set_permissions(desk.path("out"), Permissions::from_mode(0o6674)).unwrap();
    let render = || {
        let mut command = desk.command(&["render", "t", "web", "--output", "out"]);
        Answer::of(command.uid(user).gid(user).spawn().unwrap())
    };
    let answer = render();
    assert_eq!(answer.code, 0, "{}", answer.error);
    assert!(
        answer.error.starts_with("warning: out was replaced, and its owner, group could not be kept"),
        "{}",
        answer.error
    );
    assert_eq!(desk.read("out"), "blue");
    let found = fs::metadata(desk.path("out")).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (user, user, 0o644));
    // Now the user owns the file, so there is no warning.
    desk.write("t", "{{ colour }}!");
    let answer = render();
    assert_eq!((answer.code, answer.error.as_str()), (0, ""));
}

#[test]
fn replacing_a_hard_linked_file_warns_and_keeps_the_other_names() {
    let desk = desk();
    desk.write("out", "old");
    fs::hard_link(desk.path("out"), desk.path("other")).unwrap();
    let answer = desk.run(&["render", "t", "web", "--output", "out"]);
    assert_eq!((answer.code, desk.read("out").as_str(), desk.read("other").as_str()), (0, "blue", "old"));
    assert!(
        answer.error.starts_with("warning: out was replaced, and its other names (hard links)"),
        "{}",
        answer.error
    );
}

#[test]
fn a_replaced_file_keeps_its_access_list_and_other_attributes() {
    /// Read access for user 33 in the kernel's format: a version, then tag, permissions and id of each entry.
    const ACCESS: [u8; 44] = [
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 33, 0, 0, 0, 4, 0, 0, 0, 255, 255, 255, 255,
        16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
    ];
    let desk = desk();
    desk.write("out", "old");
    for (name, value) in [("user.note", &b"kept"[..]), ("system.posix_acl_access", &ACCESS)] {
        if xattr::set(desk.path("out"), name, value).is_err() {
            // This file system has no extended attributes.
            return;
        }
    }
    assert_eq!(mode(&desk.path("out")), 0o640);
    desk.ok(&["render", "t", "web", "--output", "out"]);
    assert_eq!(desk.read("out"), "blue");
    assert_eq!(mode(&desk.path("out")), 0o640);
    let value = |name| xattr::get(desk.path("out"), name).unwrap();
    assert_eq!(value("user.note").unwrap(), b"kept");
    assert_eq!(value("system.posix_acl_access").unwrap(), ACCESS);

    // A new file gets the folder's default access list; a replacement does not.
    xattr::set(desk.folder.path(), "system.posix_acl_default", &ACCESS).unwrap();
    desk.ok(&["render", "t", "web", "--output", "new"]);
    assert!(xattr::get(desk.path("new"), "system.posix_acl_access").unwrap().is_some());
    xattr::remove(desk.path("out"), "system.posix_acl_access").unwrap();
    desk.write("t", "{{ colour }}!");
    desk.ok(&["render", "t", "web", "--output", "out"]);
    assert_eq!(value("system.posix_acl_access"), None);
}

#[test]
fn a_dangling_link_stays_a_link_and_its_target_is_created() {
    let desk = desk();
    fs::create_dir(desk.path("folder")).unwrap();
    symlink("folder/real", desk.path("link")).unwrap();
    symlink("link", desk.path("link-to-link")).unwrap();
    for command in [
        &["render", "t", "web", "--output", "link-to-link"][..],
        &["export", "--format", "json", "link-to-link"],
    ] {
        desk.ok(command);
        for link in ["link", "link-to-link"] {
            assert!(fs::symlink_metadata(desk.path(link)).unwrap().is_symlink());
        }
        assert!(fs::symlink_metadata(desk.path("folder/real")).unwrap().is_file());
        fs::remove_file(desk.path("folder/real")).unwrap();
    }
    symlink("circle", desk.path("circle")).unwrap();
    symlink("nowhere/real", desk.path("astray")).unwrap();
    for link in ["circle", "astray"] {
        desk.fails(3, "could not be written", &["render", "t", "web", "--output", link]);
        assert!(fs::symlink_metadata(desk.path(link)).unwrap().is_symlink());
    }
}

#[test]
fn every_command_takes_a_path_literally() {
    for name in [
        "file:f.db",
        "file:p%41.db",
        "file:x.db?mode=memory",
        "file:?vfs=none",
        "a.db?mode=ro",
        "file::memory:",
        "#1",
    ] {
        let desk = Desk::new();
        desk.ok(&["--store", name, "set", "g", "k", "v"]);
        assert_eq!(names(&desk), [name]);
        assert_eq!(desk.ok(&["--store", name, "get", "g", "k"]), "v");
        assert_eq!(desk.ok(&["--store", &format!("sqlite:{name}"), "get", "g", "k"]), "v");
        assert_eq!(desk.ok(&["--store", name, "check"]), "the store is sound\n");
        let copy = format!("{name}.copy");
        desk.ok(&["--store", name, "backup", &copy]);
        assert_eq!(desk.ok(&["--store", &copy, "get", "g", "k"]), "v");
        desk.ok(&["--store", name, "export", "--format", "json", "out"]);
        let mut expected = [name, &copy, "out"];
        expected.sort_unstable();
        assert_eq!(names(&desk), expected);
    }
    let desk = Desk::new();
    desk.fails(4, "no store", &["--store", "file:f.db", "get", "g", "k"]);
    assert_eq!(names(&desk), Vec::<String>::new());
}

#[test]
fn a_backup_refuses_names_that_do_not_mean_a_file() {
    let desk = desk();
    let before = names(&desk);
    desk.fails(2, "not written to standard output", &["backup", "-"]);
    for name in [
        "sqlite:copy.db",
        "sqlite::memory:",
        ":memory:",
        "etcd://localhost:2379/copy",
        "https://example.com/copy.db",
    ] {
        desk.fails(2, &format!("./{name}"), &["backup", name]);
    }
    assert_eq!(names(&desk), before);
    for name in ["./-", "./sqlite:copy.db", "./:memory:"] {
        desk.ok(&["backup", name]);
        assert_eq!(desk.ok(&["--store", name, "get", "web", "colour"]), "blue");
    }
}

#[test]
fn a_failed_backup_names_its_target_and_leaves_no_file() {
    let desk = desk();
    desk.write("large", "x".repeat(300_000));
    desk.run_with_input(&["set", "web", "large", "-"], &fs::read(desk.path("large")).unwrap());
    let before = names(&desk);
    // Limits the size of every file the command writes.
    let limited = "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\"";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", limited, env!("CARGO_BIN_EXE_larder"), "backup", "copy.db"]);
    command.current_dir(desk.folder.path()).env_remove("LARDER_STORE");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let answer = Answer::of(child);
    answer.failed(3, "the backup copy.db could not be written", "backup");
    assert!(!answer.error.contains("larder.db"), "{}", answer.error);
    assert_eq!(names(&desk), before);
    desk.ok(&["backup", "copy.db"]);
}

#[test]
fn a_hard_linked_store_is_refused_under_both_names() {
    let desk = desk();
    fs::hard_link(desk.path("larder.db"), desk.path("other.db")).unwrap();
    for name in ["larder.db", "other.db"] {
        desk.fails(4, "hard links", &["--store", name, "set", "web", "colour", "red"]);
        desk.fails(4, "hard links", &["--store", name, "get", "web", "colour"]);
    }
    assert_eq!(names(&desk), ["larder.db", "other.db", "t"]);
    fs::remove_file(desk.path("other.db")).unwrap();
    assert_eq!(desk.ok(&["get", "web", "colour"]), "blue");
}

#[cfg(unix)]
#[test]
fn a_location_that_cannot_be_opened_gets_the_advice_that_helps_and_leaves_no_file() {
    let desk = Desk::new();
    let long = format!("{}.db", "y".repeat(250));
    for command in [&["set", "g", "k", "v"][..], &["get", "g", "k"]] {
        desk.fails(4, "Choose a shorter name.", &[&["--store", &long][..], command].concat());
        desk.fails(2, "a file has no query", &[&["--store", "sqlite:app.db?mode=ro"][..], command].concat());
    }
    desk.fails(4, "create it with", &["--store", "missing.db", "get", "g", "k"]);
    assert_eq!(names(&desk), Vec::<String>::new());
}
