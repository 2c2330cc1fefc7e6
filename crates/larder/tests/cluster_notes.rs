//! Notes of a store in a cluster that an earlier larder kept as entries move to where no user's write reaches them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clusters;

use larder::{EventKind, Pattern, Quota, Store};
use larder_cluster::Cluster;

use clusters::skipped;

fn open(cluster: &Cluster) -> Store {
    let location = format!("etcd://{}/app", cluster.endpoints().join(","));
    Store::options().expiry_timer(false).connect(&location).unwrap()
}

/// Makes the store one of the first version of the layout.
fn make_old(cluster: &Cluster, identity: &str) {
    cluster.put(b"app/larder", &[&[0x08, 1, 0x12, 32], identity.as_bytes()].concat()).unwrap();
}

#[test]
fn notes_among_the_entries_of_an_earlier_larder_move_out_of_reach_once() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let store = open(&cluster);
    let identity = store.token().unwrap().store().to_owned();
    let position = store.token().unwrap().to_string();
    let note = format!("{} \"\" \"\"", "a".repeat(32));
    let quota = "max_keys=3 max_groups=0 max_bytes=0";
    // More than one transaction takes.
    for number in 0..130 {
        store.set("larder.copies", format!("{note} tenant-{number}"), quota).unwrap();
    }
    let before = store.set("larder.copies", note.as_str(), position.as_str()).unwrap();
    store.close().unwrap();
    make_old(&cluster, &identity);

    let store = open(&cluster);
    let [unfinished] = &store.unfinished_copies().unwrap()[..] else { panic!("one copy") };
    assert_eq!((unfinished.source.as_str(), unfinished.lifted.len()), (&*"a".repeat(32), 130));
    assert!(store.groups("").unwrap().is_empty());
    assert_eq!(store.check().unwrap(), []);
    assert_eq!(store.token().unwrap().store(), identity, "the same store");
    let watcher = store.watch_from(Pattern::all(), before).unwrap();
    assert_eq!(watcher.recv().unwrap().kind, EventKind::DeleteGroup);
    assert_eq!(store.abandon_copies().unwrap(), 1);
    assert_eq!(store.scoped("tenant-7").unwrap().quota().unwrap().max_keys, Some(3));

    // From now on such an entry is an entry.
    store.set("larder.copies", format!("{note} tenant-7"), "max_keys=1 max_groups=0 max_bytes=0").unwrap();
    store.close().unwrap();
    let store = open(&cluster);
    assert!(store.unfinished_copies().unwrap().is_empty());
    assert_eq!(store.count("larder.copies").unwrap(), 1);
}

#[test]
fn a_group_of_a_user_that_has_the_name_of_the_former_notes_stays() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let store = open(&cluster);
    let identity = store.token().unwrap().store().to_owned();
    store.set_quota("t", Quota { max_keys: Some(1), ..Quota::default() }).unwrap();
    store.set("larder.copies", "mine", "v").unwrap();
    store.close().unwrap();
    make_old(&cluster, &identity);
    let store = open(&cluster);
    assert_eq!(store.get("larder.copies", "mine").unwrap().unwrap(), "v");
    assert!(store.unfinished_copies().unwrap().is_empty());
    assert_eq!(store.check().unwrap(), []);
}
