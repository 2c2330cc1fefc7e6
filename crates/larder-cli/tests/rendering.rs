//! Templates that are kept rendered: render --watch, and the commands that it runs.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "what is not there is how a test fails")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use common::{Answer, Desk};
use larder::{Durability, Store};

/// Notes each rendering that the command gets to see, on a line.
const NOTE: &str = "cat out >> log; echo >> log";

/// Notes it, and then takes its time, until there is a file named `go`.
const NOTE_AND_WAIT: &str =
    "cat out >> log; echo >> log; until [ -e go ]; do sleep 0.01; done; echo went >> log";

fn desk() -> Desk {
    let desk = Desk::new();
    desk.ok(&["set", "web", "colour", "blue"]);
    desk.write("t", "{{ colour }}");
    desk
}

/// A rendering that is kept, in a process group of its own, as a shell starts it.
fn watching(desk: &Desk, debounce: &str, more: &[&str]) -> Child {
    let kept = ["render", "t", "web", "--output", "out", "--watch", "--debounce", debounce];
    desk.command(&[&kept, more].concat()).process_group(0).spawn().unwrap()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn wait_for(desk: &Desk, file: &str, text: &str) {
    let has = || std::fs::read_to_string(desk.path(file)).unwrap_or_default();
    wait_until(&format!("{file} has {text:?} and not {:?}", has()), || has() == text);
}

fn signal(which: &str, process: &str) {
    assert!(Command::new("kill").args([which, "--", process]).status().unwrap().success());
}

/// Ends a command as Ctrl-C at a terminal does, which it must take well, and gives what it complained of.
fn interrupt(child: Child) -> String {
    signal("-INT", &format!("-{}", child.id()));
    let answer = Answer::of(child);
    assert_eq!(answer.code, 0, "{}", answer.error);
    answer.error
}

#[test]
fn the_command_runs_once_the_output_was_replaced_and_not_where_it_stays_as_it_is() {
    let desk = desk();
    let render = ["render", "t", "web", "--output", "out", "--exec", NOTE];
    desk.ok(&render);
    assert_eq!(desk.read("log"), "blue\n");
    let file = || std::fs::metadata(desk.path("out")).unwrap().ino();
    let before = file();
    desk.ok(&render);
    assert_eq!((desk.read("log").as_str(), file()), ("blue\n", before));
    desk.write("out", "blae");
    desk.ok(&render);
    assert_eq!(desk.read("log"), "blue\nblue\n");
    desk.write("t", "{{ unclosed");
    desk.fails(3, "template", &render);
    assert_eq!((desk.read("log").as_str(), desk.read("out").as_str()), ("blue\nblue\n", "blue"));
}

#[test]
fn a_command_that_fails_is_told_of_and_leaves_the_output() {
    let desk = desk();
    let words = "the command \"exit 5\" ended with exit status 5";
    desk.fails(3, words, &["render", "t", "web", "--output", "out", "--exec", "exit 5"]);
    assert_eq!(desk.read("out"), "blue");
}

#[test]
fn what_the_command_says_goes_where_it_would_without_larder() {
    let desk = desk();
    let exec = "echo said; echo complained >&2; cat";
    let answer = desk.run_with_input(&["render", "-", "web", "--output", "out", "--exec", exec], b"x");
    assert_eq!((answer.code, answer.text().as_str(), answer.error.as_str()), (0, "said\n", "complained\n"));
}

#[test]
fn a_command_needs_a_file_and_a_debounce_a_watch() {
    let desk = desk();
    desk.fails(2, "--output", &["render", "t", "web", "--exec", "true"]);
    desk.fails(2, "--output", &["render", "t", "web", "--output", "-", "--exec", "true"]);
    desk.fails(2, "--watch", &["render", "t", "web", "--debounce", "1s"]);
    desk.fails(2, "--debounce", &["render", "t", "web", "--watch", "--debounce", "soon"]);
}

#[test]
fn each_rendering_that_differs_is_followed_by_the_command_which_sees_it() {
    let desk = desk();
    let child = watching(&desk, "20ms", &["--exec", NOTE]);
    wait_for(&desk, "log", "blue\n");
    // What the template does not show changes nothing.
    desk.ok(&["set", "web", "other", "x"]);
    desk.ok(&["set", "elsewhere", "colour", "red"]);
    desk.ok(&["set", "web", "colour", "green"]);
    wait_for(&desk, "log", "blue\ngreen\n");
    desk.ok(&["delete", "web", "--all", "--yes"]);
    wait_for(&desk, "log", "blue\ngreen\n\n");
    assert_eq!(interrupt(child), "");
    assert_eq!(desk.read("log"), "blue\ngreen\n\n");
}

#[test]
fn what_another_command_lets_expire_is_rendered_without_it_when_it_has() {
    let desk = desk();
    let child = watching(&desk, "20ms", &["--exec", NOTE]);
    wait_for(&desk, "log", "blue\n");
    desk.ok(&["set", "web", "colour", "green", "--ttl", "300ms"]);
    wait_for(&desk, "out", "");
    assert_eq!(interrupt(child), "");
}

#[test]
fn a_change_of_any_group_that_the_template_has_read_is_rendered() {
    let desk = desk();
    desk.ok(&["set", "where", "group", "first"]);
    desk.write("t", "{{ get('where', 'group') }}: {{ get(get('where', 'group'), 'host') }}");
    let child = watching(&desk, "20ms", &["--exec", NOTE]);
    wait_for(&desk, "log", "first: \n");
    // What was not there when it was asked for.
    desk.ok(&["set", "first", "host", "a"]);
    wait_for(&desk, "log", "first: \nfirst: a\n");
    // What the template has not read, yet.
    desk.ok(&["set", "second", "host", "b"]);
    desk.ok(&["set", "first", "port", "1"]);
    desk.ok(&["set", "where", "group", "second"]);
    wait_for(&desk, "log", "first: \nfirst: a\nsecond: b\n");
    // What it reads no more, and then what it reads now.
    desk.ok(&["set", "first", "host", "c"]);
    desk.ok(&["delete", "second", "--all", "--yes"]);
    wait_for(&desk, "log", "first: \nfirst: a\nsecond: b\nsecond: \n");
    assert_eq!(interrupt(child), "");
}

#[test]
fn a_rendering_that_failed_is_made_again_once_what_it_has_read_changes() {
    let desk = desk();
    desk.ok(&["set", "limits", "rate", "1"]);
    desk.write("t", "{{ get('limits', 'rate')|int }}");
    let mut child = watching(&desk, "20ms", &[]);
    let mut complaints = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    wait_for(&desk, "out", "1");
    desk.ok(&["set", "limits", "rate", "many"]);
    let complaint = complaints.next().unwrap();
    assert!(complaint.starts_with("error: the template fails"), "{complaint}");
    desk.ok(&["set", "limits", "rate", "2"]);
    wait_for(&desk, "out", "2");
    // A template that cannot be read has read nothing: what the one before has counts on.
    desk.write("t", "{{ unclosed");
    desk.ok(&["set", "limits", "rate", "3"]);
    assert!(complaints.next().unwrap().starts_with("error: the template fails"));
    desk.write("t", "{{ get('limits', 'rate') }}");
    desk.ok(&["set", "limits", "rate", "4"]);
    wait_for(&desk, "out", "4");
    interrupt(child);
}

#[test]
fn a_namespace_watches_the_groups_that_its_template_has_read() {
    let desk = desk();
    desk.ok(&["--namespace", "ns", "set", "web", "colour", "blue"]);
    desk.write("t", "{{ colour }}{{ get('db', 'host') }}");
    let child = watching(&desk, "20ms", &["--namespace", "ns", "--exec", NOTE]);
    wait_for(&desk, "log", "blue\n");
    desk.ok(&["set", "db", "host", "of the whole store"]);
    desk.ok(&["--namespace", "ns", "set", "db", "host", "!"]);
    wait_for(&desk, "log", "blue\nblue!\n");
    assert_eq!(interrupt(child), "");
}

#[test]
fn a_burst_of_changes_is_rendered_few_times() {
    let desk = desk();
    let child = watching(&desk, "250ms", &["--exec", NOTE]);
    wait_for(&desk, "log", "blue\n");
    let store = desk.store();
    for number in 1..=200 {
        store.set("web", "colour", number.to_string()).unwrap();
    }
    wait_until("the last change is rendered", || desk.read("log").ends_with("\n200\n"));
    assert_eq!(interrupt(child), "");
    let log = desk.read("log");
    assert!(log.lines().count() <= 20, "{log}");
}

#[test]
fn changes_that_never_cease_are_rendered_all_the_same() {
    let desk = desk();
    let child = watching(&desk, "30ms", &[]);
    wait_for(&desk, "out", "blue");
    let store = Store::options().durability(Durability::Relaxed).open(desk.path("larder.db")).unwrap();
    let mut number = 0;
    wait_until("two renderings between changes", || {
        // Less apart than the quiet that it waits for.
        number += 1;
        store.set("web", "colour", number.to_string()).unwrap();
        desk.read("out") != "blue"
    });
    assert_eq!(interrupt(child), "");
}

#[test]
fn what_changes_while_the_command_runs_is_rendered_when_it_has_ended() {
    let desk = desk();
    let child = watching(&desk, "20ms", &["--exec", NOTE_AND_WAIT]);
    wait_for(&desk, "log", "blue\n");
    desk.ok(&["set", "web", "colour", "green"]);
    desk.ok(&["set", "web", "colour", "red"]);
    assert_eq!(desk.read("log"), "blue\n");
    desk.write("go", "");
    wait_for(&desk, "log", "blue\nwent\nred\nwent\n");
    assert_eq!(interrupt(child), "");
}

#[test]
fn a_command_that_fails_while_watching_is_told_of_and_the_next_change_rendered() {
    let desk = desk();
    let child = watching(&desk, "20ms", &["--exec", "cat out >> log; exit 3"]);
    wait_for(&desk, "log", "blue");
    desk.ok(&["set", "web", "colour", "green"]);
    wait_for(&desk, "log", "bluegreen");
    // A change whose rendering shows that the second failure has been told of.
    desk.ok(&["set", "web", "colour", "red"]);
    wait_for(&desk, "log", "bluegreenred");
    let complaints = interrupt(child);
    let complained = complaints.lines().filter(|line| {
        line.starts_with("error: the command \"cat out >> log; exit 3\" ended with exit status 3")
    });
    assert!(complained.count() >= 2, "{complaints}");
}

#[test]
fn ctrl_c_while_the_command_runs_ends_both() {
    let desk = desk();
    let child = watching(&desk, "20ms", &["--exec", NOTE_AND_WAIT]);
    wait_for(&desk, "log", "blue\n");
    assert_eq!(interrupt(child), "");
    assert_eq!(desk.read("log"), "blue\n");
}

#[test]
fn a_command_that_does_not_end_at_ctrl_c_is_waited_for() {
    let desk = desk();
    let child = watching(&desk, "20ms", &["--exec", NOTE_AND_WAIT]);
    wait_for(&desk, "log", "blue\n");
    signal("-INT", &child.id().to_string());
    desk.write("go", "");
    let answer = Answer::of(child);
    assert_eq!((answer.code, answer.error.as_str()), (0, ""));
    assert_eq!(desk.read("log"), "blue\nwent\n");
}

#[test]
fn sigterm_ends_it_in_order_and_the_command_with_it() {
    let desk = desk();
    // Waiting for changes.
    let child = watching(&desk, "20ms", &[]);
    wait_for(&desk, "out", "blue");
    signal("-TERM", &child.id().to_string());
    let answer = Answer::of(child);
    assert_eq!((answer.code, answer.error.as_str()), (0, ""));

    // Waiting for the command, which is asked to end too, and takes its time.
    let ending =
        "trap 'echo asked >> log; exit 3' TERM; echo begun >> log; until [ -e go ]; do sleep 0.01; done";
    for watch in [&["--watch", "--debounce", "20ms"][..], &[]] {
        let _ = std::fs::remove_file(desk.path("log"));
        desk.write("out", "old");
        let render = ["render", "t", "web", "--output", "out", "--exec", ending];
        let child = desk.command(&[&render, watch].concat()).process_group(0).spawn().unwrap();
        wait_for(&desk, "log", "begun\n");
        signal("-TERM", &child.id().to_string());
        let answer = Answer::of(child);
        assert_eq!(desk.read("log"), "begun\nasked\n");
        assert!(answer.error.contains("exit status 3"), "{}", answer.error);
        assert_eq!(answer.code, if watch.is_empty() { 3 } else { 0 });
    }

    // A command that has nothing to do when it is asked ends by that, and nothing is wrong.
    let _ = std::fs::remove_file(desk.path("log"));
    let child = watching(&desk, "20ms", &["--exec", NOTE_AND_WAIT]);
    desk.ok(&["set", "web", "colour", "green"]);
    wait_until("it runs", || desk.path("log").exists());
    signal("-TERM", &child.id().to_string());
    let answer = Answer::of(child);
    assert_eq!((answer.code, answer.error.as_str()), (0, ""));
}

#[test]
fn ctrl_c_ends_the_wait_for_quiet() {
    let desk = desk();
    let child = watching(&desk, "1h", &[]);
    wait_for(&desk, "out", "blue");
    desk.ok(&["set", "web", "colour", "green"]);
    assert_eq!(interrupt(child), "");
    assert_eq!(desk.read("out"), "blue");
}

#[test]
fn a_template_that_changed_or_fails_is_read_again_at_the_next_change() {
    let desk = desk();
    let mut child = watching(&desk, "20ms", &["--exec", NOTE]);
    let mut complaints = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    wait_for(&desk, "log", "blue\n");
    desk.write("t", "{{ unclosed");
    desk.ok(&["set", "web", "colour", "green"]);
    // It must have failed before it is mended.
    let complaint = complaints.next().unwrap();
    assert!(complaint.starts_with("error: the template fails"), "{complaint}");
    assert_eq!(desk.read("out"), "blue");
    desk.write("t", "now {{ colour }}");
    desk.ok(&["set", "web", "colour", "red"]);
    wait_for(&desk, "log", "blue\nnow red\n");
    interrupt(child);
    assert_eq!(complaints.next(), None);
}

#[test]
fn a_rendering_that_fell_so_far_behind_that_changes_are_forgotten_shows_what_is_there() {
    let desk = desk();
    let child = watching(&desk, "20ms", &[]);
    wait_for(&desk, "out", "blue");
    signal("-STOP", &child.id().to_string());
    let options = Store::options().durability(Durability::Relaxed).history(10, 1 << 20);
    let store = options.open(desk.path("larder.db")).unwrap();
    for number in 0..1000 {
        store.set("web", "colour", number.to_string()).unwrap();
    }
    signal("-CONT", &child.id().to_string());
    wait_for(&desk, "out", "999");
    assert_eq!(interrupt(child), "");
}

#[test]
fn what_has_not_changed_is_not_printed_again() {
    let desk = desk();
    let child =
        desk.command(&["render", "t", "web", "--watch", "--debounce", "1ms"]).process_group(0).spawn();
    let mut child = child.unwrap();
    let mut printed = child.stdout.take().unwrap();
    let mut read = |text: &str| {
        let mut bytes = vec![0; text.len()];
        printed.read_exact(&mut bytes).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
    };
    read("blue");
    desk.ok(&["set", "web", "other", "x"]);
    desk.ok(&["set", "web", "colour", "green"]);
    read("green");
    assert_eq!(interrupt(child), "");
}
