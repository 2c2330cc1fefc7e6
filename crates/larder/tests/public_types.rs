//! What every public type can do: be printed, and go to another thread.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Debug;
use std::time::Duration;

use larder::{
    Condition, Consistency, Copied, Copying, Cursor, CursorInfo, Difference, Durability, Entries, Entry,
    EntryStream, Error, Event, EventKind, GroupInfo, IntoIter, Iter, KeyStream, ManualClock, Mirror,
    NamespaceInfo, Options, Page, ParseError, Pattern, Progress, Quota, Resource, ResumeToken, Revision,
    ScopedStore, Since, Snapshot, Stage, Stats, Store, Subscription, Transaction, Update, Usage, Value, View,
    WallClock, Watcher,
};

fn are_printed_and_shared<T: Debug + Send + Sync>() {}

fn are_printed_and_sent<T: Debug + Send>() {}

#[test]
fn every_public_type_can_be_printed_and_sent_and_all_that_hold_no_position_can_be_shared() {
    are_printed_and_shared::<(Store, ScopedStore, View, Snapshot, Transaction, larder::Batch, Options)>();
    are_printed_and_shared::<(Watcher, Cursor, Subscription, Update, Entries, Iter, IntoIter)>();
    are_printed_and_shared::<(Value, Entry, Page, GroupInfo, NamespaceInfo, Quota, Usage, Resource)>();
    are_printed_and_shared::<(Event, EventKind, Pattern, Revision, ResumeToken, Since, Condition)>();
    are_printed_and_shared::<(Stats, CursorInfo, Durability, Consistency, Error, ParseError)>();
    are_printed_and_shared::<(WallClock, ManualClock, Progress, Stage, Copied, Difference)>();
    are_printed_and_shared::<(larder::BackingUp, larder::BackedUp, larder::Restoring, larder::Restored)>();
    are_printed_and_sent::<(Mirror, EntryStream, KeyStream)>();
    fn copying_is_printed<T: Debug>() {}
    copying_is_printed::<Copying<'_, larder::Whole, larder::Whole>>();
}

#[test]
fn a_printed_handle_says_what_it_is_of_and_shows_no_values() {
    let store = Store::in_memory().unwrap();
    let tenant = store.scoped("tenant-42").unwrap();
    tenant.set("session", "token", "hunter2").unwrap();
    let batch = tenant.batch().set("session", "token", "hunter2").set_with_ttl("a", "b", "c", Duration::ZERO);
    let stream = tenant.entries("session").unwrap();
    let mirror = tenant.mirror(Pattern::all()).unwrap();
    let watcher = tenant.watch(Pattern::all()).unwrap();
    let cursor = tenant.cursor("mailer").unwrap();
    let snapshot = tenant.snapshot().unwrap();
    let transaction = tenant.transaction(|transaction| Ok(format!("{transaction:?}"))).unwrap();
    let printed = [
        (format!("{tenant:?}"), "tenant-42:"),
        (format!("{batch:?}"), "mutations: 1"),
        (format!("{stream:?}"), "tenant-42:session"),
        (format!("{mirror:?}"), "is_current: false"),
        (format!("{watcher:?}"), "tenant-42:"),
        (format!("{cursor:?}"), "mailer"),
        (format!("{snapshot:?}"), "tenant-42:"),
        (transaction, "tenant-42:"),
    ];
    for (printed, part) in printed {
        assert!(printed.contains(part), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}
