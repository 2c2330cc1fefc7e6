//! What `check` finds, and what `repair` does about it. Each test changes a file as another program would.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;
mod outside;

use std::fs;
use std::time::{Duration, SystemTime};

use common::{Rig, events_now, verify};
use larder::{Error, Finding, FindingKind, ManualClock, Pattern, Quota, Repair, Store};
use outside::{Process, child_task, names, print_line, sqlite};

/// A store with an example of everything, and a cursor.
fn furnished(rig: &Rig) -> Store {
    let store = common::furnished(rig);
    store.cursor("mailer").unwrap();
    store
}

/// Group, key, value, expiry and revision.
type Row = (Vec<u8>, Vec<u8>, Vec<u8>, Option<i64>, i64);

/// The entries as another program reads them.
fn entries(rig: &Rig) -> Vec<Row> {
    let connection = sqlite(&rig.path());
    let mut statement = connection
        .prepare(
            "SELECT CAST(group_name AS BLOB), CAST(entry_key AS BLOB), CAST(entry_value AS BLOB), expires_at,
                    revision FROM entries ORDER BY 1, 2",
        )
        .unwrap();
    let rows =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

fn kinds(findings: &[Finding]) -> Vec<FindingKind> {
    findings.iter().map(|finding| finding.kind).collect()
}

/// Damage as SQL, the kind that `check` must report, and what its words must name.
const FAULTS: &[(&str, FindingKind, &str)] = {
    use FindingKind as K;
    &[
        (
            "UPDATE groups SET keys = keys + 1 WHERE group_name = 'config'",
            K::GroupTally,
            r#"1 group whose tally differs from a recount: "config" has 1 key of 10 bytes, and its tally says 2 of 10"#,
        ),
        ("UPDATE groups SET bytes = bytes - 1", K::GroupTally, "4 groups"),
        ("DELETE FROM groups WHERE group_name = 'config'", K::GroupTally, r#""config" has 1 key of 10 bytes, and no tally"#),
        ("INSERT INTO groups VALUES ('ghost', 1, 1)", K::GroupTally, r#""ghost" has 0 keys of 0 bytes, and its tally says 1 of 1"#),
        ("UPDATE namespaces SET keys = 7", K::NamespaceTally, r#""tenant-42" has 1 key in 1 group of 11 bytes, and its tally says 7 in 1 of 11"#),
        ("UPDATE namespaces SET groups = 7", K::NamespaceTally, "1 in 7 of 11"),
        ("INSERT INTO namespaces VALUES ('ghost', 1, 1, 1, NULL, NULL, NULL)", K::NamespaceTally, "ghost"),
        ("DROP INDEX entries_by_expiry", K::ExpiryIndex, "is missing"),
        ("DROP INDEX entries_by_expiry; CREATE INDEX entries_by_expiry ON entries (revision)", K::ExpiryIndex, "another definition"),
        (
            "PRAGMA writable_schema = ON; CREATE TABLE empty (expires_at INTEGER, group_name TEXT, entry_key TEXT);
             CREATE INDEX empty_index ON empty (expires_at, group_name, entry_key);
             UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'empty_index')
             WHERE name = 'entries_by_expiry'; DELETE FROM sqlite_master WHERE name = 'empty_index'",
            K::File,
            "",
        ),
        ("DELETE FROM changes WHERE revision = 3", K::LogGap, "between revision 2 and revision 4"),
        ("UPDATE changes SET revision = 99 WHERE revision = 5", K::LogGap, "revision 99"),
        ("UPDATE changes SET logged_bytes = logged_bytes + 1 WHERE revision = 3", K::LogTotals, "revision 3 has 63 bytes and counts 64"),
        ("UPDATE entries SET revision = 99 WHERE group_name = 'config'", K::EntryAhead, r#""config" "colour" has revision 99"#),
        ("DELETE FROM changes WHERE revision = 5", K::EntryAhead, "tenant-42:preferences"),
        ("UPDATE cursors SET revision = 99", K::CursorAhead, r#""mailer" is at 99"#),
        ("UPDATE changes SET kind = 'unknown' WHERE revision = 2", K::UnknownChange, r#"revision 2, a change of the kind "unknown""#),
        ("UPDATE changes SET entry_value = NULL WHERE revision = 2", K::UnknownChange, "revision 2"),
        ("UPDATE changes SET entry_key = NULL WHERE revision = 2", K::UnknownChange, "revision 2"),
        ("UPDATE changes SET entry_value = 1.5 WHERE revision = 2", K::UnknownChange, "revision 2"),
        ("UPDATE entries SET entry_value = 'pink' WHERE group_name = 'config'", K::LogMismatch, "another value or expiry"),
        ("UPDATE entries SET expires_at = 5 WHERE group_name = 'config'", K::LogMismatch, "another value or expiry"),
        ("UPDATE entries SET revision = 2 WHERE group_name = 'config'", K::LogMismatch, "has revision 2, and its latest change has 1"),
        ("DELETE FROM entries WHERE group_name = 'config'", K::LogMismatch, "is missing, though it was set at revision 1"),
        ("INSERT INTO entries VALUES ('config', 'new', 'x', NULL, 2)", K::LogMismatch, "has revision 2, which did not change it"),
        ("UPDATE entries SET entry_value = 1.5 WHERE group_name = 'config'", K::Unreadable, r#""config" "colour" (its value is of type real)"#),
        ("UPDATE entries SET entry_key = CAST(x'ff' AS TEXT) WHERE group_name = 'config'", K::Unreadable, r#""config" "\xff" (its name is not UTF-8)"#),
        ("INSERT INTO namespaces VALUES ('a b', 0, 0, 0, 1, NULL, NULL)", K::InvalidName, r#"the namespace "a b""#),
        ("ALTER TABLE entries ADD COLUMN note TEXT", K::ChangedTable, r#""entries": it has the column note of type TEXT"#),
        ("ALTER TABLE groups RENAME COLUMN bytes TO octets", K::ChangedTable, "it lacks the column bytes"),
        ("DROP TABLE groups; CREATE TABLE groups (group_name TEXT, keys INTEGER, bytes INTEGER)", K::ChangedTable, "groups"),
        ("DROP TABLE groups", K::MissingTable, r#""groups""#),
        ("CREATE UNIQUE INDEX theirs ON entries (revision)", K::ForeignConstraint, r#"the index "theirs" on "entries""#),
        ("CREATE INDEX theirs ON entries (length(entry_value))", K::ForeignConstraint, "theirs"),
        ("CREATE INDEX theirs ON entries (entry_value)", K::ForeignIndex, "theirs"),
        ("CREATE TRIGGER theirs AFTER INSERT ON entries BEGIN DELETE FROM groups; END", K::ForeignTrigger, r#"the trigger "theirs" on "entries""#),
        ("CREATE TABLE theirs (a)", K::ForeignTable, r#"the table "theirs""#),
        ("CREATE VIEW theirs AS SELECT 1", K::ForeignTable, r#"the view "theirs""#),
    ]
};

#[test]
fn check_names_every_fault_and_says_how_far_off_it_is() {
    for (damage, kind, words) in FAULTS {
        let rig = Rig::new(common::Engine::File);
        let store = furnished(&rig);
        assert_eq!(store.check().unwrap(), []);
        sqlite(&rig.path()).execute_batch(damage).unwrap_or_else(|error| panic!("{damage}: {error}"));
        let findings = store.check().unwrap_or_else(|error| panic!("{damage}: {error}"));
        let finding = findings.iter().find(|finding| finding.kind == *kind);
        let finding = finding.unwrap_or_else(|| panic!("{damage}: {findings:?}"));
        assert!(finding.to_string().contains(words), "{damage}: {finding}");
        assert!(!finding.advice().is_empty());
    }
}

#[test]
fn check_finds_the_same_in_a_store_that_only_reads() {
    let rig = Rig::new(common::Engine::File);
    furnished(&rig).close().unwrap();
    sqlite(&rig.path()).execute_batch("DROP INDEX entries_by_expiry; UPDATE groups SET keys = 9").unwrap();
    let store = rig.open_with(|options| options.read_only(true));
    assert_eq!(kinds(&store.check().unwrap()), [FindingKind::ExpiryIndex, FindingKind::GroupTally]);
    assert!(matches!(store.repair(Repair::default()), Err(Error::ReadOnly { .. })));
}

#[test]
fn check_names_a_file_that_a_killed_backup_left() {
    let rig = Rig::new(common::Engine::File);
    let store = furnished(&rig);
    // No process has this number: it is beyond what Linux gives out.
    let left = rig.folder().join(".larder-4294967295-0.unfinished");
    let own = rig.folder().join(format!(".larder-{}-0.unfinished", std::process::id()));
    for path in [&left, &own] {
        let file = fs::File::create(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
    }
    fs::write(rig.folder().join(".larder-4294967295-1.unfinished"), "being written").unwrap();
    let findings = store.check().unwrap();
    if cfg!(target_os = "linux") {
        assert_eq!(kinds(&findings), [FindingKind::Leftover]);
        assert!(findings[0].to_string().ends_with("\".larder-4294967295-0.unfinished\""), "{}", findings[0]);
        assert!(!findings[0].is_damage());
    } else {
        assert_eq!(findings, []);
    }
}

#[test]
fn a_repair_corrects_what_is_derived_and_changes_no_entry() {
    for (damage, kind, _) in FAULTS {
        let rig = Rig::new(common::Engine::File);
        let store = furnished(&rig);
        sqlite(&rig.path()).execute_batch(damage).unwrap();
        let (before, revision) = (store.check().unwrap(), store.revision().ok());
        let entries_before = (*kind != FindingKind::File).then(|| entries(&rig));
        let done = store.repair(Repair::default()).unwrap();

        let is_derived = |kind| {
            matches!(kind, FindingKind::ExpiryIndex | FindingKind::GroupTally | FindingKind::NamespaceTally)
        };
        let file_is_sound = !before.iter().any(|finding| finding.kind == FindingKind::File);
        let (repaired, left): (Vec<_>, Vec<_>) =
            before.into_iter().partition(|finding| file_is_sound && is_derived(finding.kind));
        assert_eq!(done.repaired, repaired, "{damage}");
        assert_eq!(done.left, left, "{damage}");
        assert_eq!(store.check().unwrap(), left, "{damage}");
        assert_eq!(store.revision().ok(), revision, "{damage}");
        if let Some(before) = entries_before {
            assert_eq!(entries(&rig), before, "{damage}");
        }
        assert!(!names(rig.folder()).iter().any(|name| name.contains("unfinished")), "{damage}");
        if left.is_empty() {
            verify(&store);
        }
    }
}

#[test]
fn a_repair_rebuilds_an_index_that_disagrees_with_the_entries() {
    let rig = Rig::new(common::Engine::File);
    let store = furnished(&rig);
    store.close().unwrap();
    let redefine = |condition: &str| {
        let sql = format!("CREATE INDEX entries_by_expiry ON entries (expires_at) WHERE {condition}");
        let connection = sqlite(&rig.path());
        connection.execute_batch("PRAGMA writable_schema = ON").unwrap();
        let change = "UPDATE sqlite_master SET sql = ?1 WHERE name = 'entries_by_expiry'";
        connection.execute(change, [sql]).unwrap();
    };
    redefine("expires_at > 9e18");
    sqlite(&rig.path())
        .execute_batch("UPDATE entries SET expires_at = 5000000000000 WHERE entry_key = 'token'")
        .unwrap();
    redefine("expires_at IS NOT NULL");

    let store = rig.store();
    let found = store.check().unwrap();
    assert_eq!(kinds(&found), [FindingKind::ExpiryIndex, FindingKind::LogMismatch], "{found:?}");
    let before = entries(&rig);
    let done = store.repair(Repair::default()).unwrap();
    assert_eq!(
        (kinds(&done.repaired), kinds(&done.left)),
        (vec![FindingKind::ExpiryIndex], vec![FindingKind::LogMismatch])
    );
    assert_eq!(entries(&rig), before);
}

#[test]
fn a_repair_keeps_quotas() {
    let rig = Rig::new(common::Engine::File);
    let store = furnished(&rig);
    let quota = store.scoped("tenant-42").unwrap().quota().unwrap();
    let reserved = store.scoped("reserved").unwrap();
    store.set_quota("reserved", Quota { max_bytes: Some(3), ..Quota::default() }).unwrap();
    sqlite(&rig.path()).execute_batch("UPDATE namespaces SET keys = 7; UPDATE groups SET keys = 3").unwrap();
    store.repair(Repair::default()).unwrap();
    assert_eq!(store.scoped("tenant-42").unwrap().quota().unwrap(), quota);
    assert_eq!(reserved.quota().unwrap().max_bytes, Some(3));
    verify(&store);
}

#[test]
fn objects_of_other_programs_are_dropped_only_on_request_and_tables_never() {
    let rig = Rig::new(common::Engine::File);
    let store = furnished(&rig);
    sqlite(&rig.path())
        .execute_batch(
            "CREATE TABLE \"the\"\"irs\" (a UNIQUE); CREATE INDEX inner ON \"the\"\"irs\" (a);
             CREATE VIEW seen AS SELECT * FROM entries;
             CREATE TRIGGER own AFTER INSERT ON \"the\"\"irs\" BEGIN DELETE FROM \"the\"\"irs\"; END;
             CREATE INDEX \"a \"\"name\" ON entries (entry_value);
             CREATE UNIQUE INDEX strict ON groups (keys, bytes, group_name);
             CREATE TRIGGER meddling AFTER INSERT ON entries BEGIN DELETE FROM groups; END;",
        )
        .unwrap();
    let found = store.check().unwrap();
    assert_eq!(store.repair(Repair::default()).unwrap().left, found);
    let done = store.repair(Repair::default().drop_foreign(true)).unwrap();
    use FindingKind as K;
    assert_eq!(kinds(&done.repaired), [K::ForeignConstraint, K::ForeignIndex, K::ForeignTrigger]);
    assert_eq!(kinds(&done.left), [K::ForeignTable]);
    assert!(done.left.iter().all(|finding| !finding.is_damage()));
    assert_eq!(store.check().unwrap(), done.left);
    assert_eq!(done.left[0].count, 2);
    let inner: i64 = sqlite(&rig.path())
        .query_row("SELECT count(*) FROM sqlite_master WHERE name IN ('inner', 'own', 'seen')", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(inner, 3);
}

on_every_engine! {
    fn a_sound_store_has_nothing_to_repair(rig: &Rig) {
        let store = furnished(rig);
        let revision = store.revision().unwrap();
        let done = store.repair(Repair::default().drop_foreign(true)).unwrap();
        assert_eq!((done.repaired, done.left), (Vec::new(), Vec::new()));
        assert_eq!(store.revision().unwrap(), revision);
    }
}

#[test]
fn a_repair_beside_another_process_that_writes_loses_nothing() {
    if let Some((path, _)) = child_task() {
        let store = Store::options().clock(ManualClock::new()).open(&path).unwrap();
        for number in 0..400 {
            store.set("counted", format!("{number}"), "x").unwrap();
            if number == 20 {
                print_line("writing");
            }
        }
        return;
    }
    let rig = Rig::new(common::Engine::File);
    let store = furnished(&rig);
    let watcher = store.watch(Pattern::group("counted")).unwrap();
    let mut writer =
        Process::start("a_repair_beside_another_process_that_writes_loses_nothing", &rig.path(), "");
    assert_eq!(writer.next_line().unwrap(), "writing");
    for _ in 0..5 {
        sqlite(&rig.path())
            .execute_batch("PRAGMA busy_timeout = 10000; UPDATE groups SET keys = keys + 5 WHERE group_name = 'config'; DROP INDEX IF EXISTS entries_by_expiry")
            .unwrap();
        store.repair(Repair::default()).unwrap();
    }
    writer.finish();
    store.repair(Repair::default()).unwrap();
    assert_eq!(store.count("counted").unwrap(), 400);
    common::eventually("all events are there", || {
        static SEEN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let more = events_now(&watcher).len();
        SEEN.fetch_add(more, std::sync::atomic::Ordering::Relaxed) + more == 400
    });
    verify(&store);
}
