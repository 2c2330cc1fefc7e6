//! What the queue of commits in memory keeps to.

use std::sync::mpsc::channel;
use std::thread;

use super::*;
use crate::data::Revision;
use crate::engine::memory::MemoryEngine;
use crate::engine::{Engine, Read, Unheard};

fn engine() -> MemoryEngine {
    MemoryEngine::open(&Settings::default(), Arc::new(Unheard), |_, _| Ok(())).engine
}

fn set(group: &str, key: &str) -> Mutation {
    Mutation::Set { group: group.into(), key: key.into(), value: "v".into(), expires_at_ms: None }
}

/// Runs `queue` while a transaction is open, and returns what it returns once the transaction has ended.
fn while_open<T: Send>(engine: &MemoryEngine, queue: impl FnOnce() -> T + Send) -> T {
    let (begun, has_begun) = channel();
    let (release, released) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let open = engine.transact(Party::Plain, &mut |_| {
                begun.send(()).unwrap();
                assert!(released.recv().is_err(), "it ends when the sender is dropped");
                Ok(())
            });
            open.unwrap();
        });
        has_begun.recv().unwrap();
        let queued = queue();
        drop(release);
        queued
    })
}

#[test]
fn what_was_queued_is_committed_by_turns_and_the_writes_of_one_party_keep_their_order() {
    let engine = engine();
    let commit = |group: &str, key: &str| engine.commit(set(group, key).into());
    let answers = while_open(&engine, || {
        let both = Commit::from(vec![set("a:g", "3"), set("b:g", "3")]);
        [
            commit("a:g", "1"),
            commit("a:g", "2"),
            commit("b:g", "1"),
            engine.commit(both),
            commit("b:g", "4"),
            commit("a:g", "4"),
        ]
    });
    let revisions = answers.map(|answer| answer.wait().unwrap().revision.0);
    assert_eq!(revisions, [1, 3, 2, 4, 5, 6]);
}

#[test]
fn an_answer_that_is_dropped_commits_nothing_and_holds_nobody_up() {
    let engine = engine();
    let kept = while_open(&engine, || {
        drop(engine.commit(set("g", "dropped").into()));
        engine.commit(set("g", "kept").into())
    });
    assert_eq!(kept.wait().unwrap().revision, Revision(1));
    assert!(engine.get("g", "dropped").unwrap().is_none());
    assert!(engine.get("g", "kept").unwrap().is_some());
}

#[test]
fn threads_that_write_at_once_take_the_lead_from_each_other_and_all_get_their_answers() {
    let engine = engine();
    let (threads, writes) = (4, 10 * LED_MAX as u64);
    let mut revisions: Vec<u64> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let engine = &engine;
                scope.spawn(move || {
                    let commit =
                        |key: u64| engine.commit(set(&format!("t{thread}:g"), &key.to_string()).into());
                    // Some wait at once, some are waited for later.
                    let answers: Vec<_> = (0..writes).map(commit).collect();
                    let own: Vec<u64> =
                        answers.into_iter().map(|answer| answer.wait().unwrap().revision.0).collect();
                    assert!(own.is_sorted());
                    own
                })
            })
            .collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=threads * writes).collect::<Vec<_>>());
}

#[test]
fn a_refused_commit_leaves_state_index_and_log_as_they_were() {
    let engine = engine();
    let quota = crate::data::Quota { max_keys: Some(1), ..Default::default() };
    engine.commit(Mutation::SetQuota { namespace: "t".into(), quota }.into()).wait().unwrap();
    engine.commit(set("t:g", "a").into()).wait().unwrap();
    for refused in [
        Commit::from(set("t:g", "b")),
        Commit::from(vec![set("g", "x"), set("t:g", "b")]),
        Commit::from(vec![
            set("g", "x"),
            Mutation::Increment { group: "t:g".into(), key: "a".into(), by: 1 },
        ]),
        Mutation::Increment { group: "t:g".into(), key: "a".into(), by: 1 }.into(),
    ] {
        engine.commit(refused).wait().unwrap_err();
        assert_eq!(engine.check().wait().unwrap(), []);
        assert_eq!(engine.revision().wait().unwrap(), Revision(1));
        assert!(engine.get("g", "x").unwrap().is_none() && engine.get("t:g", "b").unwrap().is_none());
    }
    assert_eq!(engine.stats().wait().unwrap().history_changes, 1);
}
