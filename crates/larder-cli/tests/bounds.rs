//! Input without an end, and what others have planted: every command ends with an error.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::process::Stdio;

use common::{Answer, Desk};

#[test]
fn an_input_without_an_end_is_refused() {
    let desk = Desk::new();
    for format in ["ndjson", "json", "toml", "env"] {
        for device in ["/dev/zero", "/dev/urandom"] {
            desk.fails(3, "nothing was imported", &["import", device, "--format", format, "--group", "g"]);
        }
    }
    assert!(!desk.has_store());
}

#[test]
fn a_longer_input_than_is_allowed_is_refused_before_it_is_read() {
    let desk = Desk::new();
    // It never ends by itself: the program stops to read, and so to write.
    let mut child =
        desk.command(&["import", "-", "--max-bytes", "100000"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let line = b"{\"group\":\"g\",\"key\":\"k\",\"value\":\"v\"}\n";
    while input.write_all(line).is_ok() {}
    drop(input);
    Answer::of(child).failed(3, "more than 100000 bytes", "import");
    desk.write("g.json", "{\"g\": {\"k\": \"v\"}}");
    desk.fails(3, "more than 10 bytes", &["import", "g.json", "--max-bytes", "10"]);
    assert!(!desk.has_store());
    desk.ok(&["import", "g.json", "--max-bytes", "18"]);
}

#[test]
fn a_value_without_an_end_is_refused() {
    let desk = Desk::new();
    let child =
        desk.command(&["set", "g", "k", "-"]).stdin(fs::File::open("/dev/zero").unwrap()).spawn().unwrap();
    Answer::of(child).failed(3, "more than the 67108864 bytes", "set");
    assert!(!desk.has_store());
}

/// Usually called nobody.
const ANOTHER_USER: u32 = 65534;

#[test]
fn no_command_follows_a_link_of_another_user_in_a_shared_folder() {
    let desk = Desk::new();
    desk.ok(&["set", "web", "colour", "blue"]);
    desk.write("t", "{{ colour }}");
    desk.write("victim", "a file of somebody");
    let shared = desk.path("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
    for (name, target) in [("link", desk.path("victim")), ("dangling", desk.path("nothing"))] {
        let link = shared.join(name);
        symlink(target, &link).unwrap();
        // Only root can make a link that is another user's.
        if lchown(&link, Some(ANOTHER_USER), Some(ANOTHER_USER)).is_err() {
            return;
        }
    }
    for file in ["shared/link", "shared/dangling"] {
        for command in [
            &["export", file, "--format", "json"][..],
            &["render", "t", "--group", "web", "--output", file],
            &["backup", file, "--force"],
            &["--store", file, "set", "g", "k", "v"],
        ] {
            let answer = desk.run(command);
            assert_ne!(answer.code, 0, "{command:?}");
        }
    }
    assert_eq!(desk.read("victim"), "a file of somebody");
    assert!(!desk.path("nothing").exists());
    // One's own is followed.
    symlink(desk.path("victim"), shared.join("own")).unwrap();
    desk.ok(&["export", "shared/own", "--format", "json"]);
    assert!(desk.read("victim").contains("blue"));
}

/// A new file gets its permissions from the umask, once it is complete.
#[test]
fn a_new_file_has_ordinary_permissions_and_leaves_nothing_beside_it() {
    let desk = Desk::new();
    desk.ok(&["set", "web", "colour", "blue"]);
    desk.ok(&["export", "out.json"]);
    desk.write("ordinary", "");
    let mode = |name: &str| fs::metadata(desk.path(name)).unwrap().mode() & 0o7777;
    assert_eq!(mode("out.json"), mode("ordinary"));
    let left = fs::read_dir(desk.folder.path()).unwrap();
    assert!(left.flatten().all(|file| !file.file_name().to_string_lossy().starts_with(".larder-")));
}
