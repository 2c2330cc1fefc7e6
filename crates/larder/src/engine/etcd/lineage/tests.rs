//! What a client learns of the identity of a store, in whatever order answers come.

use std::time::Duration;

use super::*;
use crate::engine::etcd::client::Address;

/// A client that has read the store with the identity `first` at revision 3.
struct Client {
    cluster: Cluster,
    lineage: Lineage,
}

fn state(revision: i64, identity: &str, former: &[&str]) -> KeyState {
    let former = former.iter().map(|former| (*former).to_owned()).collect();
    let meta = Meta { version: VERSION, identity: identity.into(), cluster_id: None, former };
    KeyState { revision, value: Some(meta.encode_to_vec().into()) }
}

impl Client {
    fn new() -> Self {
        let address = Address::parse("//127.0.0.1:1/app").unwrap();
        let cluster = Cluster::new(&address, Duration::ZERO).unwrap();
        let meta = Meta { version: VERSION, identity: "first".into(), ..Meta::default() };
        let lineage = Lineage::new(&Layout::new("app"), cluster.timeline.ask(), 3, meta, false);
        Self { cluster, lineage }
    }

    fn ask(&self) -> AskedForKey {
        self.lineage.ask(&self.cluster.timeline)
    }

    fn learn(&self, asked: AskedForKey, state: &KeyState) {
        self.lineage.learn(&self.cluster, asked, state).unwrap();
    }

    fn notice(&self) {
        assert!(self.cluster.timeline.note_restore(self.cluster.timeline.ask(), "in a test"));
    }

    /// The identity and its revision, the restores that were noticed, and whether a renewal is due.
    fn knows(&self) -> (String, i64, u64, bool) {
        let known = locked(&self.lineage.known);
        let restores = self.cluster.timeline.restores();
        (known.identity.to_string(), known.revision, restores, known.awaits_renewal(restores))
    }
}

fn known(identity: &str, revision: i64, restores: u64, awaits_renewal: bool) -> (String, i64, u64, bool) {
    (identity.into(), revision, restores, awaits_renewal)
}

#[test]
fn a_late_answer_is_not_taken_for_a_second_restore() {
    let client = Client::new();
    client.notice();
    client.learn(client.ask(), &state(3, "first", &[]));
    assert_eq!(client.knows(), known("first", 3, 1, true));
    let (late, last) = (client.ask(), client.ask());
    client.learn(client.ask(), &state(9, "second", &["first"]));
    assert_eq!(client.knows(), known("second", 9, 1, false));
    client.learn(late, &state(3, "first", &[]));
    client.learn(last, &state(9, "second", &["first"]));
    client.learn(AskedForKey::by_watch(client.ask().history), &state(3, "first", &[]));
    assert_eq!(client.knows(), known("second", 9, 1, false));
}

#[test]
fn an_answer_to_a_request_from_before_a_restore_teaches_nothing() {
    let client = Client::new();
    let early = client.ask();
    client.notice();
    for answer in [state(3, "first", &[]), state(9, "second", &["first"]), KeyState::ABSENT] {
        client.learn(early, &answer);
    }
    assert_eq!(client.knows(), known("first", 3, 1, true));
    // The restore has taken the key back to an earlier revision.
    client.learn(client.ask(), &state(2, "first", &[]));
    assert_eq!(client.knows(), known("first", 2, 1, true));
}

#[test]
fn another_identity_proves_one_restore_however_many_answers_show_it() {
    let client = Client::new();
    let (first, second) = (client.ask(), client.ask());
    client.learn(first, &state(9, "second", &["first"]));
    client.learn(second, &state(9, "second", &["first"]));
    client.learn(AskedForKey::by_watch(first.history), &state(9, "second", &["first"]));
    client.learn(client.ask(), &state(9, "second", &["first"]));
    // Whoever has written it has noticed the restore, so nobody else has to.
    assert_eq!(client.knows(), known("second", 9, 1, false));
    // The watch of a client that received more than the restored cluster has may bring it late.
    client.learn(AskedForKey::by_watch(client.ask().history), &state(7, "third", &["first"]));
    assert_eq!(client.knows(), known("third", 7, 2, false));
}

#[test]
fn a_key_that_goes_back_within_a_history_proves_a_restore() {
    let client = Client::new();
    client.learn(client.ask(), &state(9, "second", &["first"]));
    client.learn(client.ask(), &state(3, "first", &[]));
    assert_eq!(client.knows(), known("first", 3, 2, true));
    // Back to a revision with the same identity.
    let client = Client::new();
    client.learn(client.ask(), &state(5, "first", &[]));
    assert_eq!(client.knows(), known("first", 5, 0, false));
    client.learn(client.ask(), &state(3, "first", &[]));
    assert_eq!(client.knows(), known("first", 3, 1, true));
}

#[test]
fn an_identity_that_comes_back_is_renewed() {
    let client = Client::new();
    client.learn(client.ask(), &state(9, "second", &["first"]));
    client.notice();
    client.learn(client.ask(), &state(3, "first", &[]));
    assert_eq!(client.knows(), known("first", 3, 2, true));
    client.learn(client.ask(), &state(7, "third", &["first", "second"]));
    assert_eq!(client.knows(), known("third", 7, 2, false));
}

#[test]
fn a_client_that_could_not_renew_the_identity_is_told_once_another_has() {
    let client = Client::new();
    client.notice();
    client.learn(client.ask(), &state(3, "first", &[]));
    client.lineage.keep(1);
    assert_eq!(client.knows(), known("first", 3, 1, false));
    client.learn(client.ask(), &state(9, "second", &["first"]));
    assert_eq!(client.knows(), known("second", 9, 2, false));
}
