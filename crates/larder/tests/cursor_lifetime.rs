//! The lifetime of a named cursor: where it begins and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::sync::mpsc;
use std::thread;

use common::{Rig, WAIT_MAX};
use larder::{Cursor, Error, Pattern, Store};

/// The keys of all events that a cursor delivers without waiting.
fn keys(cursor: &Cursor) -> Vec<String> {
    std::iter::from_fn(|| cursor.try_recv().unwrap()).map(|event| event.key.unwrap()).collect()
}

fn with_three_keys(rig: &Rig) -> Store {
    let store = rig.store();
    for key in ["1", "2", "3"] {
        store.set("g", key, "v").unwrap();
    }
    store
}

on_every_engine! {
    fn a_new_cursor_begins_at_the_given_position_and_an_existing_one_resumes(rig: &Rig) {
        let store = with_three_keys(rig);
        let cursor = store.cursor_from("c", Pattern::all(), rig.revision(1)).unwrap();
        assert_eq!(keys(&cursor), ["2", "3"]);
        let store = rig.reopen(store);
        let cursor = store.cursor_from("c", Pattern::all(), 0).unwrap();
        let second = cursor.recv().unwrap();
        assert_eq!(second.key.as_deref(), Some("2"));
        cursor.ack(&second).unwrap();
        assert_eq!(keys(&store.cursor_from("c", Pattern::all(), 0).unwrap()), ["3"]);
        let token = store.token().unwrap();
        store.set("g", "4", "v").unwrap();
        assert_eq!(keys(&store.cursor_from("token", Pattern::all(), token).unwrap()), ["4"]);
    }

    fn a_cursor_that_cannot_begin_at_the_given_position_is_not_created(rig: &Rig) {
        let store = with_three_keys(rig);
        let future = store.cursor_from("c", Pattern::all(), rig.revision(4)).map(drop);
        assert!(matches!(future, Err(Error::FutureRevision { .. })), "{future:?}");
        assert_eq!(store.cursors().unwrap(), []);
        drop(store.cursor("c").unwrap());
        assert!(store.cursor_from("c", Pattern::all(), rig.revision(4)).is_ok(), "it exists, so the position does not matter");
    }

    fn a_tenants_deleted_cursor_is_reported_by_the_tenants_name_for_it(rig: &Rig) {
        let store = with_three_keys(rig);
        let tenant = store.scoped("t-1").unwrap();
        let cursor = tenant.cursor("c").unwrap();
        tenant.set("g", "k", "v").unwrap();
        let event = cursor.recv().unwrap();
        assert!(tenant.delete_cursor("c").unwrap());
        let error = cursor.ack(&event).unwrap_err();
        assert!(matches!(&error, Error::NoCursor { name } if name == "c"), "{error:?}");
    }

    fn closing_a_cursor_wakes_its_readers_and_received_events_can_still_be_acknowledged(rig: &Rig) {
        let store = with_three_keys(rig);
        let cursor = store.cursor_from("c", Pattern::all(), 0).unwrap();
        let (sender, received) = mpsc::channel();
        let last = thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                while let Ok(event) = cursor.recv() {
                    sender.send(event).unwrap();
                }
            });
            let mut events: Vec<_> = (0..3).map(|_| received.recv_timeout(WAIT_MAX).unwrap()).collect();
            cursor.close();
            waiting.join().unwrap();
            events.remove(2)
        });
        cursor.ack(&last).unwrap();
        assert_eq!(store.cursors().unwrap()[0].behind, 0);
        assert!(matches!(cursor.recv(), Err(Error::Closed)));
        assert!(store.set("g", "4", "v").is_ok(), "only the cursor is closed");
    }
}
