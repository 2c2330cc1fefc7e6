//! Errors: each message says what was attempted and what failed, and the advice what to do. Errors of disks are in
//! `faulty_disk.rs`, those of unusable files in `refused_files.rs`, what holds for every error in `error_kinds.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;
mod outside;

use std::error::Error as _;
use std::time::Duration;

use common::Rig;
use larder::{Condition, Error, Pattern, Quota, Resource, Store};

/// Checks that an error's message is one line, contains all of `words`, and is the same for a clone, and that this is
/// its advice.
#[track_caller]
fn says(error: &Error, words: &[&str], advice: &str) {
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
    assert!(!message.contains('\n'), "{message}");
    assert_eq!(error.clone().to_string(), message);
    assert_eq!(error.advice().unwrap_or_default(), advice);
}

on_every_engine! {
    fn a_closed_store_says_to_open_it_again(rig: &Rig) {
        let store = rig.store();
        store.close().unwrap();
        let error = store.get("g", "k").unwrap_err();
        assert!(matches!(error, Error::Closed));
        says(&error, &["the store is closed"], "Open it again.");
    }

    fn a_nested_call_says_to_use_the_transaction(rig: &Rig) {
        let store = rig.store();
        let error = store.transaction(|_| store.get("g", "k")).unwrap_err();
        assert!(matches!(error, Error::Nested));
        says(&error, &["inside its own transaction"], "Use the transaction that the closure is given.");
    }

    fn a_view_that_outlives_its_transaction_says_so(rig: &Rig) {
        let store = rig.store();
        let leaked = store.transaction(|tx| Ok((**tx).clone())).unwrap();
        let error = leaked.get("g", "k").unwrap_err();
        assert!(matches!(error, Error::TransactionOver));
        says(&error, &["the transaction is over"], "Use a transaction, and what it gives, inside its closure only.");
    }

    fn a_callback_loop_says_how_to_avoid_it(rig: &Rig) {
        let store = rig.store();
        let inside = store.clone();
        let (sender, errors) = std::sync::mpsc::channel();
        let _subscription = store.on_change(move |_| {
            if let Err(error) = inside.set("g", "k", "v") {
                sender.send(error).unwrap();
            }
        });
        store.set("g", "k", "v").unwrap();
        let error = errors.try_recv().unwrap();
        assert!(matches!(error, Error::CallbackLoop { depth: 16 }));
        says(&error, &["16 times in a row"], "Do not let a callback write to what it watches.");
    }

    fn a_conflict_names_the_entry_and_both_revisions(rig: &Rig) {
        let store = rig.store();
        let there = store.set("config", "colour", "blue").unwrap();
        assert_eq!(there, rig.revision(1));
        let stale = rig.revision(9);
        let (here, not_here) = (format!("but is there, at revision {there}"), "but is not there");
        let at_stale = format!("should be at revision {stale}");
        for (key, condition, actual, words) in [
            ("colour", Condition::Absent, Some(there), format!("should not exist, {here}")),
            ("size", Condition::Present, None, format!("should exist, {not_here}")),
            ("colour", Condition::Revision(stale), Some(there), format!("{at_stale}, {here}")),
            ("size", Condition::Revision(stale), None, format!("{at_stale}, {not_here}")),
        ] {
            for error in [
                store.set_if("config", key, condition, "x").unwrap_err(),
                store.delete_if("config", key, condition).unwrap_err(),
                store.batch().require("config", key, condition).set("a", "b", "c").commit().unwrap_err(),
                store.transaction(|tx| tx.require("config", key, condition)).unwrap_err(),
            ] {
                says(&error, &[&format!(r#""config" "{key}""#), &words], "Read the entry again and retry.");
                let Error::Conflict { group, key: named, expected, actual: found } = error else { panic!() };
                assert_eq!((group.as_str(), named.as_str(), expected, found), ("config", key, condition, actual));
            }
        }
    }

    fn a_quota_error_names_the_namespace_and_the_limit(rig: &Rig) {
        let store = rig.store();
        let tenant = store.scoped("tenant-42").unwrap();
        tenant.set("g", "k", "v").unwrap();
        let unlimited = Quota::default();
        for (quota, resource, wanted, word) in [
            (Quota { max_keys: Some(1), ..unlimited }, Resource::Keys, 2, "1 keys"),
            (Quota { max_groups: Some(1), ..unlimited }, Resource::Groups, 2, "1 groups"),
            (Quota { max_bytes: Some(3), ..unlimited }, Resource::Bytes, 4, "3 bytes"),
        ] {
            store.set_quota("tenant-42", quota).unwrap();
            let error = tenant.set("h", "k", "v").unwrap_err();
            says(&error, &["\"tenant-42\"", word], "Delete some, or raise the quota.");
            assert!(matches!(error, Error::QuotaExceeded { resource: r, wanted: w, .. } if r == resource && w == wanted));
        }
    }

    fn an_invalid_namespace_says_which_characters_are_allowed(rig: &Rig) {
        let store = rig.store();
        for name in ["", "a:b", "a b", "tenant_42", "é", "*", "a\0", "../a", "a\n"] {
            let error = store.scoped(name).map(drop).unwrap_err();
            assert!(matches!(&error, Error::InvalidNamespace { namespace } if namespace == name));
            says(&error, &[&format!("{name:?}")], "Use one or more of the characters a-z, A-Z, 0-9 and -.");
        }
    }

    fn an_invalid_ttl_says_the_minimum(rig: &Rig) {
        let store = rig.store();
        store.set("g", "k", "v").unwrap();
        for error in [
            store.set_with_ttl("g", "k", "x", Duration::ZERO).map(drop).unwrap_err(),
            store.touch("g", "k", Duration::ZERO).map(drop).unwrap_err(),
            store.batch().set_with_ttl("g", "k", "x", Duration::ZERO).commit().map(drop).unwrap_err(),
            store.transaction(|tx| tx.set_with_ttl("g", "k", "x", Duration::ZERO)).unwrap_err(),
            store.transaction(|tx| tx.touch("g", "k", Duration::ZERO)).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, Error::InvalidTtl));
            says(&error, &["longer than zero"], "Delete the entry, or give it at least a millisecond.");
        }
        assert_eq!(store.get("g", "k").unwrap().unwrap(), "v");
    }

    fn a_size_error_names_size_and_limit(rig: &Rig) {
        let store = rig.open_with(|options| options.max_value_bytes(1000));
        let long = "x".repeat(65_537);
        store.set("g", "k", "x".repeat(1000)).unwrap();
        store.set("x".repeat(65_536), "x".repeat(65_536), "v").unwrap();
        for (error, named, bytes, most) in [
            (store.set(&long, "k", "v").unwrap_err(), "group", 65_537, 65_536),
            (store.set("g", long.as_str(), "v").unwrap_err(), "key", 65_537, 65_536),
            (store.set("g", "k", "x".repeat(1001)).unwrap_err(), "value", 1001, 1000),
            (store.batch().set("g", "k", "x".repeat(1001)).commit().unwrap_err(), "value", 1001, 1000),
            (store.delete(&long, "k").unwrap_err(), "group", 65_537, 65_536),
            (store.increment("g", long.as_str(), 1).unwrap_err(), "key", 65_537, 65_536),
            (store.touch("g", long.as_str(), Duration::MAX).unwrap_err(), "key", 65_537, 65_536),
            (store.delete_group(&long).unwrap_err(), "group", 65_537, 65_536),
            (store.transaction(|tx| tx.set("g", long.as_str(), "v")).unwrap_err(), "key", 65_537, 65_536),
        ] {
            assert!(
                matches!(error, Error::TooLarge { what, size, limit, .. } if (what, size, limit) == (named, bytes, most)),
                "{error:?}"
            );
            let advice = if named == "value" { "Shorten it, or raise `max_value_bytes`." } else { "Shorten it." };
            says(&error, &[&format!("the {named} has {bytes} bytes and may have {most}")], advice);
        }
        // Reading a name that is too long is not an error.
        assert_eq!(store.get(&long, &long).unwrap(), None);
        assert_eq!(store.count(&long).unwrap(), 0);
        assert_eq!(store.revision().unwrap(), rig.revision(2));
    }

    fn an_impossible_increment_names_the_entry_and_the_reason(rig: &Rig) {
        let store = rig.store();
        let no_numbers = ["", "x", "1.5", "1e3", " 1", "1 ", "0x1", "9223372036854775808", "-9223372036854775809", "١"];
        for text in no_numbers {
            store.set("stats", "n", text).unwrap();
            let error = store.increment("stats", "n", 1).unwrap_err();
            assert!(matches!(error, Error::NotANumber { .. }), "{text:?}: {error:?}");
            says(&error, &[r#""stats" "n""#, "no whole number"], "Set it to a whole number first.");
            assert_eq!(store.get("stats", "n").unwrap().unwrap(), text);
        }
        store.set("stats", "n", vec![0xff]).unwrap();
        assert!(matches!(store.increment("stats", "n", 1), Err(Error::NotANumber { .. })));
        for (from, by) in [(i64::MAX, 1), (i64::MIN, -1), (1, i64::MAX), (-2, i64::MIN)] {
            store.set("stats", "n", from.to_string()).unwrap();
            let error = store.increment("stats", "n", by).unwrap_err();
            assert!(matches!(error, Error::Overflow { from: f, by: b, .. } if f == from && b == by));
            let advice = "Add less, or set the entry to another number first.";
            says(&error, &[&format!("from {from} by {by}"), "64-bit"], advice);
        }
    }

    fn a_conversion_error_names_the_type_and_the_cause(rig: &Rig) {
        let store = rig.store();
        store.set("g", "text", "abc").unwrap();
        store.set("g", "bytes", vec![0xff]).unwrap();
        let error = store.get("g", "text").unwrap().unwrap().parse::<u16>().unwrap_err();
        assert!(matches!(error, Error::Unreadable { wanted: "u16", .. }));
        says(&error, &["cannot be read as u16", "invalid digit"], "");
        for error in [
            store.get_json::<Vec<u8>>("g", "text").unwrap_err(),
            store.split("g", "bytes", ",").unwrap_err(),
            store.fields("g", "bytes").unwrap_err(),
            store.get("g", "bytes").unwrap().unwrap().parse::<String>().unwrap_err(),
        ] {
            assert!(matches!(error, Error::Unreadable { .. }), "{error:?}");
        }
        let keys_that_are_no_text = std::collections::BTreeMap::from([((1, 2), 3)]);
        let error = store.set_json("g", "json", &keys_that_are_no_text).unwrap_err();
        assert!(matches!(error, Error::Unwritable { .. }), "{error:?}");
        says(&error, &["cannot be written as JSON"], "");
        assert_eq!(error.source().unwrap().to_string(), "key must be a string");
        assert_eq!(format!("{error:#}"), "the value cannot be written as JSON: key must be a string");
        assert!(!store.exists("g", "json").unwrap());
    }

    fn a_template_error_names_the_line(rig: &Rig) {
        let error = rig.store().render("one\n{{ two", "g").unwrap_err();
        assert!(matches!(error, Error::Template { line: Some(2), .. }));
        says(&error, &["the template fails at line 2: syntax error"], "");
    }

    fn revision_errors_name_the_available_revisions(rig: &Rig) {
        let rig = rig.with_own_history();
        let store = rig.open_with(|options| options.history(1, 1));
        store.set("g", "k", "1").unwrap();
        let second = store.set("g", "k", "2").unwrap();
        assert_eq!(second, rig.revision(2));
        rig.compact_up_to(1);
        let error = store.watch_from(Pattern::all(), 0).map(drop).unwrap_err();
        let Error::Compacted { oldest } = error else { panic!("{error:?}") };
        assert_eq!(rig.commits_up_to(oldest), 1);
        let reach = format!("reaches back to revision {oldest} only");
        says(&error, &[&reach], "Read the store as it is and watch from there, or keep more history.");
        let ahead = rig.after(second);
        let error = store.watch_from(Pattern::all(), ahead).map(drop).unwrap_err();
        assert!(matches!(error, Error::FutureRevision { asked, latest } if (asked, latest) == (ahead, second)));
        let (ahead, second) = (format!("revision {ahead} is in the future"), format!("at {second}"));
        says(&error, &[&ahead, &second], "Watch from a revision that this store gave out.");
    }

    fn other_reads_as_the_callers_own_error_and_gives_it_back(rig: &Rig) {
        let store = rig.store();
        let cause = "x".parse::<u8>().unwrap_err();
        let error = store.transaction(|_| Err::<(), _>(Error::other(cause.clone()))).unwrap_err();
        assert_eq!(error.to_string(), cause.to_string());
        assert!(error.source().is_none(), "the caller's error would be told twice");
        let Error::Other(kept) = error else { panic!("{error:?}") };
        assert_eq!(kept.downcast_ref(), Some(&cause));
    }
}

#[test]
fn a_write_to_a_read_only_store_says_how_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(Store::open(&path).unwrap());
    let error = Store::options().read_only(true).open(&path).unwrap().set("g", "k", "v").unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }));
    let advice = "Open it without `read_only`, as a user who has permission to write to its file.";
    says(&error, &[path.to_str().unwrap(), "may only be read"], advice);
}

#[test]
fn a_busy_error_names_the_holder_and_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::options().timeout(Duration::from_millis(10)).open(&path).unwrap();
    let holder = outside::sqlite(&path);
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.set("g", "k", "v").unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    let whose = if cfg!(target_os = "linux") { "another part of this process" } else { "another process" };
    let advice = if cfg!(target_os = "linux") {
        "Try again, raise `timeout`, or end what this process does with the file."
    } else {
        "Try again, raise `timeout`, or end the process that holds the lock."
    };
    says(&error, &[whose, path.to_str().unwrap(), "more than 10ms"], advice);
    holder.execute_batch("ROLLBACK").unwrap();
    store.set("g", "k", "v").unwrap();
}

#[test]
fn file_errors_name_the_path_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.db");
    let error = Store::options().create(false).open(&missing).unwrap_err();
    assert!(matches!(error, Error::NoStore { .. }));
    says(&error, &["there is no store at", "missing.db"], "Check the path, or write something to it first.");
    if cfg!(target_os = "linux") {
        let error = Store::open("/proc/store.db").unwrap_err();
        assert!(matches!(error, Error::Denied { .. }));
        let advice = "Check the permissions of its folder.";
        says(&error, &["does not let this process use /proc/store.db"], advice);
    }
    std::fs::write(&missing, "x").unwrap();
    let error = Store::in_memory().unwrap().backup_to(&missing).unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }));
    says(&error, &["missing.db exists and was left as it is"], "Choose another name, or remove it first.");
}
