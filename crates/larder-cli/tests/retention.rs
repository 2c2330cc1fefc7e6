//! `larder retention`: how much of the change log is kept for which groups.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use common::Desk;
use larder::Pattern;
use serde_json::json;

#[test]
fn histories_are_set_listed_and_removed() {
    let desk = Desk::new();
    desk.ok(&["set", "orders", "1", "a book"]);
    desk.ok(&["retention", "set", "session:", "--changes", "10", "--age", "24h"]);
    for number in 0..30 {
        desk.ok(&["set", "session:7", "page", &number.to_string()]);
    }
    let listed = desk.json(&["retention", "list"]);
    assert_eq!(listed[0]["prefix"], "");
    assert_eq!(listed[1]["bounds"], json!({"changes": 10, "bytes": 64 << 20, "age_ms": 86_400_000}));
    assert_eq!(listed[1]["changes"], 10);
    assert_eq!(desk.ok(&["history", "orders", "1"]).lines().count(), 1);
    desk.ok(&["retention", "set", "session:", "--changes", "20", "--age", "0s"]);
    let plain = desk.ok(&["retention", "list"]);
    assert!(plain.lines().nth(1).unwrap().starts_with("session:\t20\t67108864\t0\t10\t"), "{plain}");
    desk.ok(&["retention", "set", "session:", "--none"]);
    assert_eq!(desk.ok(&["history", "session:7", "page"]), "");
    desk.ok(&["retention", "remove", "session:"]);
    desk.fails(1, "have no history of their own", &["retention", "remove", "session:"]);
    desk.fails(2, "cannot be used with", &["retention", "set", "g", "--none", "--changes", "1"]);
}

#[test]
fn moving_a_cursor_keeps_its_pattern() {
    let desk = Desk::new();
    let store = desk.store();
    store.set("orders", "1", "a book").unwrap();
    drop(store.cursor_on("mailer", ("orders", "*")).unwrap());
    desk.ok(&["cursor", "seek", "mailer", "0"]);
    assert_eq!(store.cursors().unwrap()[0].pattern, Pattern::group("orders"));
}
