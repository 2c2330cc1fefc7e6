//! The command line on a store in a cluster.
#![cfg(feature = "etcd")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use common::{Answer, Desk};
use larder_cluster::{Cluster, etcd_is_installed};

#[test]
fn the_tour_keeps_its_word_in_a_cluster_of_which_one_member_dies() {
    if !etcd_is_installed() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let location = cluster.location("app");
    let desk = Desk::new();
    let touring = |member: Option<usize>| {
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
    touring(None);
    for member in 0..cluster.members() {
        touring(Some(member));
        cluster.restart(member);
        cluster.wait_until_ready(Duration::from_secs(60)).unwrap();
    }
    // The store that the location names is nobody's yet.
    assert!(desk.run(&["--store", &location, "list"]).error.contains("no store of that name"));
}
