//! What holds for every error: its message, its advice, its kind, and its row in `docs/errors.md`.
#![allow(clippy::unwrap_used, reason = "what is not there is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use larder::{Condition, Error, ErrorKind, Resource, Revision};

/// An error of every variant, and of some the cases in which messages or advice differ.
fn every_error() -> Vec<Error> {
    let cause = || Arc::new(io::Error::other("what lies beneath"));
    let (location, path) = (|| "app.db".to_owned(), || "app.db".into());
    let (group, key) = (|| "config".to_owned(), || "colour".to_owned());
    let reason = || "there is a reason".to_owned();
    let waited = Duration::from_secs(5);
    let no_json = serde_json::from_str::<u8>("x").unwrap_err();
    let conflict = |expected, actual| Error::Conflict { group: group(), key: key(), expected, actual };
    let busy = |holder| Error::Busy { location: location(), waited, holder };
    let too_large = |option| Error::TooLarge { what: "value", size: 2, limit: 1, option };
    let uncopied = |source| Error::Uncopied { group: group(), key: key(), source: Box::new(source) };
    vec![
        Error::Closed,
        Error::NoRuntime,
        Error::Nested,
        Error::TransactionOver,
        Error::CallbackLoop { depth: 16 },
        Error::ReadOnly { location: location() },
        busy(None),
        busy(Some(std::process::id())),
        busy(Some(u32::MAX)),
        conflict(Condition::Absent, Some(Revision(1))),
        conflict(Condition::Present, None),
        conflict(Condition::Revision(Revision(1)), Some(Revision(2))),
        Error::QuotaExceeded { namespace: "tenant-42".into(), resource: Resource::Keys, limit: 1, wanted: 2 },
        Error::InvalidNamespace { namespace: "a\nb".into() },
        Error::InvalidTtl,
        too_large(None),
        too_large(Some("max_value_bytes")),
        Error::Panicked { what: "the clock of the store", reason: reason() },
        Error::NotANumber { group: group(), key: key() },
        Error::Overflow { group: group(), key: key(), from: i64::MAX, by: 1 },
        Error::Unreadable { wanted: "u16", reason: reason() },
        Error::Unwritable { source: Arc::new(no_json) },
        Error::Template { line: Some(2), reason: reason() },
        Error::Template { line: None, reason: reason() },
        Error::Compacted { oldest: Revision(3) },
        Error::FutureRevision { asked: Revision(4), latest: Revision(3) },
        Error::InvalidCursor { name: "a b".into() },
        Error::NoCursor { name: "mailer".into() },
        Error::NotReceived { revision: Revision(3) },
        Error::InvalidToken { token: "x".into() },
        Error::OtherStore { named: "a".into(), this: "b".into() },
        Error::InUse { location: location(), holder: None },
        Error::InUse { location: location(), holder: Some(1) },
        Error::RestoreRefused { path: path(), reason: reason(), advice: "Name a file.".into() },
        Error::RestoreFailed { path: path(), source: cause() },
        Error::Restored { cursor: "mailer".into() },
        Error::ForeignLog { path: path(), log: "app.db-wal".into() },
        Error::InvalidLocation { location: location(), reason: reason(), advice: "Name a file.".into() },
        Error::NoStore { path: path(), reason: reason(), advice: "Check the path.".into() },
        Error::Denied { path: path(), reason: reason(), advice: "Check its permissions.".into() },
        Error::SeveralNames { path: path(), names: 2 },
        Error::MountedFile { path: path() },
        Error::UnsafeFileSystem { path: path(), kind: "NFS".into() },
        Error::UnsafeSqlite { version: "3.46.1".into() },
        Error::NotADatabase { path: path() },
        Error::ForeignDatabase { path: path() },
        Error::NewerVersion { path: path(), version: 2, supported: 1 },
        Error::Migration { path: path(), reason: reason(), advice: "Delete one first.".into() },
        uncopied(too_large(None)),
        uncopied(busy(None)),
        Error::CopyTooOld { left: Revision(1), oldest: Revision(2) },
        Error::LeavesNamespace { group: "other:settings".into(), namespace: "other".into() },
        Error::FollowsItself,
        Error::AlreadyExists { path: path() },
        Error::BackupFailed { path: path(), source: cause() },
        Error::Damaged { location: location(), detail: reason() },
        Error::Full { location: location(), advice: "Free some space.".into(), source: cause() },
        Error::WritesStopped { location: location(), source: cause() },
        Error::Replaced { location: location(), reason: reason() },
        Error::LockLost { location: location() },
        Error::ForkedProcess,
        Error::Unreachable { location: location(), endpoints: "db1:2379".into(), waited, reason: reason() },
        Error::Unknown { location: location(), waited, reason: reason(), source: None },
        Error::Unknown {
            location: location(),
            waited: Duration::ZERO,
            reason: reason(),
            source: Some(cause()),
        },
        Error::Contended { location: location(), attempts: 9, waited },
        Error::TooMuchAtOnce { location: location(), what: "operations", wanted: 2, limit: 1 },
        Error::TooManyHistories { limit: 256 },
        Error::Unsupported {
            location: location(),
            what: "keep histories of their own for groups",
            advice: "Use a store in a file, or do without.",
        },
        Error::Unauthorized { location: location(), reason: reason(), advice: "Check the password.".into() },
        Error::Untrusted { location: location(), reason: reason(), advice: "Check the dates.".into() },
        Error::OtherCluster { location: location(), endpoint: "http://db3:2379".into() },
        Error::NotEtcd { endpoint: "db1:2379".into(), reason: reason() },
        Error::ForeignKeys { prefix: "app/".into(), key: "app/x".into() },
        Error::NestedStores { location: location(), other: "app".into() },
        Error::SnapshotLost { revision: Revision(3) },
        Error::ClusterRestored { latest: Revision(3) },
        Error::Storage { location: location(), source: cause() },
        Error::other("no"),
        "eventual".parse::<larder::Consistency>().unwrap_err().into(),
    ]
}

/// The name of an error's variant.
fn name_of(error: &Error) -> String {
    let shown = format!("{error:?}");
    shown.chars().take_while(|character| character.is_alphanumeric()).collect()
}

/// What `docs/errors.md` says of a kind.
struct Row {
    is_retryable: bool,
    errors: BTreeSet<String>,
}

fn documented() -> BTreeMap<String, Row> {
    let table = include_str!("../../../docs/errors.md").split("## Kinds").nth(1).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `")).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [kind, _, retryable, _, errors] = cells[..] else { panic!("{line}") };
        let is_retryable = match retryable {
            "yes" => true,
            "no" => false,
            _ => panic!("{line}"),
        };
        let name = |text: &str| text.trim().trim_matches('`').to_owned();
        (name(kind), Row { is_retryable, errors: errors.split(',').map(name).collect() })
    });
    rows.collect()
}

#[test]
fn every_message_is_one_line_without_a_period_and_without_its_source() {
    for error in every_error() {
        let message = error.to_string();
        assert!(!message.is_empty() && !message.contains('\n'), "{error:?}: {message}");
        assert!(!message.ends_with('.') && !message.contains(';'), "{error:?}: {message}");
        assert!(!message.starts_with(char::is_uppercase) || message.starts_with("AsyncStore"), "{message}");
        let mut chain = message.clone();
        let mut source = error.source();
        while let Some(cause) = source {
            assert!(!message.contains(&cause.to_string()), "{error:?}: {message}");
            chain += &format!(": {cause}");
            source = cause.source();
        }
        assert_eq!(format!("{error:#}"), chain);
    }
}

#[test]
fn every_advice_is_sentences_in_the_imperative() {
    for error in every_error() {
        let Some(advice) = error.advice() else { continue };
        assert!(advice.ends_with('.') && !advice.contains('\n'), "{error:?}: {advice}");
        assert!(advice.starts_with(|first: char| first.is_ascii_uppercase()), "{error:?}: {advice}");
        let first = advice.split(' ').next().unwrap();
        assert!(!["A", "It", "The", "There", "This", "You"].contains(&first), "{error:?}: {advice}");
        assert!(!error.to_string().contains(&*advice), "{error:?}");
    }
}

#[test]
fn only_calls_that_had_no_effect_and_may_succeed_later_are_retryable() {
    for error in every_error() {
        let kind = error.kind();
        let expected = matches!(kind, ErrorKind::Busy | ErrorKind::Unreachable);
        assert_eq!((error.is_retryable(), kind.is_retryable()), (expected, expected), "{error:?}");
    }
}

#[test]
fn what_cannot_be_copied_is_of_the_kind_of_what_stands_in_the_way() {
    for source in every_error() {
        let (kind, advice) = (source.kind(), source.advice().map(String::from));
        let error = Error::Uncopied { group: "g".into(), key: "k".into(), source: Box::new(source) };
        assert_eq!((error.kind(), error.advice().map(String::from)), (kind, advice));
    }
}

#[test]
fn the_page_on_errors_lists_every_error_under_its_kind() {
    let documented = documented();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for error in every_error().into_iter().filter(|error| !matches!(error, Error::Uncopied { .. })) {
        let kind = error.kind();
        assert_eq!(kind.to_string(), kind.as_str());
        let row = documented.get(kind.as_str()).unwrap_or_else(|| panic!("{kind} has no row"));
        assert_eq!(row.is_retryable, kind.is_retryable(), "{kind}");
        found.entry(kind.to_string()).or_default().insert(name_of(&error));
    }
    let documented: BTreeMap<_, _> = documented.into_iter().map(|(kind, row)| (kind, row.errors)).collect();
    assert_eq!(found, documented);
}

#[test]
fn no_error_is_left_out_of_these_tests() {
    let declared = include_str!("../src/data/error.rs").split("pub enum Error {").nth(1).unwrap();
    let declared =
        declared.lines().take_while(|line| *line != "}").filter_map(|line| line.strip_prefix("    "));
    let declared: BTreeSet<&str> = declared
        .filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()))
        .filter_map(|line| line.split([' ', '(', ',']).next())
        .collect();
    let tested: BTreeSet<String> = every_error().iter().map(name_of).collect();
    assert_eq!(tested.iter().map(String::as_str).collect::<BTreeSet<_>>(), declared);
}
