//! The command line on a store in a cluster.
#![cfg(feature = "etcd")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Answer, Desk};
use larder::{Quota, Store};
use larder_cluster::{Cluster, etcd_is_installed};
use serde_json::{Value, json};

#[test]
fn a_store_of_a_cluster_is_not_copied_onto_itself_by_whatever_endpoints() {
    if !etcd_is_installed() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let location = cluster.location("app");
    let desk = Desk::new();
    desk.ok(&["--store", &location, "set", "g", "k", "v"]);
    let endpoints = location.strip_prefix("etcd://").and_then(|rest| rest.strip_suffix("/app")).unwrap();
    let mut endpoints: Vec<&str> = endpoints.split(',').collect();
    endpoints.reverse();
    for target in
        [&location, &format!("etcd://{}/app", endpoints[0]), &format!("etcd://{}/app", endpoints.join(","))]
    {
        desk.fails(2, "are the same store", &["copy", &location, target]);
        desk.fails(2, "are the same store", &["--namespace", "t", "copy", target, &location]);
    }
    let other = cluster.location("other");
    assert_eq!(desk.ok(&["copy", &location, &other]), "1\n");
    assert_eq!(desk.ok(&["copy", &location, "file.db"]), "1\n");
    assert_eq!(desk.ok(&["copy", "file.db", &other]), "1\n");
}

#[test]
fn the_tour_succeeds_in_a_cluster_while_a_member_dies() {
    if !etcd_is_installed() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let location = cluster.location("app");
    let desk = Desk::new();
    let tour_while_killing = |member: Option<usize>| {
        let child = desk.command(&["--store", &location, "tour"]).spawn().unwrap();
        if let Some(member) = member {
            cluster.kill(member);
        }
        let answer = Answer::of(child);
        assert_eq!((answer.code, answer.error.as_str()), (0, ""), "{}", answer.text());
        let text = answer.text();
        for word in ["in a cluster", "quota exceeded", "All or nothing", "the store is sound", "all held"] {
            assert!(text.contains(word), "{word} in {text}");
        }
        assert!(!text.contains("SQLite"), "{text}");
    };
    tour_while_killing(None);
    for member in 0..cluster.members() {
        tour_while_killing(Some(member));
        cluster.restart(member);
        cluster.wait_until_ready(Duration::from_secs(60)).unwrap();
    }
    // The tour did not create the store that `--store` names.
    assert!(desk.run(&["--store", &location, "list"]).error.contains("no store of that name"));
}

/// Prints how long both take. `LARDER_IMPORT_ENTRIES` makes it more entries.
#[test]
fn an_import_in_batches_writes_what_batches_through_the_library_write() {
    if !etcd_is_installed() {
        return;
    }
    const BATCH: usize = 1000;
    let entries = std::env::var("LARDER_IMPORT_ENTRIES").map_or(3000, |entries| entries.parse().unwrap());
    let cluster = Cluster::start().unwrap();
    let desk = Desk::new();
    let value = "v".repeat(100);
    let lines: String = (0..entries)
        .map(|key| format!("{}\n", json!({"group": "g", "key": format!("key-{key}"), "value": value})))
        .collect();
    desk.write("many.ndjson", &lines);
    let imported = cluster.location("imported");
    let began = Instant::now();
    desk.ok(&["--store", &imported, "import", "many.ndjson", "--batch", &BATCH.to_string()]);
    let importing = began.elapsed();

    let store = Store::connect(cluster.location("batches")).unwrap();
    let began = Instant::now();
    for first in (0..entries).step_by(BATCH) {
        let keys = first..entries.min(first + BATCH);
        let set = |batch: larder::Batch, key| batch.set("g", format!("key-{key}"), value.as_str());
        keys.fold(store.batch(), set).commit().unwrap();
    }
    let batching = began.elapsed();
    let rate = |took: Duration| entries as f64 / took.as_secs_f64();
    println!("imported {:.0} entries/s, by batches {:.0} entries/s", rate(importing), rate(batching));
    let imported = Store::connect(&imported).unwrap();
    let content = |store: &Store| {
        let all = store.get_all("g").unwrap();
        all.iter().map(|(key, value)| (key.to_owned(), value.clone())).collect::<Vec<_>>()
    };
    assert_eq!(imported.count("g").unwrap(), entries as u64);
    assert!(content(&imported) == content(&store), "the entries differ");
}

#[test]
fn an_import_that_is_too_large_for_one_commit_is_refused_at_once_and_works_in_batches() {
    if !etcd_is_installed() {
        return;
    }
    let cluster = Cluster::shared();
    let location = cluster.location("imported");
    let desk = Desk::new();
    let lines: String = (0..20_000)
        .map(|n| format!("{{\"group\":\"g\",\"key\":\"key-{n:05}\",\"value\":\"value\"}}\n"))
        .collect();
    desk.write("many.ndjson", &lines);
    let refused = desk.run(&["--store", &location, "import", "many.ndjson"]);
    assert_eq!(refused.code, 3, "{}", refused.error);
    assert!(refused.error.contains("--batch 1000"), "{}", refused.error);
    assert_eq!(desk.ok(&["--store", &location, "count"]).trim(), "0");
    let done = desk.ok(&["--store", &location, "import", "many.ndjson", "--batch", "1000"]);
    assert!(done.contains("20000"), "{done}");
    assert_eq!(desk.ok(&["--store", &location, "count"]).trim(), "20000");
}

/// Reads the first line of a command's output, and goes on to read the rest so that the command is not held up.
fn first_line(child: &mut Child) -> String {
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    thread::spawn(move || reader.lines().for_each(drop));
    line
}

#[test]
fn a_command_that_follows_changes_fails_after_so_long_without_the_cluster() {
    if !etcd_is_installed() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let location = cluster.location("app");
    let desk = Desk::new();
    let store = Store::connect(&location).unwrap();
    store.set("g", "k", "v").unwrap();
    desk.write("template", "{{ k }}");
    let lines = [
        &["watch", "--since", "0"][..],
        &["watch", "--since", "0", "--cursor", "c"],
        &["watch", "--snapshot"],
        &["render", "template", "g", "--watch"],
        &["copy", "--follow", &location, "copy.db"],
    ];
    let commands = lines.map(|line| {
        let global = ["--json", "--store", &location, "--timeout", "1s", "--log", "off"];
        let mut child = desk.spawn(&[&global[..], line, &["--fail-after", "2s"]].concat());
        let first = first_line(&mut child);
        assert!(first.contains('v') || first.contains("following"), "{line:?}: {first}");
        child
    });
    store.close().unwrap();
    (0..cluster.members()).for_each(|member| cluster.kill(member));
    for (line, child) in lines.iter().zip(commands) {
        let answer = Answer::of(child);
        assert_eq!(answer.code, 4, "{line:?}: {}", answer.error);
        let error: Value = serde_json::from_str(&answer.error).unwrap();
        assert_eq!(error["kind"], "unreachable", "{line:?}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with("changes could not be followed for 2s: "), "{line:?}: {error}");
    }
    let answer = desk.run(&["--store", &location, "--timeout", "700ms", "get", "g", "k"]);
    answer.failed(4, "no member of the cluster has answered within ", "a cluster that is away");
    // Without the option, it is five seconds or more.
    let waited = answer.error.split("within ").nth(1).unwrap().split(' ').next().unwrap();
    let default = |waited: &str| waited.parse::<f64>().is_ok_and(|seconds| seconds >= 5.0);
    assert!(!default(waited.trim_end_matches('s')), "{}", answer.error);
}

#[test]
fn stats_shows_how_the_command_stands_to_the_cluster() {
    if !etcd_is_installed() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let location = cluster.location("app");
    let desk = Desk::new();
    desk.ok(&["--store", &location, "set", "g", "k", "v"]);
    let stats = &desk.json(&["--store", &location, "stats"])[0];
    let health = &stats["health"];
    let members = cluster.endpoints();
    let is_member =
        |member: &Value| members.iter().any(|endpoint| member.as_str().unwrap().ends_with(endpoint));
    assert!(is_member(&health["member"]) && is_member(&health["feed"]["member"]), "{health}");
    assert!(health["feed"]["connected_since"].is_string() && health["feed"]["lag_ms"].is_u64(), "{health}");
    assert_eq!(health["feed"]["refusal"], Value::Null);
    assert_eq!(health["feed"]["revision"], stats["revision"]);
    for figure in ["retries", "contended", "unknown", "restores", "left_out"] {
        assert_eq!(health[figure], 0, "{figure}");
    }
    let plain = desk.ok(&["--store", &location, "stats"]);
    for line in ["\nmember\thttp://", "\nfeed_connected_since\t2", "\nfeed_refusal\t-\n", "\nunknown\t0\n"] {
        assert!(plain.contains(line), "{line} in {plain}");
    }
    // A member that is away costs a request that is sent again.
    let away =
        members.iter().position(|endpoint| health["member"].as_str().unwrap().ends_with(endpoint)).unwrap();
    cluster.kill(away);
    let health = &desk.json(&["--store", &location, "stats"])[0]["health"];
    assert_ne!(health["member"], stats["health"]["member"]);
    assert!(health["retries"].as_u64().unwrap() > 0, "{health}");
    assert!(health["feed"]["connected_since"].is_string(), "{health}");
}

#[test]
fn a_namespace_of_a_cluster_that_is_made_again_has_no_quota_or_cursor_of_the_one_before() {
    if !etcd_is_installed() {
        return;
    }
    let cluster = Cluster::shared();
    let location = cluster.location("tenants");
    let desk = Desk::new();
    let run = |line: &[&str]| desk.ok(&[&["--store", &location], line].concat());
    run(&["--namespace", "t", "set", "p", "k", "v"]);
    run(&["namespace", "quota", "t", "--max-keys", "1"]);
    Store::connect(&location).unwrap().scoped("t").unwrap().cursor("mailer").unwrap();
    run(&["namespace", "delete", "t"]);
    run(&["--namespace", "t", "set", "p", "k", "v"]);
    assert_eq!(run(&["namespace", "list"]), "t\t1\t1\t2\t0\t0\t0\n");
    assert_eq!(run(&["--namespace", "t", "cursor", "list"]), "");
}

#[test]
fn what_cannot_be_read_is_left_out_with_a_warning_and_exit_code_4_until_it_is_deleted() {
    if !etcd_is_installed() {
        return;
    }
    let cluster = Cluster::shared();
    let location = cluster.location("spoilt");
    let desk = Desk::new();
    let run = |line: &[&str]| desk.run(&[&["--store", &location], line].concat());
    for key in ["a", "b", "c"] {
        assert_eq!(run(&["set", "g", key, "v"]).code, 0);
    }
    cluster.put(b"spoilt/key/g\0\x01b", b"\xff\xff").unwrap();
    let is_told = |answer: &Answer, what: &str| {
        assert_eq!(answer.code, 4, "{what}: {}", answer.error);
        let lines: Vec<&str> = answer.error.lines().collect();
        assert_eq!(lines[0], "warning: a key is left out", "{what}");
        assert!(lines[1].starts_with("caused by: the key \"spoilt/key/g\\0"), "{what}: {}", answer.error);
        assert!(answer.error.contains("\nerror: the store etcd://"), "{what}: {}", answer.error);
        assert!(answer.error.contains("--delete-unreadable"), "{what}: {}", answer.error);
    };
    let listed = run(&["list", "g", "--keys"]);
    is_told(&listed, "list");
    assert_eq!(listed.text(), "a\nc\n");
    let exported = run(&["export"]);
    is_told(&exported, "export");
    assert_eq!(exported.text().lines().count(), 2);
    is_told(&run(&["export", "all.json"]), "export to a file");
    assert_eq!(
        serde_json::from_str::<Value>(&desk.read("all.json")).unwrap(),
        json!({"g": {"a": "v", "c": "v"}})
    );
    let copied = desk.run(&["copy", &location, "copy.db"]);
    is_told(&copied, "copy");
    is_told(&run(&["backup", "backup.db"]), "backup");
    for file in ["copy.db", "backup.db"] {
        assert_eq!(desk.ok(&["--store", file, "list", "g", "--keys"]), "a\nc\n");
    }
    // A template would show it as empty, so what was rendered before stays.
    desk.write("template", "{{ a }}{{ b }}");
    desk.write("rendered", "before");
    for more in [&[][..], &["--watch"], &["--output", "rendered", "--exec", "echo run >> log"]] {
        let rendered = run(&[&["render", "template", "g"], more].concat());
        is_told(&rendered, "render");
        assert_eq!((rendered.text().as_str(), desk.path("log").exists()), ("", false), "{more:?}");
    }
    assert_eq!(desk.read("rendered"), "before");
    #[cfg(unix)]
    {
        let mut watching = desk.spawn(&["--store", &location, "watch", "--snapshot"]);
        let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines().map(Result::unwrap);
        let entries = lines.by_ref().take_while(|line| !line.ends_with("\tcurrent")).count();
        assert_eq!(entries, 2);
        let id = watching.id().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        is_told(&Answer::of(watching), "watch --snapshot");
    }
    let as_json = run(&["--json", "export"]);
    let said: Vec<Value> = as_json.error.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((as_json.code, said.len()), (4, 2), "{said:?}");
    assert_eq!((&said[0]["kind"], &said[1]["kind"]), (&json!("warning"), &json!("damaged")));

    // A check names it, a repair offers to delete it, and leaves it until it is told to.
    let checked = run(&["--json", "check", "--repair"]);
    assert_eq!(checked.code, 4);
    let report: Value = serde_json::from_str(&checked.text()).unwrap();
    let problem = &report["problems"][0];
    assert_eq!((&problem["kind"], &problem["repairable"]), (&json!("foreign_entry"), &json!(true)));
    assert!(problem["advice"].as_str().unwrap().contains("--delete-unreadable"), "{problem}");
    assert_eq!(run(&["get", "g", "b"]).code, 4);
    assert_eq!(run(&["check", "--delete-unreadable"]).code, 2);
    // An exact copy cannot be compared with what cannot be read. One that is not is about its own entries.
    desk.ok(&["--store", "other.db", "set", "g", "a", "v"]);
    desk.ok(&["--store", "other.db", "set", "g", "c", "v"]);
    let exact = desk.run(&["copy", "--exact", "--yes", "other.db", &location]);
    assert_eq!((exact.code, exact.text().as_str()), (4, "2\n"), "{}", exact.error);
    assert!(exact.error.contains("on the target"), "{}", exact.error);
    assert_eq!(desk.run(&["copy", "other.db", &location]).code, 0);
    let repaired = run(&["check", "--repair", "--delete-unreadable"]);
    assert_eq!((repaired.code, repaired.error.as_str()), (0, ""));
    assert!(
        repaired.text().contains("repaired: 1 entry that holds what larder does not write"),
        "{}",
        repaired.text()
    );
    let listed = run(&["list", "g", "--keys"]);
    assert_eq!((listed.code, listed.error.as_str(), listed.text().as_str()), (0, "", "a\nc\n"));
    assert_eq!(run(&["get", "g", "b"]).code, 1);
}

#[test]
fn a_copy_that_is_killed_while_the_leader_changes_is_resumed_and_leaves_no_quota_lifted() {
    if !etcd_is_installed() {
        return;
    }
    const KEYS: u64 = 40;
    let cluster = Cluster::start().unwrap();
    let (from, to) = (cluster.location("from"), cluster.location("to"));
    let open = |location: &str| {
        let options = Store::options().timeout(Duration::from_secs(20)).expiry_timer(false);
        options.connect(location).unwrap()
    };
    let (source, target) = (open(&from), open(&to));
    let quota = Quota { max_keys: Some(KEYS), ..Quota::default() };
    source.set_quota("tenant", quota).unwrap();
    for key in 0..KEYS {
        source.set("tenant:g", key.to_string(), "v").unwrap();
    }
    let desk = Desk::new();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // The namespace is full, and each commit moves a key: applied one by one, that takes the quota away.
        let writer = scope.spawn(|| {
            for n in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    return n;
                }
                let moved = source.batch().delete("tenant:g", n.to_string());
                moved
                    .set("tenant:g", (n + KEYS).to_string(), "v")
                    .set("g", "n", n.to_string())
                    .commit()
                    .unwrap();
            }
            0
        });
        for round in 0..3 {
            let mut copying =
                desk.command(&["copy", "--follow", &from, &to]).stdin(Stdio::piped()).spawn().unwrap();
            let before = target.get("g", "n").unwrap();
            let deadline = Instant::now() + Duration::from_secs(60);
            // It has copied something, and then a few changes more.
            while target.get("g", "n").unwrap() == before {
                assert!(Instant::now() < deadline, "round {round}: nothing is copied");
            }
            let leader = cluster.leader().unwrap();
            cluster.move_leader_to((leader + 1) % 3).unwrap();
            copying.kill().unwrap();
            copying.wait().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() > 0);
    });
    desk.ok(&["copy", &from, &to]);
    for group in ["tenant:g", "g"] {
        let content = |store: &Store| {
            let entries = store.entries(group).unwrap().map(Result::unwrap);
            entries.map(|entry| (entry.key, entry.value)).collect::<Vec<_>>()
        };
        assert_eq!(content(&target), content(&source), "{group}");
    }
    assert_eq!(target.namespaces().unwrap()[0].quota, source.namespaces().unwrap()[0].quota);
    assert_eq!(target.groups("").unwrap().len(), 2, "nothing is left of the copy's own");
    assert_eq!((source.check().unwrap(), target.check().unwrap()), (vec![], vec![]));
}
