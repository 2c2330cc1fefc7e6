//! Faults of members, and their recovery.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;

use common::{WAIT_MAX, eventually, exists, skipped};
use larder_cluster::Cluster;

const READ: &str = r#"{"key":"YQ=="}"#;

#[test]
fn two_of_three_members_keep_serving_without_the_third() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    for member in 0..3 {
        let process = cluster.process_id(member).unwrap();
        cluster.kill(member);
        assert!(!exists(process) && cluster.process_id(member).is_none());
        cluster.wait_until_ready(WAIT_MAX).unwrap();
        cluster.put(b"a", format!("without {member}").as_bytes()).unwrap();
        cluster.restart(member);
        cluster.wait_until_ready(WAIT_MAX).unwrap();
    }
}

#[test]
fn a_restarted_member_keeps_its_address_and_catches_up() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let endpoints = cluster.endpoints();
    cluster.kill(1);
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    cluster.put(b"a", b"missed").unwrap();
    cluster.restart(1);
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    assert_eq!(cluster.endpoints(), endpoints);
    let read = cluster.call_member(1, "/v3/kv/range", READ).unwrap();
    assert!(read.contains("bWlzc2Vk"), "{read}");
}

#[test]
fn data_survives_killing_every_member() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    cluster.put(b"a", b"kept").unwrap();
    (0..3).for_each(|member| cluster.kill(member));
    assert!(cluster.wait_until_ready(WAIT_MAX).is_err());
    assert_eq!(cluster.leader(), None);
    (0..3).for_each(|member| cluster.restart(member));
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    let read = cluster.call("/v3/kv/range", READ).unwrap();
    assert!(read.contains("a2VwdA=="), "{read}");
}

#[test]
fn another_member_leads_after_the_leader_is_killed_or_paused() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let first = cluster.leader().unwrap();
    cluster.kill(first);
    eventually("another leads", || cluster.leader().is_some_and(|leader| leader != first));
    cluster.restart(first);
    cluster.wait_until_ready(WAIT_MAX).unwrap();

    let second = cluster.leader().unwrap();
    cluster.pause(second);
    eventually("another leads", || cluster.leader().is_some_and(|leader| leader != second));
    cluster.resume(second);
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    cluster.call_member(second, "/v3/kv/range", READ).unwrap();
}

#[test]
fn a_paused_member_does_not_answer_until_it_is_resumed() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let process = cluster.process_id(2).unwrap();
    let state = || fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    cluster.pause(2);
    if cfg!(target_os = "linux") {
        assert!(state().contains(") T "), "{}", state());
    }
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    cluster.put(b"a", b"meanwhile").unwrap();
    cluster.resume(2);
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    let read = cluster.call_member(2, "/v3/kv/range", READ).unwrap();
    assert!(read.contains("bWVhbndoaWxl"), "{read}");

    // A paused member can be killed without resuming it.
    cluster.pause(2);
    cluster.kill(2);
    assert!(!exists(process));
}

#[test]
fn no_revision_before_a_compaction_can_be_read() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    cluster.put(b"a", b"1").unwrap();
    cluster.put(b"a", b"2").unwrap();
    assert_eq!(cluster.compact(), 3);
    let refused = cluster.call("/v3/kv/range", r#"{"key":"YQ==","revision":"2"}"#).unwrap_err();
    assert!(refused.to_string().contains("has been compacted"), "{refused}");
    assert_eq!(cluster.compact(), 3, "compacting twice is allowed");
}

#[test]
#[should_panic(expected = "there is no member 3: the cluster has 3")]
fn faults_on_an_unknown_member_are_refused() {
    if skipped() {
        panic!("there is no member 3: the cluster has 3");
    }
    Cluster::shared().pause(3);
}

#[test]
fn a_member_can_be_replaced_by_a_new_one_without_data_at_its_address() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    cluster.put(b"a", b"before").unwrap();
    for member in [1, 2] {
        let data = cluster.log(member).with_file_name("data");
        cluster.remove_member(member).unwrap();
        assert!(!data.exists());
        cluster.wait_until_ready(WAIT_MAX).unwrap();
        cluster.put(b"a", b"meanwhile").unwrap();
        cluster.add_member(member).unwrap();
        cluster.wait_until_ready(WAIT_MAX).unwrap();
        let read = cluster.call_member(member, "/v3/kv/range", READ).unwrap();
        assert!(read.contains("bWVhbndoaWxl"), "{read}");
    }
    // It is a full member: it can be restarted, and be one of two.
    cluster.restart(1);
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    cluster.kill(0);
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    cluster.put(b"a", b"after").unwrap();
    assert!(cluster.leader().is_some_and(|leader| leader > 0));
}
