//! Neighbours: other programs that use SQLite on a store's file while larder has it open. Whatever they do to the file
//! as such, answers stay right, or the error names the process that holds the store up.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod outside;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Rig, WAIT_MAX, events_now, next_event, verify};
use larder::{Error, FindingKind, Pattern, Repair, Store};
use outside::{Process, child_task, names, print_line, read_line, sqlite};

/// Another program that runs SQL on a file, line by line.
enum Program {
    /// The shell of the system, with an SQLite of its own version.
    Shell,
    /// This test in a process of its own, with larder's SQLite.
    Child,
}

impl Program {
    fn all() -> Vec<Self> {
        let shell = Command::new("sqlite3").arg("--version").stdout(Stdio::null()).status();
        let has_shell = shell.is_ok_and(|status| status.success());
        has_shell.then_some(Self::Shell).into_iter().chain([Self::Child]).collect()
    }

    /// Runs SQL in a process that ends afterwards. Returns what SQLite said against it.
    fn run(&self, path: &Path, sql: &str) -> Result<(), String> {
        match self {
            Self::Shell => {
                let output = Command::new("sqlite3")
                    .args(["-bail", "-cmd", ".timeout 10000"])
                    .arg(path)
                    .arg(sql)
                    .output();
                let output = output.unwrap();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                if output.status.success() { Ok(()) } else { Err(said) }
            }
            Self::Child => {
                let mut child = Process::start("another_program_does_as_it_likes", path, "child");
                child.send_line(sql);
                let said = child.next_line().unwrap();
                child.finish();
                if said == "done" { Ok(()) } else { Err(said) }
            }
        }
    }
}

/// What a child does: runs one line of SQL, and holds the transaction that the line leaves open until the next line.
fn be_another_program(path: &Path) {
    let connection = sqlite(path);
    connection.busy_timeout(WAIT_MAX).unwrap();
    let done = connection.execute_batch(&read_line());
    print_line(done.map_or_else(|error| error.to_string(), |()| "done".into()));
    if !connection.is_autocommit() {
        read_line();
        connection.execute_batch("COMMIT").unwrap();
    }
}

/// Each step leaves the entries alone, and changes the file or its schema.
const STEPS: [&str; 14] = [
    "VACUUM",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA wal_checkpoint(RESTART)",
    "CREATE INDEX theirs ON entries (revision)",
    "CREATE UNIQUE INDEX theirs_too ON changes (revision, position)",
    "ANALYZE",
    "REINDEX",
    "DROP INDEX theirs_too; DROP INDEX theirs",
    "CREATE TRIGGER theirs AFTER INSERT ON entries BEGIN DELETE FROM groups; DELETE FROM changes; END",
    "DROP TRIGGER theirs",
    "DROP INDEX entries_by_expiry",
    "DROP INDEX IF EXISTS entries_by_expiry; CREATE INDEX entries_by_expiry ON entries (revision)",
    "CREATE TABLE theirs (name TEXT REFERENCES groups (group_name)); INSERT INTO theirs SELECT group_name FROM groups",
    "DROP TABLE theirs; PRAGMA optimize",
];

#[test]
fn another_program_does_as_it_likes() {
    if let Some((path, _)) = child_task() {
        return be_another_program(&path);
    }
    for program in Program::all() {
        let rig = Rig::new(common::Engine::File);
        let store = rig.store();
        let beside = rig.open_with(|options| options.cache_bytes(0));
        store.set("config", "colour", "blue").unwrap();
        store.set_with_ttl("session", "token", "abc", Duration::from_secs(3600)).unwrap();
        store.set_with_ttl("session", "gone", "abc", Duration::from_secs(1)).unwrap();
        rig.advance_ms(1000);
        let watcher = store.watch(Pattern::group("config")).unwrap();
        let cursor = store.cursor("mailer").unwrap();
        for (number, step) in STEPS.iter().enumerate() {
            // The cache knows the entry.
            assert_eq!(store.get("config", "colour").unwrap().unwrap(), "blue");
            program.run(&rig.path(), step).unwrap_or_else(|said| panic!("{step}: {said}"));
            for handle in [&store, &beside] {
                assert_eq!(handle.get("config", "colour").unwrap().unwrap(), "blue", "{step}");
                assert_eq!(handle.count("session").unwrap(), 1, "{step}");
                assert_eq!(handle.stats().unwrap().keys, if number == 0 { 2 } else { 3 }, "{step}");
                assert_eq!(handle.groups("").unwrap().len(), if number == 0 { 2 } else { 3 }, "{step}");
            }
            let text = number.to_string();
            let writer = if number % 2 == 0 { &store } else { &beside };
            let revision = writer.set("written", "number", text.as_str()).unwrap();
            for handle in [&store, &beside] {
                assert_eq!(handle.get("written", "number").unwrap().unwrap(), text.as_str(), "{step}");
            }
            assert_eq!(store.revision().unwrap(), revision);
            writer.set("config", "colour", "blue").unwrap();
            assert_eq!(next_event(&watcher).revision, revision.next(), "{step}");
            let damage: Vec<_> = store
                .check()
                .unwrap()
                .into_iter()
                .filter(|found| found.kind != FindingKind::ForeignConstraint && found.is_damage())
                .collect();
            assert_eq!(damage, [], "{step}");
        }
        assert_eq!(events_now(&watcher), []);
        let received = std::iter::from_fn(|| cursor.try_recv().unwrap()).count();
        assert_eq!(received, 2 * STEPS.len(), "the cursor misses nothing");
        drop((watcher, cursor, beside));
        verify(&store);
    }
}

#[test]
fn another_program_cannot_end_the_journal_mode_of_an_open_store() {
    for program in Program::all() {
        let rig = Rig::new(common::Engine::File);
        let store = rig.store();
        store.set("config", "colour", "blue").unwrap();
        let said = program.run(&rig.path(), "PRAGMA busy_timeout = 0; PRAGMA journal_mode = DELETE");
        assert!(said.as_ref().is_err_and(|said| said.contains("locked")), "{said:?}");
        store.set("config", "colour", "green").unwrap();
        store.close().unwrap();

        // A closed store may be changed, and is opened as before.
        program.run(&rig.path(), "PRAGMA journal_mode = DELETE").unwrap();
        let store = rig.store();
        store.set("config", "size", "9").unwrap();
        let mode: String =
            sqlite(&rig.path()).pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        verify(&store);
    }
}

#[test]
fn a_write_held_up_by_another_programs_change_of_the_schema_names_its_process() {
    let rig = Rig::new(common::Engine::File);
    let store = rig.open_with(|options| options.timeout(Duration::from_millis(50)));
    store.set("config", "colour", "blue").unwrap();
    let mut child = Process::start("another_program_does_as_it_likes", &rig.path(), "child");
    child.send_line("BEGIN IMMEDIATE; CREATE INDEX theirs ON entries (entry_value)");
    assert_eq!(child.next_line().unwrap(), "done");
    let error = store.set("config", "colour", "green").unwrap_err();
    let Error::Busy { holder, .. } = error else { panic!("{error:?}") };
    if cfg!(target_os = "linux") {
        assert_eq!(holder, Some(child.child.id()));
    }
    assert_eq!(store.get("config", "colour").unwrap().unwrap(), "blue");
    child.send_line("go on");
    child.finish();
    store.set("config", "colour", "green").unwrap();
    assert_eq!(store.check().unwrap()[0].kind, FindingKind::ForeignIndex);
}

/// A store whose index of expiries another program has dropped, or made another.
fn without_index(rig: &Rig, damage: &str) {
    let store = rig.store();
    store.set("config", "colour", "blue").unwrap();
    for (key, seconds) in [("gone", 1), ("soon", 2), ("late", 3600)] {
        store.set_with_ttl("session", key, "abc", Duration::from_secs(seconds)).unwrap();
    }
    store.scoped("tenant").unwrap().set_with_ttl("g", "gone", "abc", Duration::from_secs(1)).unwrap();
    store.close().unwrap();
    rig.advance_ms(1000);
    sqlite(&rig.path()).execute_batch(damage).unwrap();
}

const WITHOUT_INDEX: [&str; 3] = [
    "DROP INDEX entries_by_expiry",
    "DROP INDEX entries_by_expiry; CREATE INDEX entries_by_expiry ON entries (revision)",
    "DROP INDEX entries_by_expiry; CREATE INDEX entries_by_expiry ON entries (expires_at) WHERE expires_at < 1000",
];

#[test]
fn a_store_that_has_lost_its_expiry_index_answers_as_before() {
    for damage in WITHOUT_INDEX {
        for read_only in [true, false] {
            let rig = Rig::new(common::Engine::File);
            without_index(&rig, damage);
            let store = rig.open_with(|options| options.read_only(read_only));
            let found = store.check().unwrap();
            assert_eq!(found.len(), 1, "{damage}: {found:?}");
            assert_eq!(found[0].kind, FindingKind::ExpiryIndex);
            assert_eq!(found[0].advice(), "Run `larder check --repair`, which changes no entry.");
            let snapshot = store.snapshot().unwrap();
            for view in [&*store, &*snapshot] {
                assert_eq!(view.count("session").unwrap(), 2, "{damage}");
                assert_eq!(view.count_all("").unwrap(), 3);
                assert_eq!(view.count_all("tenant:").unwrap(), 0);
                let groups: Vec<String> =
                    view.groups("").unwrap().into_iter().map(|group| group.name).collect();
                assert_eq!(groups, ["config", "session"]);
                assert_eq!(view.get_all("session").unwrap().len(), 2);
                assert_eq!(view.get("session", "gone").unwrap(), None);
            }
            assert_eq!(store.stats().unwrap().keys, 3);
            assert_eq!(store.namespaces().unwrap(), []);
        }
    }
}

#[test]
fn the_next_write_rebuilds_a_lost_expiry_index() {
    for damage in WITHOUT_INDEX {
        for reopened in [true, false] {
            let rig = Rig::new(common::Engine::File);
            let store = if reopened {
                without_index(&rig, damage);
                rig.store()
            } else {
                without_index(&rig, "SELECT 1");
                let store = rig.store();
                store.set("config", "warm", "writer").unwrap();
                sqlite(&rig.path()).execute_batch(damage).unwrap();
                store
            };
            assert_eq!(store.purge_expired().unwrap(), 2, "{damage}");
            assert_eq!(store.check().unwrap(), [], "{damage}");
            rig.advance_ms(1000);
            assert_eq!(store.purge_expired().unwrap(), 1);
            verify(&store);
        }
    }
}

#[test]
fn an_index_that_refuses_a_write_is_named_and_can_be_dropped() {
    let rig = Rig::new(common::Engine::File);
    let store = rig.store();
    store.set("config", "colour", "blue").unwrap();
    sqlite(&rig.path()).execute_batch("CREATE UNIQUE INDEX theirs ON entries (entry_value)").unwrap();
    let error = store.set("config", "tint", "blue").unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("entry_value"), "{error}");
    assert!(error.advice().unwrap().contains("larder check"));
    store.set("config", "tint", "red").unwrap();
    assert!(store.check().unwrap()[0].to_string().contains("theirs"));
    store.repair(Repair::default().drop_foreign(true)).unwrap();
    store.set("config", "tint", "blue").unwrap();
    verify(&store);
}

#[test]
fn an_index_that_larder_cannot_compute_is_found_and_can_be_dropped() {
    let rig = Rig::new(common::Engine::File);
    let store = rig.store();
    store.set("config", "colour", "blue").unwrap();
    let theirs = sqlite(&rig.path());
    let flags = rusqlite::functions::FunctionFlags::SQLITE_UTF8
        | rusqlite::functions::FunctionFlags::SQLITE_DETERMINISTIC
        | rusqlite::functions::FunctionFlags::SQLITE_INNOCUOUS;
    theirs.create_scalar_function("their_own", 1, flags, |_| Ok(1)).unwrap();
    theirs.execute_batch("CREATE INDEX theirs ON entries (their_own(entry_value))").unwrap();
    assert!(store.set("config", "colour", "green").is_err());
    let found = store.check().unwrap();
    assert!(found.iter().any(|finding| finding.kind == FindingKind::ForeignConstraint), "{found:?}");
    let done = store.repair(Repair::default().drop_foreign(true)).unwrap();
    assert_eq!(done.left, []);
    store.set("config", "colour", "green").unwrap();
    verify(&store);
}

/// Full-text and spatial tables are made of ordinary tables and of code that SQLite runs for them. larder runs none of it.
#[test]
fn full_text_and_spatial_tables_of_another_program_are_left_alone_sound_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&path).unwrap();
    store.set("g", "k", "v").unwrap();
    let theirs = sqlite(&path);
    theirs.busy_timeout(WAIT_MAX).unwrap();
    theirs
        .execute_batch(
            "CREATE VIRTUAL TABLE words USING fts5(a); CREATE VIRTUAL TABLE older USING fts4(a);
             CREATE VIRTUAL TABLE places USING rtree(id, a, b);
             INSERT INTO words VALUES ('some words'); INSERT INTO older VALUES ('some words');
             INSERT INTO places VALUES (7, 1, 3)",
        )
        .unwrap();
    let use_store = || {
        store.set("g", "k", "w").unwrap();
        let findings = store.check().unwrap();
        let kinds: Vec<_> = findings.iter().map(|finding| (finding.kind, finding.is_damage())).collect();
        assert_eq!(kinds, [(FindingKind::ForeignTable, false)], "{findings:?}");
        assert_eq!(store.repair(Repair::default().drop_foreign(true)).unwrap().left.len(), 1);
        store.compact().unwrap();
        let backup = folder.path().join("backup.db");
        store.backup(&backup).replacing().verified().run().unwrap();
        backup
    };
    let backup = use_store();
    for file in [&path, &backup] {
        let there = sqlite(file);
        let found = |sql: &str| there.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
        assert_eq!(found("SELECT count(*) FROM words WHERE words MATCH 'some'"), 1);
        assert_eq!(found("SELECT count(*) FROM older WHERE older MATCH 'some'"), 1);
        assert_eq!(found("SELECT id FROM places WHERE a <= 2 AND b >= 2"), 7);
        let said: String = there.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(said, "ok");
    }
    theirs
        .execute_batch(
            "UPDATE words_data SET block = zeroblob(500) WHERE id > 10;
             UPDATE older_segdir SET root = zeroblob(500);
             UPDATE places_node SET data = zeroblob(10)",
        )
        .unwrap();
    use_store();
}

/// What `.dump` of the sqlite3 shell writes: each table's definition and rows.
fn dump(path: &Path) -> String {
    let connection = sqlite(path);
    let texts = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let mut sql = String::from("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n");
    for table in texts("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid") {
        sql += &texts(&format!("SELECT sql FROM sqlite_master WHERE name = '{table}'"))[0];
        sql += ";\n";
        let columns = texts(&format!("SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')"));
        let row = format!(
            "SELECT 'INSERT INTO {table} VALUES(' || {} || ');' FROM {table}",
            columns.join(" || ',' || ")
        );
        sql += &texts(&row).join("\n");
        sql.push('\n');
    }
    sql += &texts("SELECT sql || ';' FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").join("\n");
    sql + "\nCOMMIT;\n"
}

fn filled(rig: &Rig) -> Store {
    let store = rig.store();
    store.set("config", "colour", "blue").unwrap();
    store.set("binary", "bytes", vec![0xff, 0x00, 0xfe]).unwrap();
    store.set_with_ttl("session", "token", "it's", Duration::from_secs(3600)).unwrap();
    store.scoped("tenant").unwrap().set("g", "k", "v").unwrap();
    store.delete("config", "nothing").unwrap();
    store
}

#[test]
fn a_store_restored_from_a_dump_is_a_store_again() {
    for program in Program::all() {
        let rig = Rig::new(common::Engine::File);
        let store = filled(&rig);
        let sql = match program {
            Program::Shell => {
                let output = Command::new("sqlite3").arg(rig.path()).arg(".dump").output().unwrap();
                String::from_utf8(output.stdout).unwrap()
            }
            Program::Child => dump(&rig.path()),
        };
        let restored = rig.folder().join("restored.db");
        sqlite(&restored).execute_batch(&sql).unwrap();

        let open = || Store::options().clock(rig.clock.clone()).expiry_timer(false);
        let error = open().read_only(true).open(&restored).unwrap_err();
        assert!(matches!(error, Error::Migration { .. }), "{error:?}");
        assert!(error.to_string().contains("dump"), "{error}");
        assert_eq!(error.advice().unwrap(), "Open it to write once.");
        for _ in 0..2 {
            let again = open().open(&restored).unwrap();
            assert_eq!(again.get_all("config").unwrap(), store.get_all("config").unwrap());
            assert_eq!(again.entry("session", "token").unwrap(), store.entry("session", "token").unwrap());
            assert_eq!(again.get("binary", "bytes").unwrap().unwrap(), vec![0xff, 0x00, 0xfe]);
            assert_eq!(again.revision().unwrap(), store.revision().unwrap());
            verify(&again);
            again.close().unwrap();
        }
        open().read_only(true).open(&restored).unwrap();
    }
}

#[test]
fn a_file_whose_texts_are_utf_16_is_refused_and_is_a_store_after_a_dump() {
    let rig = Rig::new(common::Engine::File);
    let store = filled(&rig);
    // In UTF-16 these come in another order.
    for key in ["\u{e9}", "\u{100}", "\u{ffff}", "\u{10000}"] {
        store.set("config", key, "x").unwrap();
    }
    let expected = store.get_all("config").unwrap();
    let sql = dump(&rig.path());
    let marked = |sql: &str| {
        let number =
            |name| sqlite(&rig.path()).pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        let (application, version) = (number("application_id"), number("user_version"));
        format!("{sql}PRAGMA application_id = {application}; PRAGMA user_version = {version};")
    };
    let go_store =
        "CREATE TABLE kv (grp TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (grp, key));
                    INSERT INTO kv VALUES ('config', 'colour', 'blue');";
    let files = [
        ("empty", "CREATE TABLE gone (x); DROP TABLE gone;".into()),
        ("a dump", sql.clone()),
        ("a store", marked(&sql)),
        ("go-store's", go_store.into()),
    ];
    for encoding in ["UTF-16le", "UTF-16be"] {
        for (name, sql) in &files {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("app.db");
            sqlite(&path).execute_batch(&format!("PRAGMA encoding = '{encoding}'; {sql}")).unwrap();
            let before = std::fs::read(&path).unwrap();
            for options in [Store::options(), Store::options().read_only(true)] {
                let error = options.open(&path).unwrap_err();
                assert!(matches!(error, Error::Migration { .. }), "{name}: {error:?}");
                assert!(error.to_string().contains(encoding), "{name}: {error}");
                assert!(error.advice().unwrap().contains(".dump"), "{name}");
                assert!(std::fs::read(&path).unwrap() == before, "{name}");
                assert_eq!(names(folder.path()).len(), 1, "{name}");
            }

            let restored = folder.path().join("restored.db");
            sqlite(&restored).execute_batch(&dump(&path)).unwrap();
            let options = Store::options().clock(rig.clock.clone()).expiry_timer(false);
            let again = options.open(&restored).unwrap();
            match *name {
                "empty" => assert!(again.groups("").unwrap().is_empty()),
                "go-store's" => assert_eq!(again.get("config", "colour").unwrap().unwrap(), "blue"),
                _ => assert_eq!(again.get_all("config").unwrap(), expected, "{name}"),
            }
            verify(&again);
        }
    }
}

#[test]
fn a_dump_of_an_earlier_version_is_restored_and_upgraded() {
    for file in ["version-1.db", "version-1-without-cursors.db"] {
        let rig = Rig::new(common::Engine::File);
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/versions").join(file);
        // A copy, because reading a file in WAL mode creates files beside it.
        let copy = rig.folder().join("copy.db");
        std::fs::write(&copy, std::fs::read(fixture).unwrap()).unwrap();
        sqlite(&rig.path()).execute_batch(&dump(&copy)).unwrap();
        let store = rig.store();
        assert_eq!(store.revision().unwrap().0, 20, "{file}");
        assert_eq!(store.get("config", "colour").unwrap().unwrap(), "green");
        assert_eq!(store.scoped("tenant-42").unwrap().quota().unwrap().max_keys, Some(7));
    }
}

#[test]
fn a_database_that_only_resembles_a_store_is_refused_and_unchanged() {
    let rig = Rig::new(common::Engine::File);
    filled(&rig).close().unwrap();
    let sql = dump(&rig.path());
    for (number, spoiling) in [
        "DROP TABLE groups",
        "ALTER TABLE entries ADD COLUMN note TEXT",
        "DELETE FROM store WHERE name = 'identity'",
        "UPDATE store SET content = 'somebody' WHERE name = 'identity'",
        "DROP TABLE changes; CREATE TABLE changes (sequence INTEGER PRIMARY KEY)",
        "PRAGMA application_id = 1196444487",
        "PRAGMA user_version = 3",
    ]
    .iter()
    .enumerate()
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("{number}.db"));
        sqlite(&path).execute_batch(&format!("{sql}{spoiling}")).unwrap();
        let before = std::fs::read(&path).unwrap();
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, Error::ForeignDatabase { .. }), "{spoiling}: {error:?}");
        assert!(std::fs::read(&path).unwrap() == before, "{spoiling}");
        assert_eq!(names(folder.path()).len(), 1, "{spoiling}");
    }
}

/// Writes into the header of a file which version of SQLite has changed it last, as SQLite counts versions.
#[cfg(unix)]
fn pretend_changed_by(path: &Path, version: u32) {
    use std::io::{Seek, SeekFrom, Write};
    let mut file = std::fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(96)).unwrap();
    file.write_all(&version.to_be_bytes()).unwrap();
}

#[test]
#[cfg(unix)] // Nothing guards files elsewhere.
fn check_and_stats_name_an_unsafe_sqlite_that_has_changed_the_file() {
    let rig = Rig::new(common::Engine::File);
    rig.store().set("g", "k", "v").unwrap();
    let unsafe_sqlite = |store: &Store| {
        let findings = store.check().unwrap();
        let version = store.stats().unwrap().unsafe_sqlite;
        let Some(version) = version else { return assert_eq!(findings, []) };
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].kind, FindingKind::UnsafeSqlite);
        assert!(findings[0].to_string().contains(&version), "{}", findings[0]);
        assert!(!findings[0].is_damage() && !findings[0].is_repairable());
        assert!(findings[0].advice().contains("3.51.3"), "{}", findings[0].advice());
        assert_eq!(store.repair(Repair::default()).unwrap().left, findings);
    };
    let version = |store: &Store| store.stats().unwrap().unsafe_sqlite;
    for (number, expected) in [(3_046_001, Some("3.46.1")), (3_044_006, None), (3_051_002, Some("3.51.2"))] {
        pretend_changed_by(&rig.path(), number);
        let store = rig.store();
        assert_eq!(version(&store).as_deref(), expected);
        unsafe_sqlite(&store);
        // It is remembered when the header says something else by now.
        pretend_changed_by(&rig.path(), 3_054_001);
        assert_eq!(version(&store).as_deref(), expected);
        // And noticed when it comes later.
        pretend_changed_by(&rig.path(), 3_040_001);
        assert_eq!(version(&store).as_deref(), Some("3.40.1"));
        store.close().unwrap();
        pretend_changed_by(&rig.path(), 3_054_001);
    }
    assert_eq!(version(&rig.store()), None);
    assert_eq!(version(&Store::in_memory().unwrap()), None);
}

#[test]
#[cfg(unix)]
fn the_shell_of_the_system_leaves_its_version_in_the_file() {
    let Ok(shell) = Command::new("sqlite3").arg("--version").output() else {
        return eprintln!("skipped: there is no sqlite3");
    };
    let shell = String::from_utf8(shell.stdout).unwrap();
    let shell = shell.split(' ').next().unwrap();
    let parts: Vec<u32> = shell.split('.').map(|part| part.parse().unwrap()).collect();
    if parts >= vec![3, 51, 3] || parts.starts_with(&[3, 44]) || parts.starts_with(&[3, 50]) {
        return eprintln!("skipped: SQLite {shell} may be safe");
    }
    let rig = Rig::new(common::Engine::File);
    rig.store().set("g", "k", "v").unwrap();
    Program::Shell.run(&rig.path(), "CREATE TABLE theirs (a)").unwrap();
    assert_eq!(rig.store().stats().unwrap().unsafe_sqlite.as_deref(), Some(shell));
}
