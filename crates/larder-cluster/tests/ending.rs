//! A cluster leaves nothing behind when it is dropped, or when its process ends.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use common::{eventually, exists, skipped};
use larder_cluster::Cluster;

/// Another process with a cluster.
struct Holder {
    process: Child,
    members: Vec<u32>,
    folder: PathBuf,
}

impl Holder {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_larder-cluster"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.next().unwrap().starts_with("etcd://127.0.0.1:"));
        let members: Vec<String> = lines.by_ref().take(3).collect();
        let ids = members.iter().map(|member| between(member, "process ", ",").parse().unwrap()).collect();
        // The log is in the member's folder, inside the cluster's folder.
        let log = PathBuf::from(members[0].rsplit("log ").next().unwrap());
        let folder = log.ancestors().nth(2).unwrap().to_owned();
        Self { process, members: ids, folder }
    }

    fn has_left_nothing(&self) -> bool {
        !self.members.iter().any(|member| exists(*member)) && !self.folder.exists()
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split(before).nth(1).unwrap().split(after).next().unwrap()
}

#[test]
fn dropping_the_cluster_ends_its_members_and_deletes_their_data() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let processes: Vec<u32> = (0..3).map(|member| cluster.process_id(member).unwrap()).collect();
    let folder = cluster.folder().to_owned();
    assert!(folder.exists());
    cluster.pause(1);
    cluster.kill(2);
    drop(cluster);
    assert!(!processes.iter().any(|process| exists(*process)));
    assert!(!folder.exists());
}

#[test]
fn members_outlive_the_thread_that_started_them() {
    if skipped() {
        return;
    }
    let cluster = std::thread::spawn(|| Cluster::start().unwrap()).join().unwrap();
    cluster.put(b"a", b"1").unwrap();
}

#[test]
fn killing_the_clusters_process_ends_its_members_and_deletes_their_data() {
    if skipped() {
        return;
    }
    let mut holder = Holder::start();
    assert!(holder.folder.exists() && holder.members.iter().all(|member| exists(*member)));
    holder.process.kill().unwrap();
    holder.process.wait().unwrap();
    eventually("nothing is left", || holder.has_left_nothing());
}

#[test]
fn exiting_the_clusters_process_ends_its_members_and_deletes_their_data() {
    if skipped() {
        return;
    }
    let mut holder = Holder::start();
    drop(holder.process.stdin.take());
    assert!(holder.process.wait().unwrap().success());
    assert!(holder.has_left_nothing());
}
