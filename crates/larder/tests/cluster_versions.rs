//! A store on a cluster that a later larder uses as well.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clusters;

use clusters::{WAIT_MAX, options, skipped};
use larder::{Error, Pattern};
use larder_cluster::Cluster;

#[test]
fn a_store_whose_layout_a_later_larder_has_changed_takes_no_write_of_an_earlier_one() {
    if skipped() {
        return;
    }
    let cluster = Cluster::shared();
    let location = cluster.location("later");
    let store = options().connect(&location).unwrap();
    let watcher = store.watch(Pattern::all()).unwrap();
    store.set("g", "k", "v").unwrap();
    assert_eq!(watcher.recv_timeout(WAIT_MAX).unwrap().unwrap().value.unwrap(), "v");
    let is_newer = |error: Error| match error {
        Error::NewerVersion { version, supported, .. } => assert!(version == 99 && supported < 99),
        other => panic!("{other:?}"),
    };
    // The version and the identity, as `docs/etcd-layout.md` describes them.
    let identity = store.stats().unwrap().identity;
    cluster.put(b"later/larder", format!("\x08\x63\x12\x20{identity}").as_bytes()).unwrap();
    is_newer(store.set("g", "k", "w").unwrap_err());
    is_newer(store.increment("g", "n", 1).unwrap_err());
    is_newer(store.transaction(|tx| tx.set("g", "k", "w")).unwrap_err());
    is_newer(store.delete_group("g").unwrap_err());
    is_newer(watcher.recv_timeout(WAIT_MAX).unwrap_err());
    is_newer(options().connect(&location).unwrap_err());
    is_newer(options().read_only(true).connect(&location).unwrap_err());
    assert_eq!(store.get("g", "k").unwrap().unwrap(), "v");
}
