//! Cuts between members, and healing them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use common::{WAIT_MAX, eventually, skipped};
use larder_cluster::{Cluster, Settings, members_can_be_cut_off};

const READ: &str = r#"{"key":"YQ=="}"#;

/// A cluster whose members have their own networks; `None`, with a note, where that is impossible.
fn with_own_networks() -> Option<Cluster> {
    if skipped() {
        return None;
    }
    if let Err(reason) = members_can_be_cut_off() {
        eprintln!("skipped: members cannot be cut off from each other: {reason}");
        return None;
    }
    Some(Cluster::start_with(&Settings { own_networks: true, ..Settings::default() }).unwrap())
}

/// The network interfaces of this machine.
fn interfaces() -> BTreeSet<String> {
    let interfaces = fs::read_dir("/sys/class/net").unwrap();
    interfaces.map(|interface| interface.unwrap().file_name().into_string().unwrap()).collect()
}

/// The interface to a member's network: `larder-N` for `198.18.N.10:2379`; 198.19 continues the numbers.
fn cable_to(endpoint: &str) -> String {
    let part = |index: usize| endpoint.split('.').nth(index).unwrap().parse::<u32>().unwrap();
    format!("larder-{}", (part(1) - 18) * 256 + part(2))
}

#[test]
fn an_isolated_leader_is_replaced_and_follows_after_healing() {
    let Some(cluster) = with_own_networks() else { return };
    let first = cluster.leader().unwrap();
    cluster.cut_off(first);
    let other = (first + 1) % 3;
    let put = r#"{"key":"YQ==","value":"bWVhbndoaWxl"}"#;
    eventually("the others serve", || cluster.call_member(other, "/v3/kv/put", put).is_ok());
    assert!(
        cluster.call_member(first, "/v3/kv/range", READ).is_err(),
        "an isolated member served a linearizable read"
    );
    let serializable = r#"{"key":"YQ==","serializable":true}"#;
    let old = cluster.call_member(first, "/v3/kv/range", serializable).unwrap();
    assert!(!old.contains("bWVhbndoaWxl"), "the isolated member has the new write: {old}");

    cluster.heal();
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    let read = cluster.call_member(first, "/v3/kv/range", READ).unwrap();
    assert!(read.contains("bWVhbndoaWxl"), "{read}");
}

#[test]
fn a_one_way_cut_can_be_healed() {
    let Some(cluster) = with_own_networks() else { return };
    let leader = cluster.leader().unwrap();
    cluster.cut(leader, (leader + 1) % 3);
    cluster.cut(leader, (leader + 2) % 3);
    eventually("another leads", || cluster.leader().is_some_and(|other| other != leader));
    cluster.heal();
    cluster.heal();
    cluster.wait_until_ready(WAIT_MAX).unwrap();
}

#[test]
fn an_isolated_member_can_be_killed_and_restarted() {
    let Some(cluster) = with_own_networks() else { return };
    cluster.kill(2);
    cluster.put(b"a", b"missed").unwrap();
    cluster.restart(2);
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    assert!(cluster.call_member(2, "/v3/kv/range", READ).unwrap().contains("bWlzc2Vk"));
}

#[test]
fn dropping_the_cluster_removes_its_networks() {
    let Some(cluster) = with_own_networks() else { return };
    let cable = cable_to(&cluster.endpoints()[0]);
    assert!(interfaces().contains(&cable));
    drop(cluster);
    eventually("the interface is gone", || !interfaces().contains(&cable));
}

#[test]
fn killing_the_clusters_process_removes_its_networks() {
    if with_own_networks().is_none() {
        return;
    }
    let program = env!("CARGO_BIN_EXE_larder-cluster");
    let mut holder = Command::new(program)
        .arg("--own-networks")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut location = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut location).unwrap();
    let cable = cable_to(location.strip_prefix("etcd://").unwrap());
    assert!(interfaces().contains(&cable));
    holder.kill().unwrap();
    holder.wait().unwrap();
    eventually("the interface is gone", || !interfaces().contains(&cable));
}

#[test]
#[should_panic(expected = "the members have no networks of their own")]
fn members_without_their_own_network_cannot_be_cut_off() {
    if skipped() {
        panic!("the members have no networks of their own");
    }
    Cluster::shared().cut_off(0);
}
