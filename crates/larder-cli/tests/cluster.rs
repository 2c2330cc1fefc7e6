//! `larder tour` on a store in a cluster.
#![cfg(feature = "etcd")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use common::{Answer, Desk};
use larder_cluster::{Cluster, etcd_is_installed};

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
