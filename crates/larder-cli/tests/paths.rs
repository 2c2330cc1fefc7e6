//! Files whose names are not UTF-8, which Linux allows.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use common::{Answer, Desk};

/// A name that is not UTF-8.
fn named(end: &str) -> OsString {
    OsString::from_vec([b"\xff\xfe", end.as_bytes()].concat())
}

/// Runs a command, of which some arguments are not UTF-8.
fn run(desk: &Desk, arguments: &[&OsStr]) -> Answer {
    Answer::of(desk.command(&[]).args(arguments).spawn().unwrap())
}

#[track_caller]
fn ok(desk: &Desk, arguments: &[&OsStr]) -> String {
    let answer = run(desk, arguments);
    assert_eq!((answer.code, answer.error.as_str()), (0, ""), "{arguments:?}");
    answer.text()
}

/// What is there under a name.
fn exists(desk: &Desk, name: &OsStr) -> bool {
    fs::exists(desk.folder.path().join(name)).unwrap()
}

fn words(words: &str) -> Vec<&OsStr> {
    words.split(' ').map(OsStr::new).collect()
}

#[test]
fn a_store_is_used_under_a_name_that_is_not_utf8() {
    let desk = Desk::new();
    let name = named(".db");
    let store = |rest: &str| {
        let mut line = vec![OsStr::new("--store"), &name];
        line.extend(words(rest));
        ok(&desk, &line)
    };
    store("set config colour blue");
    assert!(exists(&desk, &name));
    assert_eq!(store("get config colour"), "blue");
    store("stats");
    store("check --repair");
    store("--namespace t set g k v");
    assert_eq!(store("--json count"), "2\n");

    // By the environment, and as `sqlite:` names it.
    let mut by_environment = desk.command(&["get", "config", "colour"]);
    assert_eq!(Answer::of(by_environment.env("LARDER_STORE", &name).spawn().unwrap()).text(), "blue");
    let prefixed = OsString::from_vec([b"sqlite:", name.as_bytes()].concat());
    assert_eq!(
        ok(&desk, &[&["--store".as_ref(), prefixed.as_os_str()], &words("get config colour")[..]].concat()),
        "blue"
    );

    // The names that may not be overwritten are known, too.
    let refused = run(
        &desk,
        &[OsStr::new("--store"), &name, "export".as_ref(), &name, "--format".as_ref(), "json".as_ref()],
    );
    refused.failed(3, "is part of the store", "export over the store");
    let other = run(&desk, &[&[OsStr::new("--store"), &named("-none.db")], &words("get g k")[..]].concat());
    other.failed(4, "there is no such file", "a store that is not there");
    assert!(!desk.has_store());
}

#[test]
fn every_file_that_a_command_names_may_have_a_name_that_is_not_utf8() {
    let desk = Desk::new();
    desk.ok(&["set", "config", "colour", "blue"]);
    let (backup, exported, template, output) = (named(".db"), named(".ndjson"), named(".j2"), named(".conf"));
    ok(&desk, &["backup".as_ref(), &backup]);
    ok(&desk, &["backup".as_ref(), "--force".as_ref(), "--verify".as_ref(), &backup]);
    for number in 1..=3 {
        let kept = ok(&desk, &["backup".as_ref(), "--keep".as_ref(), "2".as_ref(), &backup]);
        assert!(kept.contains(&format!("00000{number}")), "{kept}");
    }
    let numbered = |number: u32| named(&format!(".{number:06}.db"));
    assert_eq!([1, 2, 3].map(|number| exists(&desk, &numbered(number))), [false, true, true]);

    ok(&desk, &["export".as_ref(), &exported]);
    fs::write(desk.folder.path().join(&template), "colour = {{ colour }}").unwrap();
    ok(&desk, &["render".as_ref(), &template, "config".as_ref(), "--output".as_ref(), &output]);
    assert_eq!(fs::read_to_string(desk.folder.path().join(&output)).unwrap(), "colour = blue");

    desk.ok(&["set", "config", "colour", "red"]);
    ok(&desk, &["restore".as_ref(), "--yes".as_ref(), "--keep-old".as_ref(), &backup]);
    assert_eq!(desk.ok(&["get", "config", "colour"]), "blue");
    desk.ok(&["delete", "config", "--all", "--yes"]);
    ok(&desk, &["import".as_ref(), &exported]);
    assert_eq!(desk.ok(&["get", "config", "colour"]), "blue");

    let copy = named("-copy.db");
    ok(&desk, &["copy".as_ref(), "larder.db".as_ref(), &copy]);
    assert_eq!(ok(&desk, &["copy".as_ref(), &copy, "second.db".as_ref()]), "1\n");
    run(&desk, &["copy".as_ref(), &copy, &copy]).failed(2, "are the same store", "a copy onto itself");
}

#[test]
fn a_name_that_must_be_text_is_refused_in_words() {
    let desk = Desk::new();
    let name = named("");
    for line in [
        &[OsStr::new("get"), &name, OsStr::new("k")][..],
        &[OsStr::new("--namespace"), &name, OsStr::new("list")],
        &[OsStr::new("export"), OsStr::new("--prefix"), &name],
    ] {
        run(&desk, line).failed(2, "UTF-8", &format!("{line:?}"));
    }
    let password = OsString::from_vec(b"etcd://root:sec\xffret@127.0.0.1:1/app".to_vec());
    let refused = run(&desk, &[OsStr::new("--store"), &password, OsStr::new("list")]);
    // Without the feature etcd, there are no such locations at all.
    refused.failed(2, if cfg!(feature = "etcd") { "it is not UTF-8" } else { "no etcd" }, "a password");
    assert!(!refused.error.contains("sec") && !refused.error.contains("ret"), "{}", refused.error);
}
