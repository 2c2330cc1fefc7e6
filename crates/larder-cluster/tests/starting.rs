//! Starting a cluster, and its addresses.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::net::TcpStream;

use common::skipped;
use larder_cluster::{Cluster, Settings};

#[test]
fn a_cluster_serves_as_soon_as_it_is_started() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    assert_eq!(cluster.members(), 3);
    for member in 0..3 {
        cluster.call_member(member, "/v3/kv/put", r#"{"key":"YQ==","value":"YQ=="}"#).unwrap();
    }
    assert!(cluster.leader().is_some());
}

#[test]
fn the_location_names_every_endpoint() {
    if skipped() {
        return;
    }
    let cluster = Cluster::shared();
    let endpoints = cluster.endpoints();
    assert_eq!(cluster.location("app"), format!("etcd://{}/app", endpoints.join(",")));
    for endpoint in endpoints {
        TcpStream::connect(endpoint).unwrap();
    }
}

#[test]
fn the_shared_cluster_is_shared_by_all_tests() {
    if skipped() {
        return;
    }
    let endpoints: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..4).map(|_| scope.spawn(|| Cluster::shared().endpoints())).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(endpoints.iter().all(|other| *other == endpoints[0]));
}

#[test]
fn a_cluster_has_the_requested_number_of_members() {
    if skipped() {
        return;
    }
    for members in [1, 5] {
        let cluster = Cluster::start_with(&Settings { members, ..Settings::default() }).unwrap();
        assert_eq!(cluster.endpoints().len(), members);
        cluster.put(b"a", b"1").unwrap();
    }
}

#[test]
fn a_cluster_on_disk_keeps_its_data_in_the_temporary_folder() {
    if skipped() {
        return;
    }
    let settings = Settings { members: 1, on_disk: true, ..Settings::default() };
    let cluster = Cluster::start_with(&settings).unwrap();
    assert!(cluster.folder().starts_with(std::env::temp_dir()));
}

#[test]
fn an_etcd_that_fails_to_start_has_its_message_in_the_error() {
    if skipped() {
        return;
    }
    let settings = Settings { extra_args: vec!["--no-such-flag".into()], ..Settings::default() };
    let error = Cluster::start_with(&settings).err().unwrap();
    assert!(error.to_string().contains("no-such-flag"), "{error}");
}

#[test]
fn a_cluster_has_at_least_one_member() {
    if skipped() {
        return;
    }
    let error = Cluster::start_with(&Settings { members: 0, ..Settings::default() }).err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}
