//! Commits of SQLite itself, gathered, on real files.

use rusqlite::{Connection, ErrorCode};
use tempfile::TempDir;

use super::super::gathered_frames::BYTES_MAX;
use super::*;
use crate::engine::sqlite::beside::beside;

/// The methods of a VFS, with a list of what was written.
#[repr(C)]
struct Watched {
    methods: ffi::sqlite3_io_methods,
    vfs: ffi::sqlite3_io_methods,
    writes: Vec<(i64, usize)>,
    /// After how many writes the disk is full.
    room: Option<usize>,
}

unsafe extern "C" fn watched_write(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    bytes: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: `Log::new` has put these methods there, and no Rust code uses them while SQLite runs.
    let watched = unsafe { &mut *(*file).pMethods.cast_mut().cast::<Watched>() };
    if watched.room == Some(0) {
        return ffi::SQLITE_FULL;
    }
    watched.room = watched.room.map(|room| room - 1);
    watched.writes.push((offset, usize::try_from(bytes).unwrap()));
    // SAFETY: as SQLite calls this.
    unsafe { watched.vfs.xWrite.unwrap()(file, data, bytes, offset) }
}

/// A database in WAL mode whose log is watched.
struct Log {
    folder: TempDir,
    connection: Connection,
    watched: *mut Watched,
    frames: GatheredFrames,
}

impl Log {
    fn new(page_bytes: u32, synchronous: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("a.db")).unwrap();
        let settings = format!(
            "PRAGMA page_size = {page_bytes}; PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};
             PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB)"
        );
        connection.execute_batch(&settings).unwrap();
        let log = RawFile::of_log(&connection).unwrap();
        let (vfs, file) = (*log.methods(), log.handle());
        let methods = ffi::sqlite3_io_methods { xWrite: Some(watched_write), ..vfs };
        let watched = Box::into_raw(Box::new(Watched { methods, vfs, writes: Vec::new(), room: None }));
        // SAFETY: the handle is open; what it leads to is freed after the connection is closed.
        unsafe { (*file.as_ptr()).pMethods = watched.cast() };
        Self { folder, connection, watched, frames: GatheredFrames::default() }
    }

    fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    /// Commits; returns what was written to the log.
    fn commit(&mut self) -> rusqlite::Result<Vec<(i64, usize)>> {
        self.writes();
        let (connection, frames) = (&self.connection, &mut self.frames);
        gathered(frames, connection, || connection.execute_batch("COMMIT"))?;
        Ok(self.writes())
    }

    fn commit_singly(&mut self) -> Vec<(i64, usize)> {
        self.writes();
        self.run("COMMIT");
        self.writes()
    }

    fn writes(&mut self) -> Vec<(i64, usize)> {
        // SAFETY: SQLite does not run.
        std::mem::take(unsafe { &mut (*self.watched).writes })
    }

    /// Lets the disk be full after so many writes.
    fn leave_room(&mut self, writes: Option<usize>) {
        // SAFETY: as above.
        unsafe { (*self.watched).room = writes };
    }

    /// What another process reads that recovers the log from its bytes, as after a kill.
    fn recovered(&self) -> Vec<(i64, Vec<u8>)> {
        let copy = tempfile::tempdir().unwrap();
        let (from, to) = (self.folder.path().join("a.db"), copy.path().join("a.db"));
        std::fs::copy(&from, &to).unwrap();
        std::fs::copy(beside(&from, "-wal"), beside(&to, "-wal")).unwrap();
        rows(&Connection::open(&to).unwrap())
    }

    /// Another connection sees the same as this one. So does a connection that recovers the log after a kill.
    fn is_whole(&self) -> Vec<(i64, Vec<u8>)> {
        let own = rows(&self.connection);
        let other = Connection::open(self.folder.path().join("a.db")).unwrap();
        assert!(own == rows(&other));
        assert!(own == self.recovered());
        own
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let open = Connection::open_in_memory().unwrap();
        std::mem::replace(&mut self.connection, open).close().unwrap();
        // SAFETY: it came from a box, and the connection that used it is closed.
        drop(unsafe { Box::from_raw(self.watched) });
    }
}

fn rows(connection: &Connection) -> Vec<(i64, Vec<u8>)> {
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let mut all = connection.prepare("SELECT k, v FROM t ORDER BY k").unwrap();
    all.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

/// Puts this many rows of so many bytes into the table.
fn insert(from: u32, rows: u32, bytes: u32) -> String {
    format!(
        "WITH RECURSIVE n (k) AS (SELECT {from} UNION ALL SELECT k + 1 FROM n WHERE k + 1 < {from} + {rows})
         REPLACE INTO t SELECT k, randomblob({bytes}) FROM n;"
    )
}

#[test]
fn a_commit_of_several_frames_is_one_write() {
    let mut log = Log::new(4096, "FULL");
    log.run(&format!("BEGIN; {}", insert(0, 20, 1000)));
    let writes = log.commit().unwrap();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert!(writes[0].1 > 5 * 4096 && writes[0].1.is_multiple_of(4096 + 24), "{writes:?}");
    assert_eq!(log.is_whole().len(), 20);
    log.run(&format!("BEGIN; {}", insert(20, 20, 1000)));
    assert!(log.commit_singly().len() > 10);
    assert_eq!(log.is_whole().len(), 40);
}

#[test]
fn commits_are_whole_with_each_size_of_page_also_beyond_what_is_held_back() {
    for synchronous in ["FULL", "NORMAL"] {
        for page_bytes in [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536] {
            let mut log = Log::new(page_bytes, synchronous);
            for (count, bytes) in [(1, 10), (1, 100_000), (300, 2_000)] {
                log.run(&format!("BEGIN; {}", insert(0, count, bytes)));
                let writes = log.commit().unwrap();
                let total: usize = writes.iter().map(|write| write.1).sum();
                // One call for nearly as much as a call may take, and no byte twice.
                assert!(writes.len() <= 1 + total / (BYTES_MAX - 65_536), "{page_bytes}: {writes:?}");
                assert!(writes.iter().all(|write| write.1 <= BYTES_MAX), "{page_bytes}: {writes:?}");
                assert!(writes.windows(2).all(|two| two[0].0 + two[0].1 as i64 == two[1].0), "{writes:?}");
                log.is_whole();
            }
            assert_eq!(log.is_whole().len(), 300);
        }
    }
}

#[test]
fn a_commit_that_finds_no_room_fails_and_leaves_the_next_one_whole() {
    let mut log = Log::new(4096, "FULL");
    log.run(&format!("BEGIN; {}", insert(0, 3, 1000)));
    log.commit().unwrap();
    let before = log.is_whole();
    // The second is written with several calls.
    for (rows, room) in [(30, 0), (300, 0), (300, 1), (300, 2)] {
        log.leave_room(Some(room));
        log.run(&format!("BEGIN; {}", insert(0, rows, 1000)));
        let error = log.commit().unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DiskFull), "{error}");
        assert!(log.frames.is_empty() && log.connection.is_autocommit());
        assert!(log.is_whole() == before);
        log.leave_room(None);
    }
    log.run(&format!("BEGIN; {}", insert(3, 1, 10)));
    log.commit().unwrap();
    assert_eq!(log.is_whole().len(), 4);
}

#[test]
fn frames_that_were_spilled_and_written_again_are_those_of_the_commit() {
    for synchronous in ["FULL", "NORMAL"] {
        let mut log = Log::new(1024, synchronous);
        log.run("PRAGMA cache_size = 8; PRAGMA cache_spill = 8");
        for round in 0..4 {
            log.run(&format!("BEGIN; {} SAVEPOINT s; {}", insert(0, 200, 300), insert(100, 300, 200)));
            if round % 2 == 0 {
                log.run("ROLLBACK TO s");
            }
            // What was spilled is read again, and changed again.
            log.run("UPDATE t SET v = CAST(v || k AS BLOB) WHERE k % 7 = 0; RELEASE s");
            log.run(&insert(round, 5, 100));
            assert!(!log.commit().unwrap().is_empty());
            assert_eq!(log.is_whole().len(), if round == 0 { 200 } else { 400 });
            log.run(&format!("BEGIN; {}", insert(1000, 300, 300)));
            log.run("ROLLBACK");
            log.is_whole();
        }
    }
}

#[test]
fn a_log_that_starts_over_takes_gathered_commits() {
    let mut log = Log::new(4096, "FULL");
    for round in 0..6 {
        log.run(&format!("BEGIN; {}", insert(round * 10, 10, 1000)));
        let writes = log.commit().unwrap();
        let starts_over = round > 0 && round % 2 == 0;
        // The header of the log is written by itself, and synced.
        assert_eq!(writes.len(), 1 + usize::from(starts_over), "{writes:?}");
        assert_eq!(log.is_whole().len() as u32, (round + 1) * 10);
        if round % 2 == 1 {
            let mode = if round == 1 { "RESTART" } else { "TRUNCATE" };
            log.run(&format!("PRAGMA wal_checkpoint({mode})"));
        }
    }
}

#[test]
fn other_databases_of_a_connection_are_written_as_ever() {
    let mut log = Log::new(4096, "FULL");
    let other = log.folder.path().join("other.db");
    log.run(&format!("ATTACH '{}' AS other; PRAGMA other.journal_mode = WAL", other.display()));
    log.run("CREATE TABLE other.u (v); CREATE TEMP TABLE w (v)");
    log.run(&format!(
        "BEGIN; {} INSERT INTO other.u VALUES (1); INSERT INTO w VALUES (2)",
        insert(0, 9, 900)
    ));
    assert_eq!(log.commit().unwrap().len(), 1);
    assert_eq!(log.is_whole().len(), 9);
    let sum: i64 = log
        .connection
        .query_row("SELECT sum(v) FROM (SELECT v FROM u UNION SELECT v FROM w)", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sum, 3);
}

#[test]
fn the_handle_has_the_methods_of_its_vfs_again_whatever_becomes_of_the_commit() {
    let mut log = Log::new(4096, "FULL");
    log.run(&format!("BEGIN; {}", insert(0, 9, 900)));
    let (connection, frames) = (&log.connection, &mut log.frames);
    let panics = std::panic::AssertUnwindSafe(|| gathered(frames, connection, || panic!("as a test")));
    assert!(std::panic::catch_unwind(panics).map(|done: rusqlite::Result<()>| done.unwrap()).is_err());
    // SAFETY: the handle is open.
    let methods = unsafe { RawFile::of_log(&log.connection).unwrap().handle().as_ref() }.pMethods;
    assert_eq!(methods, log.watched.cast_const().cast());
    assert_eq!(log.commit().unwrap().len(), 1);
    // Outside of a commit each write goes to the file at once.
    log.run("PRAGMA cache_size = 4; PRAGMA cache_spill = 4");
    log.run(&format!("BEGIN; {}", insert(0, 90, 900)));
    assert!(!log.writes().is_empty() && log.frames.is_empty());
    log.commit().unwrap();
    assert_eq!(log.is_whole().len(), 90);
}
