//! `larder copy`: copying, resuming, and following changes.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{Answer, Desk};
use larder::Store;
use serde_json::{Value, json};

/// How long a bounded wait lasts before the test fails.
const WAIT_MAX: Duration = Duration::from_secs(60);

fn fill(store: &Store, group: &str, count: usize) {
    store
        .transaction(|tx| {
            (0..count).try_for_each(|n| tx.set(group, format!("key-{n:06}"), format!("value {n}")))
        })
        .unwrap();
}

/// Returns every entry of a store, as `export` writes it.
fn exported(desk: &Desk, store: &str) -> String {
    desk.ok(&["--store", store, "export"])
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_MAX;
    while !condition() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Starts `copy --follow`, and waits for the line that says it follows.
fn follow(desk: &Desk, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut all = vec!["--json", "copy", "--follow"];
    all.extend(arguments);
    let mut child = desk.command(&all).stdin(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(line["stage"], "following", "{line}");
    (child, lines)
}

/// Returns the last line of a copy. Asserts that it exits with 0.
fn outcome(child: Child, lines: Lines<BufReader<ChildStdout>>) -> Value {
    let last = lines.map(Result::unwrap).last().unwrap();
    let answer = Answer::of(child);
    assert_eq!((answer.code, answer.error.as_str()), (0, ""));
    serde_json::from_str(&last).unwrap()
}

#[test]
fn copy_copies_every_entry_and_quota() {
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "v"]);
    desk.ok(&["--namespace", "t", "set", "p", "k", "tenant"]);
    desk.ok(&["namespace", "quota", "t", "--max-keys", "1"]);
    desk.ok(&["--store", "to.db", "set", "own", "k", "stays"]);
    assert_eq!(desk.ok(&["copy", "larder.db", "to.db"]), "2\n");
    assert_eq!(desk.ok(&["--store", "to.db", "list"]), "g\t1\t2\nown\t1\t6\nt:p\t1\t7\n");
    desk.fails(3, "quota exceeded", &["--store", "to.db", "--namespace", "t", "set", "p", "l", "x"]);
    let result =
        json!({ "copied": 1, "revision": 2, "written": 1, "applied": 0, "beside": 0, "differing": 0 });
    assert_eq!(desk.json(&["--namespace", "t", "copy", "larder.db", "one.db"]), [result]);
    assert_eq!(desk.ok(&["--store", "one.db", "list"]), "t:p\t1\t7\n");
    assert_eq!(
        desk.json(&["copy", "--exact", "larder.db", "to.db"])[0]["written"],
        1,
        "the extra entry is deleted"
    );
    assert_eq!(exported(&desk, "to.db"), exported(&desk, "larder.db"));
}

#[test]
fn a_store_is_not_copied_onto_itself_by_whatever_name() {
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "v"]);
    let revision = desk.store().revision().unwrap();
    let absolute = desk.path("larder.db").display().to_string();
    #[cfg(unix)]
    std::os::unix::fs::symlink("larder.db", desk.path("link.db")).unwrap();
    let link = if cfg!(unix) { "link.db" } else { "./larder.db" };
    for target in ["larder.db", "./larder.db", &absolute, "sqlite:larder.db", link] {
        for arguments in
            [&["copy", "larder.db", target][..], &["copy", "--exact", "--follow", target, "larder.db"]]
        {
            desk.fails(2, "are the same store", arguments);
        }
        desk.fails(2, "are the same store", &["--namespace", "t", "copy", "larder.db", target]);
    }
    assert_eq!(desk.store().revision().unwrap(), revision);
    // A copy of the file is another store.
    std::fs::copy(desk.path("larder.db"), desk.path("other.db")).unwrap();
    assert_eq!(desk.ok(&["copy", "larder.db", "other.db"]), "1\n");
}

#[test]
fn a_killed_copy_resumes_where_it_stopped() {
    let desk = Desk::new();
    let source = desk.store();
    fill(&source, "a", 20_000);
    fill(&source, "b", 20_000);
    let target = Store::open(desk.path("to.db")).unwrap();
    let mut child = desk.spawn(&["copy", "larder.db", "to.db"]);
    eventually("the copy has started", || target.count("a").unwrap() > 1000);
    child.kill().unwrap();
    child.wait().unwrap();
    let there = target.count_all("").unwrap();
    assert!(there < 40_000, "the copy was killed too late: {there}");
    assert_eq!(target.unfinished_copies().unwrap().len(), 1);

    source.delete("a", "key-000003").unwrap();
    source.set("a", "key-000004", "new").unwrap();
    target.set("a", "own", "stays").unwrap();
    let result = desk.json(&["copy", "larder.db", "to.db"]).remove(0);
    assert_eq!(
        (&result["copied"], &result["beside"], &result["differing"]),
        (&json!(39_999), &json!(1), &json!(0))
    );
    assert!(
        result["written"].as_u64().unwrap() < 40_000 - 900,
        "{result}: existing entries are not written again"
    );
    target.delete("a", "own").unwrap();
    assert_eq!(exported(&desk, "to.db"), exported(&desk, "larder.db"));
}

#[test]
fn a_copy_follows_a_writer_until_a_line_of_input_cuts_over() {
    let desk = Desk::new();
    let source = desk.store();
    fill(&source, "a", 2000);
    fill(&source, "gone", 10);
    let (mut child, lines) = follow(&desk, &["larder.db", "to.db"]);
    for n in 0..300 {
        source.set("a", format!("key-{n:06}"), b"\xff\x00").unwrap();
        source.delete("a", format!("key-{:06}", n + 1000)).unwrap();
        source.set_with_ttl("ttl", n.to_string(), "x", Duration::from_secs(3600)).unwrap();
        source.increment("stats", "visits", 1).unwrap();
    }
    source.set_with_ttl("ttl", "short", "x", Duration::from_millis(1)).unwrap();
    source.delete_group("gone").unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let result = outcome(child, lines);
    assert_eq!(result["revision"], source.revision().unwrap().0);
    assert_eq!(result["beside"], 0);
    assert_eq!(exported(&desk, "to.db"), exported(&desk, "larder.db"));
}

#[test]
fn writes_to_the_target_by_others_are_reported_and_fixed_by_the_next_run() {
    let desk = Desk::new();
    fill(&desk.store(), "a", 3);
    let target = Store::open(desk.path("to.db")).unwrap();
    let (mut child, lines) = follow(&desk, &["larder.db", "to.db"]);
    target.set("a", "key-000000", "theirs").unwrap();
    target.delete("a", "key-000002").unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let result: Vec<Value> = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let answer = Answer::of(child);
    assert_eq!(answer.code, 4, "{}", answer.error);
    assert!(answer.error.contains("2 entries differ in to.db from larder.db"), "{}", answer.error);
    let [.., value, missing, totals] = &*result else { panic!("{result:?}") };
    assert_eq!(value, &json!({ "difference": "value", "group": "a", "key": "key-000000" }));
    assert_eq!(missing, &json!({ "difference": "missing", "group": "a", "key": "key-000002" }));
    assert_eq!((&totals["copied"], &totals["differing"]), (&json!(3), &json!(2)));
    let next = desk.json(&["copy", "larder.db", "to.db"]).remove(0);
    assert_eq!((&next["written"], &next["differing"]), (&json!(2), &json!(0)));
    assert_eq!(exported(&desk, "to.db"), exported(&desk, "larder.db"));
}

#[cfg(unix)]
#[test]
fn a_copy_killed_while_following_resumes_and_ctrl_c_cuts_over() {
    let desk = Desk::new();
    let source = desk.store();
    fill(&source, "a", 500);
    let target = Store::open(desk.path("to.db")).unwrap();
    let (mut child, _lines) = follow(&desk, &["larder.db", "to.db"]);
    source.set("a", "during", "the first run").unwrap();
    eventually("the change is copied", || target.exists("a", "during").unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
    source.delete("a", "during").unwrap();
    source.set("a", "between", "the runs").unwrap();

    // End of input does not cut over.
    let (mut child, lines) = follow(&desk, &["larder.db", "to.db"]);
    drop(child.stdin.take());
    source.set("a", "during", "the second run").unwrap();
    eventually("the change is copied", || target.exists("a", "during").unwrap());
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(outcome(child, lines)["beside"], 0);
    assert!(target.unfinished_copies().unwrap().is_empty());
    assert_eq!(exported(&desk, "to.db"), exported(&desk, "larder.db"));
}

#[test]
fn a_pipe_gets_the_progress_of_a_copy_in_fields() {
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "v"]);
    let answer = desk.run_with_input(&["copy", "--follow", "larder.db", "to.db"], b"\n");
    assert_eq!((answer.code, answer.error.as_str()), (0, ""));
    let text = answer.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "following\t1\t1\t0");
    assert_eq!(*lines.last().unwrap(), "cut over\t1\t1\t0");
}

#[test]
fn a_copy_that_cannot_succeed_fails_with_the_reason() {
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "v"]);
    desk.ok(&["--store", "full.db", "namespace", "quota", "t", "--max-bytes", "1"]);
    desk.ok(&["--namespace", "t", "set", "g", "k", "too much"]);
    desk.fails(3, "quota exceeded: namespace \"t\" may hold 1 bytes", &["copy", "larder.db", "full.db"]);
    desk.write("no.db", "no database at all, though it is long enough to be taken for one".repeat(20));
    desk.fails(4, "is not a SQLite database", &["copy", "larder.db", "no.db"]);
    desk.fails(4, "nowhere", &["copy", "larder.db", "nowhere/to.db"]);
    desk.fails(4, "there is no store at none.db", &["copy", "none.db", "to.db"]);
    desk.fails(2, "are the same store", &["copy", "--follow", "larder.db", "larder.db"]);
    assert!(!desk.path("to.db").exists());
}

#[test]
fn an_unfinished_copy_is_given_up_on_request_and_its_quotas_are_restored() {
    let desk = Desk::new();
    let source = desk.store();
    fill(&source, "t:a", 20_000);
    desk.ok(&["namespace", "quota", "t", "--max-keys", "30000"]);
    desk.ok(&["--store", "to.db", "namespace", "quota", "t", "--max-keys", "3"]);
    let target = Store::open(desk.path("to.db")).unwrap();
    let mut child = desk.spawn(&["copy", "larder.db", "to.db"]);
    eventually("the copy has started", || target.count("t:a").unwrap() > 100);
    child.kill().unwrap();
    child.wait().unwrap();
    let copied = target.count("t:a").unwrap();
    assert!(copied < 20_000, "the copy was killed too late: {copied}");
    let quota = || target.scoped("t").unwrap().quota().unwrap().max_keys;
    assert_eq!(quota(), None, "lifted");

    for wrong in [
        &["copy", "--abandon", "larder.db", "to.db"][..],
        &["copy", "--abandon", "--exact", "to.db"],
        &["copy", "--abandon", "--follow", "to.db"],
        &["--namespace", "t", "copy", "--abandon", "to.db"],
        &["copy", "to.db"],
    ] {
        assert_eq!(desk.run(wrong).code, 2, "{wrong:?}");
    }
    desk.fails(1, "larder.db has no unfinished copy", &["copy", "--abandon", "larder.db"]);
    desk.fails(4, "there is no store at none.db", &["copy", "--abandon", "none.db"]);
    let lifted = json!({ "t": { "max_keys": 3, "max_groups": null, "max_bytes": null } });
    let answer = json!({ "abandoned": 1, "copies": [{
        "source": source.token().unwrap().store(), "from_namespace": null, "into_namespace": null,
        "lifted": lifted,
    }]});
    assert_eq!(desk.json(&["copy", "--abandon", "to.db"]), [answer]);
    assert_eq!((quota(), target.count("t:a").unwrap()), (Some(3), copied));
    assert!(target.unfinished_copies().unwrap().is_empty());
    desk.fails(1, "no unfinished copy", &["copy", "--abandon", "to.db"]);
}

#[cfg(feature = "etcd")]
mod cluster {
    use larder_cluster::{Cluster, etcd_is_installed};

    use super::*;

    /// Returns the location of a store of this name; `None` if etcd is not installed.
    fn location(name: &str) -> Option<String> {
        if !etcd_is_installed() {
            eprintln!("skipped: etcd is not installed");
            return None;
        }
        Some(Cluster::shared().location(name))
    }

    #[test]
    fn a_store_moves_to_a_cluster_and_back_even_if_the_copy_is_killed() {
        let Some(to) = location("moved") else { return };
        let desk = Desk::new();
        let source = desk.store();
        fill(&source, "a", 5000);
        fill(&source, "t:b", 3000);
        source.set_with_ttl("c", "ttl", b"\xff\x00", Duration::from_secs(3600)).unwrap();
        source.set("c", "\0", "").unwrap();
        let target = Store::connect(&to).unwrap();
        let mut child = desk.spawn(&["copy", "larder.db", &to]);
        eventually("the copy has started", || target.count("a").unwrap() > 300);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(target.count_all("").unwrap() < 8000);
        source.delete_group("c").unwrap();
        source.set_with_ttl("c", "ttl", b"\xff\x01", Duration::from_secs(3600)).unwrap();

        let (mut child, lines) = follow(&desk, &["larder.db", &to]);
        source.set("d", "k", "followed").unwrap();
        source.delete_group("t:b").unwrap();
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert_eq!(outcome(child, lines)["beside"], 0);
        assert_eq!(exported(&desk, &to), exported(&desk, "larder.db"));
        assert_eq!(target.check().unwrap(), []);

        let (mut child, lines) = follow(&desk, &[&to, "back.db"]);
        target.set("d", "k", "followed back").unwrap();
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert_eq!(outcome(child, lines)["applied"], 1);
        assert_eq!(exported(&desk, "back.db"), exported(&desk, &to));
    }

    #[test]
    fn a_cluster_names_the_entry_that_it_refuses() {
        let Some(to) = location("refusing") else { return };
        let desk = Desk::new();
        let source = desk.store();
        source.set("g", "large", vec![0; 2 << 20]).unwrap();
        desk.fails(
            3,
            "the entry \"g\" \"large\" cannot be copied\ncaused by: the value has 2097152",
            &["copy", "larder.db", &to],
        );
        desk.fails(4, "127.0.0.1:1", &["copy", "larder.db", "etcd://127.0.0.1:1/app"]);
    }
}
