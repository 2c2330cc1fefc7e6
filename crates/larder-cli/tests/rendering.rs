//! `larder render --watch` and `--exec`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use common::{Answer, Desk};
use larder::{Durability, Store};

/// Logs the rendering that the command sees, on a line.
const LOG: &str = "cat out >> log; echo >> log";

/// Logs the rendering, then waits until a file named `go` exists.
const LOG_AND_WAIT: &str =
    "cat out >> log; echo >> log; until [ -e go ]; do sleep 0.01; done; echo went >> log";

fn desk() -> Desk {
    let desk = Desk::new();
    desk.ok(&["set", "web", "colour", "blue"]);
    desk.write("t", "{{ colour }}");
    desk
}

/// Starts `render --watch` in its own process group, as a shell does.
fn watching(desk: &Desk, debounce: &str, more: &[&str]) -> Child {
    let render = ["render", "t", "web", "--output", "out", "--watch", "--debounce", debounce];
    desk.command(&[&render, more].concat()).process_group(0).spawn().unwrap()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn wait_for(desk: &Desk, file: &str, text: &str) {
    let content = || std::fs::read_to_string(desk.path(file)).unwrap_or_default();
    wait_until(&format!("{file} has {text:?} instead of {:?}", content()), || content() == text);
}

fn signal(which: &str, process: &str) {
    assert!(Command::new("kill").args([which, "--", process]).status().unwrap().success());
}

/// Interrupts a command as Ctrl-C on a terminal does. Asserts that it exits with 0, and returns its errors.
fn interrupt(child: Child) -> String {
    signal("-INT", &format!("-{}", child.id()));
    let answer = Answer::of(child);
    assert_eq!(answer.code, 0, "{}", answer.error);
    answer.error
}

#[test]
fn the_command_runs_only_if_the_output_changed() {
    let desk = desk();
    let render = ["render", "t", "web", "--output", "out", "--exec", LOG];
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
fn a_failing_command_is_reported_and_the_output_stays() {
    let desk = desk();
    let words = "the command \"exit 5\" ended with exit status 5";
    desk.fails(3, words, &["render", "t", "web", "--output", "out", "--exec", "exit 5"]);
    assert_eq!(desk.read("out"), "blue");
}

#[test]
fn the_command_inherits_standard_output_and_error_but_not_input() {
    let desk = desk();
    let exec = "echo said; echo complained >&2; cat";
    let answer = desk.run_with_input(&["render", "-", "web", "--output", "out", "--exec", exec], b"x");
    assert_eq!((answer.code, answer.text().as_str(), answer.error.as_str()), (0, "said\n", "complained\n"));
}

#[test]
fn exec_requires_an_output_file_and_debounce_requires_watch() {
    let desk = desk();
    desk.fails(2, "--output", &["render", "t", "web", "--exec", "true"]);
    desk.fails(2, "--output", &["render", "t", "web", "--output", "-", "--exec", "true"]);
    desk.fails(2, "--watch", &["render", "t", "web", "--debounce", "1s"]);
    desk.fails(2, "--debounce", &["render", "t", "web", "--watch", "--debounce", "soon"]);
}

#[test]
fn the_command_runs_after_each_changed_rendering_and_sees_it() {
    let desk = desk();
    let child = watching(&desk, "20ms", &["--exec", LOG]);
    wait_for(&desk, "log", "blue\n");
    // Changes that the template does not read cause no rendering.
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
fn an_entry_that_expires_is_rendered_without_it() {
    let desk = desk();
    let child = watching(&desk, "20ms", &["--exec", LOG]);
    wait_for(&desk, "log", "blue\n");
    desk.ok(&["set", "web", "colour", "green", "--ttl", "300ms"]);
    wait_for(&desk, "out", "");
    assert_eq!(interrupt(child), "");
}

#[test]
fn a_change_in_any_group_that_the_template_reads_is_rendered() {
    let desk = desk();
    desk.ok(&["set", "where", "group", "first"]);
    desk.write("t", "{{ get('where', 'group') }}: {{ get(get('where', 'group'), 'host') }}");
    let child = watching(&desk, "20ms", &["--exec", LOG]);
    wait_for(&desk, "log", "first: \n");
    // An entry that the template read when it was missing.
    desk.ok(&["set", "first", "host", "a"]);
    wait_for(&desk, "log", "first: \nfirst: a\n");
    // Entries that the template has not read yet.
    desk.ok(&["set", "second", "host", "b"]);
    desk.ok(&["set", "first", "port", "1"]);
    desk.ok(&["set", "where", "group", "second"]);
    wait_for(&desk, "log", "first: \nfirst: a\nsecond: b\n");
    // An entry that it no longer reads, then one that it reads now.
    desk.ok(&["set", "first", "host", "c"]);
    desk.ok(&["delete", "second", "--all", "--yes"]);
    wait_for(&desk, "log", "first: \nfirst: a\nsecond: b\nsecond: \n");
    assert_eq!(interrupt(child), "");
}

#[test]
fn a_failed_rendering_is_repeated_when_an_entry_it_read_changes() {
    let desk = desk();
    desk.ok(&["set", "limits", "rate", "1"]);
    desk.write("t", "{{ get('limits', 'rate')|int }}");
    let mut child = watching(&desk, "20ms", &[]);
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    wait_for(&desk, "out", "1");
    desk.ok(&["set", "limits", "rate", "many"]);
    let error = errors.next().unwrap();
    assert!(error.starts_with("error: the template fails"), "{error}");
    desk.ok(&["set", "limits", "rate", "2"]);
    wait_for(&desk, "out", "2");
    // A template that cannot be parsed reads nothing, so what the one before it read still counts.
    desk.write("t", "{{ unclosed");
    desk.ok(&["set", "limits", "rate", "3"]);
    assert!(errors.next().unwrap().starts_with("error: the template fails"));
    desk.write("t", "{{ get('limits', 'rate') }}");
    desk.ok(&["set", "limits", "rate", "4"]);
    wait_for(&desk, "out", "4");
    interrupt(child);
}

#[test]
fn in_a_namespace_a_change_in_any_group_that_the_template_reads_is_rendered() {
    let desk = desk();
    desk.ok(&["--namespace", "ns", "set", "web", "colour", "blue"]);
    desk.write("t", "{{ colour }}{{ get('db', 'host') }}");
    let child = watching(&desk, "20ms", &["--namespace", "ns", "--exec", LOG]);
    wait_for(&desk, "log", "blue\n");
    desk.ok(&["set", "db", "host", "of the whole store"]);
    desk.ok(&["--namespace", "ns", "set", "db", "host", "!"]);
    wait_for(&desk, "log", "blue\nblue!\n");
    assert_eq!(interrupt(child), "");
}

#[test]
fn a_burst_of_changes_is_rendered_few_times() {
    let desk = desk();
    let child = watching(&desk, "250ms", &["--exec", LOG]);
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
fn continuous_changes_are_rendered_too() {
    let desk = desk();
    let child = watching(&desk, "30ms", &[]);
    wait_for(&desk, "out", "blue");
    let store = Store::options().durability(Durability::Relaxed).open(desk.path("larder.db")).unwrap();
    let mut number = 0;
    wait_until("continuous changes are rendered", || {
        // The changes come faster than the debounce time.
        number += 1;
        store.set("web", "colour", number.to_string()).unwrap();
        desk.read("out") != "blue"
    });
    assert_eq!(interrupt(child), "");
}

#[test]
fn changes_while_the_command_runs_are_rendered_after_it_ends() {
    let desk = desk();
    let child = watching(&desk, "20ms", &["--exec", LOG_AND_WAIT]);
    wait_for(&desk, "log", "blue\n");
    desk.ok(&["set", "web", "colour", "green"]);
    desk.ok(&["set", "web", "colour", "red"]);
    assert_eq!(desk.read("log"), "blue\n");
    desk.write("go", "");
    wait_for(&desk, "log", "blue\nwent\nred\nwent\n");
    assert_eq!(interrupt(child), "");
}

#[test]
fn after_a_failing_command_the_next_change_is_still_rendered() {
    let desk = desk();
    let child = watching(&desk, "20ms", &["--exec", "cat out >> log; exit 3"]);
    wait_for(&desk, "log", "blue");
    desk.ok(&["set", "web", "colour", "green"]);
    wait_for(&desk, "log", "bluegreen");
    // Once this change is rendered, the second failure has been reported.
    desk.ok(&["set", "web", "colour", "red"]);
    wait_for(&desk, "log", "bluegreenred");
    let errors = interrupt(child);
    let reported = errors.lines().filter(|line| {
        line.starts_with("error: the command \"cat out >> log; exit 3\" ended with exit status 3")
    });
    assert!(reported.count() >= 2, "{errors}");
}

#[test]
fn ctrl_c_while_the_command_runs_ends_both() {
    let desk = desk();
    let child = watching(&desk, "20ms", &["--exec", LOG_AND_WAIT]);
    wait_for(&desk, "log", "blue\n");
    assert_eq!(interrupt(child), "");
    assert_eq!(desk.read("log"), "blue\n");
}

#[test]
fn larder_waits_for_a_command_that_ignores_ctrl_c() {
    let desk = desk();
    let child = watching(&desk, "20ms", &["--exec", LOG_AND_WAIT]);
    wait_for(&desk, "log", "blue\n");
    signal("-INT", &child.id().to_string());
    desk.write("go", "");
    let answer = Answer::of(child);
    assert_eq!((answer.code, answer.error.as_str()), (0, ""));
    assert_eq!(desk.read("log"), "blue\nwent\n");
}

#[test]
fn sigterm_ends_render_cleanly_and_the_command_with_it() {
    let desk = desk();
    // While it waits for changes.
    let child = watching(&desk, "20ms", &[]);
    wait_for(&desk, "out", "blue");
    signal("-TERM", &child.id().to_string());
    let answer = Answer::of(child);
    assert_eq!((answer.code, answer.error.as_str()), (0, ""));

    // While it waits for the command, which also gets SIGTERM, and exits with an error.
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

    // A command that dies of SIGTERM is not an error.
    let _ = std::fs::remove_file(desk.path("log"));
    let child = watching(&desk, "20ms", &["--exec", LOG_AND_WAIT]);
    desk.ok(&["set", "web", "colour", "green"]);
    wait_until("the command runs", || desk.path("log").exists());
    signal("-TERM", &child.id().to_string());
    let answer = Answer::of(child);
    assert_eq!((answer.code, answer.error.as_str()), (0, ""));
}

#[test]
fn ctrl_c_ends_the_debounce_wait() {
    let desk = desk();
    let child = watching(&desk, "1h", &[]);
    wait_for(&desk, "out", "blue");
    desk.ok(&["set", "web", "colour", "green"]);
    assert_eq!(interrupt(child), "");
    assert_eq!(desk.read("out"), "blue");
}

#[test]
fn the_template_is_read_again_at_every_change() {
    let desk = desk();
    let mut child = watching(&desk, "20ms", &["--exec", LOG]);
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    wait_for(&desk, "log", "blue\n");
    desk.write("t", "{{ unclosed");
    desk.ok(&["set", "web", "colour", "green"]);
    // The template must fail before it is fixed.
    let error = errors.next().unwrap();
    assert!(error.starts_with("error: the template fails"), "{error}");
    assert_eq!(desk.read("out"), "blue");
    desk.write("t", "now {{ colour }}");
    desk.ok(&["set", "web", "colour", "red"]);
    wait_for(&desk, "log", "blue\nnow red\n");
    interrupt(child);
    assert_eq!(errors.next(), None);
}

#[test]
fn render_watch_catches_up_after_its_changes_were_compacted() {
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
fn unchanged_output_is_not_printed_again() {
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
