//! The JSON of entries, events and figures: each shape literally, and back again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Debug;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use larder::{
    Condition, Consistency, CursorInfo, Durability, Entry, Event, EventKind, Feed, Finding, GroupInfo,
    Health, History, HistoryInfo, ManualClock, NamespaceInfo, Page, Pattern, Quota, Repaired, ResumeToken,
    Revision, Stats, Store, Usage, Value,
};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The page that describes the shapes.
const PAGE: &str = include_str!("../../../docs/json.md");

/// Checks that a value is written as this JSON and read back from it.
fn has_shape<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, json: &str) {
    assert_eq!(serde_json::to_string(&value).unwrap(), json);
    assert_eq!(serde_json::from_str::<T>(json).unwrap(), value, "{json}");
}

/// Checks the same, and that the page shows it.
fn has_documented_shape<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, json: &str) {
    has_shape(value, json);
    assert!(PAGE.contains(json), "docs/json.md does not show {json}");
}

fn refusal<T: DeserializeOwned + Debug>(json: &str) -> String {
    serde_json::from_str::<T>(json).unwrap_err().to_string()
}

/// Midnight of 2026-01-01, and so many milliseconds.
fn at_ms(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_767_225_600_000 + ms)
}

fn entry(value: impl Into<Value>) -> Entry {
    Entry { key: "colour".into(), value: value.into(), revision: Revision(1), expires_at: None }
}

#[test]
fn an_entry_has_its_documented_shape() {
    has_documented_shape(entry("blue"), r#"{"key":"colour","value":"blue","revision":1,"expires_at":null}"#);
    let expiring = Entry { expires_at: Some(at_ms(5)), ..entry("") };
    has_shape(
        expiring,
        r#"{"key":"colour","value":"","revision":1,"expires_at":"2026-01-01T00:00:00.005Z"}"#,
    );
    let page = Page { entries: vec![entry("blue")], next: Some("colour".into()) };
    has_documented_shape(
        page,
        r#"{"entries":[{"key":"colour","value":"blue","revision":1,"expires_at":null}],"next":"colour"}"#,
    );
    has_shape(Page { entries: vec![], next: None }, r#"{"entries":[],"next":null}"#);
}

#[test]
fn bytes_that_are_not_utf8_are_base64_under_a_name_of_its_own() {
    has_documented_shape(Value::from("blue"), r#"{"value":"blue"}"#);
    has_documented_shape(Value::from(b"\xff\x00"), r#"{"value_base64":"/wA="}"#);
    let bytes = entry(b"\xff\x00");
    has_shape(bytes, r#"{"key":"colour","value_base64":"/wA=","revision":1,"expires_at":null}"#);
    let text: Value = serde_json::from_str(r#"{"value_base64":"Ymx1ZQ=="}"#).unwrap();
    assert_eq!(text, "blue", "a reader accepts base64 of text");
}

#[test]
fn an_event_has_its_documented_shape() {
    let set = Event {
        revision: Revision(2),
        kind: EventKind::Set,
        group: "session".into(),
        key: Some("token".into()),
        value: Some("abc".into()),
        expires_at: Some(at_ms(3_600_000)),
        at: at_ms(0),
    };
    let with = |kind: &str, rest: &str| {
        format!(
            r#"{{"revision":2,"kind":"{kind}","group":"session",{rest},"at":"2026-01-01T00:00:00.000Z"}}"#
        )
    };
    let expires = r#""expires_at":"2026-01-01T01:00:00.000Z""#;
    has_documented_shape(set.clone(), &with("set", &format!(r#""key":"token","value":"abc",{expires}"#)));
    let bytes = Event { value: Some(b"\xff\x00".into()), ..set.clone() };
    has_shape(bytes, &with("set", &format!(r#""key":"token","value_base64":"/wA=",{expires}"#)));
    let expired = Event { kind: EventKind::Expire, value: None, ..set.clone() };
    has_shape(expired, &with("expire", &format!(r#""key":"token","value":null,{expires}"#)));
    let deleted = Event { kind: EventKind::Delete, value: None, expires_at: None, ..set.clone() };
    has_shape(deleted, &with("delete", r#""key":"token","value":null,"expires_at":null"#));
    let group = Event { kind: EventKind::DeleteGroup, key: None, value: None, expires_at: None, ..set };
    has_shape(group, &with("delete_group", r#""key":null,"value":null,"expires_at":null"#));
}

#[test]
fn groups_namespaces_quotas_and_revisions_have_their_documented_shapes() {
    let group = GroupInfo { name: "config".into(), keys: 1, bytes: 10 };
    has_documented_shape(group, r#"{"name":"config","keys":1,"bytes":10}"#);
    let usage = Usage { keys: 1, groups: 1, bytes: 11 };
    has_documented_shape(usage, r#"{"keys":1,"groups":1,"bytes":11}"#);
    let quota = Quota { max_keys: Some(1000), ..Quota::default() };
    has_documented_shape(quota, r#"{"max_keys":1000,"max_groups":null,"max_bytes":null}"#);
    has_documented_shape(
        NamespaceInfo { name: "tenant-42".into(), usage, quota },
        r#"{"name":"tenant-42","usage":{"keys":1,"groups":1,"bytes":11},"quota":{"max_keys":1000,"max_groups":null,"max_bytes":null}}"#,
    );
    has_documented_shape(Revision(42), "42");
    has_shape(Revision(u64::MAX), "18446744073709551615");
}

#[test]
fn figures_have_their_documented_shapes() {
    let stats = r#"{"identity":"0123456789abcdef0123456789abcdef","revision":3,"keys":3,"groups":3,"namespaces":1,"bytes":29,"file_bytes":40960,"free_bytes":0,"wal_bytes":0,"oldest_reader":{"process":4711,"age_ms":12500,"log_bytes":82400},"unsafe_sqlite":null,"history_from":0,"history_changes":3,"history_bytes":461,"cursors":[]}"#;
    has_documented_shape(serde_json::from_str::<Stats>(stats).unwrap(), stats);
    let health = r#"{"member":"http://db1:2379","feed":{"connected_since":"2026-01-01T00:00:00.000Z","member":"http://db1:2379","revision":42,"lag_ms":12,"interruptions":0,"refusal":null},"retries":0,"contended":0,"unknown":0,"restores":0,"left_out":0}"#;
    has_documented_shape(serde_json::from_str::<Health>(health).unwrap(), health);
    let feed = r#"{"connected_since":null,"member":null,"revision":0,"lag_ms":null,"interruptions":0,"refusal":null}"#;
    has_shape(serde_json::from_str::<Feed>(feed).unwrap(), feed);
    let finding = r#"{"kind":"group_tally","count":1,"examples":["\"config\" has 1 key of 10 bytes, and its tally says 2 of 10"]}"#;
    has_documented_shape(serde_json::from_str::<Finding>(finding).unwrap(), finding);
    has_documented_shape(Repaired::default(), r#"{"repaired":[],"left":[]}"#);
    let cursor = r#"{"name":"mailer","revision":1,"pattern":"orders/*","behind":2,"compacted":false,"moved_at":"2026-01-01T00:00:00.000Z"}"#;
    has_documented_shape(serde_json::from_str::<CursorInfo>(cursor).unwrap(), cursor);
    let bounds = History { changes: 1000, age: Some(Duration::from_secs(3600)), ..History::default() };
    has_documented_shape(bounds, r#"{"changes":1000,"bytes":67108864,"age_ms":3600000}"#);
    let history = r#"{"prefix":"session:","bounds":{"changes":1000,"bytes":67108864,"age_ms":null},"changes":7,"bytes":500,"from":42}"#;
    has_documented_shape(serde_json::from_str::<HistoryInfo>(history).unwrap(), history);
}

#[test]
fn what_a_store_answers_comes_back_from_its_json() {
    let store = Store::options().clock(ManualClock::new()).in_memory().unwrap();
    let cursor = store.cursor("mailer").unwrap();
    store.batch().set("g", "a", "text").set("g", "b", b"\xff\x00").commit().unwrap();
    store.set_with_ttl("g", "c", "short", Duration::from_millis(1)).unwrap();
    store.set_quota("t", Quota { max_bytes: Some(9), ..Quota::default() }).unwrap();
    // In the middle of a commit.
    cursor.ack(&cursor.recv().unwrap()).unwrap();

    fn returns<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
        let json = serde_json::to_string(&value).unwrap();
        assert_eq!(serde_json::from_str::<T>(&json).unwrap(), value, "{json}");
    }
    returns(store.page("g", None, 9).unwrap());
    returns(store.groups("").unwrap());
    returns(store.namespaces().unwrap());
    returns(store.cursors().unwrap());
    returns(store.histories().unwrap());
    returns(store.stats().unwrap());
    returns(store.health().unwrap());
    returns(store.token().unwrap());
    returns(store.history("g", "b").unwrap());
}

#[test]
fn texts_are_json_strings() {
    has_documented_shape(Condition::Revision(Revision(42)), r#""revision:42""#);
    has_documented_shape(Consistency::Cached, r#""cached""#);
    has_documented_shape(Durability::Relaxed, r#""relaxed""#);
    has_documented_shape(EventKind::DeleteGroup, r#""delete_group""#);
    has_documented_shape(Pattern::key_prefix("config", "mail."), r#""config/mail.*""#);
    let token: ResumeToken = "0123456789abcdef0123456789abcdef@42".parse().unwrap();
    has_documented_shape(token, r#""0123456789abcdef0123456789abcdef@42""#);
}

#[test]
fn a_reader_accepts_missing_nulls_and_ignores_unknown_fields() {
    let read: Entry =
        serde_json::from_str(r#"{"group":"config","key":"colour","value":"blue","revision":1}"#).unwrap();
    assert_eq!(read, entry("blue"));
    assert_eq!(serde_json::from_str::<Quota>("{}").unwrap(), Quota::default());
}

#[test]
fn a_reader_says_what_is_wrong() {
    for (json, reason) in [
        (r#"{"key":"k","revision":1}"#, "missing field `value`"),
        (r#"{"key":"k","value":null,"revision":1}"#, "missing field `value`"),
        (r#"{"key":"k","value":"a","value_base64":"YQ==","revision":1}"#, "exclude each other"),
        (r#"{"key":"k","value_base64":"a b","revision":1}"#, "value_base64 is not base64"),
        (r#"{"key":"k","value":"a","revision":-1}"#, "invalid value: integer `-1`"),
        (
            r#"{"key":"k","value":"a","revision":1,"expires_at":"tomorrow"}"#,
            "expected a time in UTC, as in 2030-01-31T12:00:00.000Z",
        ),
    ] {
        let refused = refusal::<Entry>(json);
        assert!(refused.contains(reason), "{json}: {refused}");
    }
    let refused = refusal::<EventKind>(r#""removed""#);
    assert!(refused.contains("expected set, delete, delete_group or expire"), "{refused}");
}

#[test]
fn a_time_beyond_rfc_3339_is_written_as_the_nearest_one_within() {
    let with = |expires_at| Entry { expires_at: Some(expires_at), ..entry("") };
    for (time, written) in [
        (UNIX_EPOCH - Duration::from_secs(1), "1970-01-01T00:00:00.000Z"),
        (UNIX_EPOCH + Duration::from_secs(1 << 40), "9999-12-31T23:59:59.999Z"),
    ] {
        assert!(serde_json::to_string(&with(time)).unwrap().contains(written));
    }
}

proptest! {
    #[test]
    fn every_entry_comes_back_from_its_json(
        key: String,
        value: Vec<u8>,
        revision: u64,
        expires_at in proptest::option::of(0u64..253_402_300_800_000),
    ) {
        let expires_at = expires_at.map(|ms| UNIX_EPOCH + Duration::from_millis(ms));
        let entry = Entry { key, value: value.into(), revision: Revision(revision), expires_at };
        let json = serde_json::to_string(&entry).unwrap();
        prop_assert_eq!(serde_json::from_str::<Entry>(&json).unwrap(), entry);
    }

    #[test]
    fn every_event_comes_back_from_its_json(
        group: String,
        key: Option<String>,
        value: Option<Vec<u8>>,
        at in 0u64..253_402_300_800_000,
    ) {
        let at = UNIX_EPOCH + Duration::from_millis(at);
        let value = value.map(Value::from);
        let event =
            Event { revision: Revision(1), kind: EventKind::Set, group, key, value, expires_at: Some(at), at };
        let json = serde_json::to_string(&event).unwrap();
        prop_assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
    }
}
