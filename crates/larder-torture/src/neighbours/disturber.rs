//! The neighbours that know nothing of larder: they use its file with plain SQLite, and note what they hold.

use std::io;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::notes::{Note, Notes};
use super::{Part, Plant, Role};
use crate::moment;
use crate::random::Random;

struct Disturber<'a> {
    part: &'a Part,
    notes: Notes,
    random: Random,
}

/// Disturbs until the time is over.
pub fn disturb(part: &Part) -> io::Result<()> {
    let notes = Notes::new(&part.notes(part.life))?;
    let mut disturber = Disturber { part, notes, random: Random::new(part.seed) };
    while !part.is_over() {
        // An error is an answer to a neighbour: the file was busy.
        let _ = match part.role {
            Role::Shell => disturber.shell(),
            Role::Replicator => disturber.replicate().map_err(io::Error::other),
            _ => disturber.plain().map_err(io::Error::other),
        };
        disturber.pause(200);
    }
    Ok(())
}

fn milliseconds(from: u64, random: &mut Random, more: u64) -> Duration {
    Duration::from_millis(from + random.below(more))
}

impl Disturber<'_> {
    fn pause(&mut self, most: u64) {
        sleep(milliseconds(0, &mut self.random, most));
    }

    fn connect(&mut self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(self.part.store(), flags)?;
        connection.busy_timeout(milliseconds(0, &mut self.random, 500))?;
        Ok(connection)
    }

    /// Does something, and notes when. If it failed, no lock is noted as held.
    fn hold<T, E>(&self, what: &str, writes: bool, act: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let from = moment::now();
        let result = act();
        let (to, done) = (moment::now(), result.is_ok());
        self.notes.write(&Note::Held { what: what.to_owned(), from, to, writes: writes && done, done });
        result
    }

    fn run(&self, connection: &Connection, sql: &str, writes: bool) {
        // Busy, most of the time; whatever comes of it, larder's answers must be right.
        let _ = self.hold(sql, writes, || connection.execute_batch(sql));
    }

    /// A transaction that stays open for a while. Most writers are quicker than the timeout, some are not.
    fn transaction(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let writes = self.random.one_in(2);
        let long = self.random.one_in(4);
        let (begin, time) = match (writes, long) {
            (true, true) => ("BEGIN IMMEDIATE", milliseconds(2_300, &mut self.random, 700)),
            (true, false) => ("BEGIN IMMEDIATE", milliseconds(0, &mut self.random, 200)),
            (false, _) => ("BEGIN", milliseconds(0, &mut self.random, 1_500)),
        };
        connection.execute_batch(begin)?;
        self.hold(begin, writes, || {
            connection.execute_batch("SELECT count(*) FROM entries")?;
            sleep(time);
            connection.execute_batch(if writes { "ROLLBACK" } else { "COMMIT" })
        })
    }

    fn plain(&mut self) -> rusqlite::Result<()> {
        let connection = self.connect()?;
        if self.part.plant == Some(Plant::SilentHold) {
            connection.busy_timeout(Duration::from_secs(5))?;
            connection.execute_batch("BEGIN IMMEDIATE")?;
            sleep(Duration::from_secs(3));
            return connection.execute_batch("ROLLBACK");
        }
        for _ in 0..=self.random.below(6) {
            if self.part.is_over() {
                break;
            }
            match self.random.below(9) {
                0 => self.run(&connection, "VACUUM", true),
                1 | 2 => {
                    let mode = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"][self.random.place(4)];
                    self.run(&connection, &format!("PRAGMA wal_checkpoint({mode})"), mode != "PASSIVE");
                }
                3 => {
                    let mode = ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF"][self.random.place(5)];
                    self.run(&connection, &format!("PRAGMA journal_mode = {mode}"), true);
                }
                4 => self.run(&connection, "REINDEX", true),
                5 => self.run(&connection, "ANALYZE", true),
                6 => self.run(&connection, "CREATE INDEX IF NOT EXISTS _plain ON entries (revision)", true),
                _ => {
                    let _ = self.transaction(&connection);
                }
            }
            self.pause(150);
        }
        Ok(())
    }

    /// Replicates as Litestream does. A read transaction keeps the log from starting over until it is copied. Writes go
    /// to tables of its own.
    fn replicate(&mut self) -> rusqlite::Result<()> {
        let connection = self.connect()?;
        connection.execute_batch(
            "PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE IF NOT EXISTS _replica_seq (id INTEGER PRIMARY KEY, seq INTEGER);
             CREATE TABLE IF NOT EXISTS _replica_lock (id INTEGER);",
        )?;
        while !self.part.is_over() {
            let time = milliseconds(200, &mut self.random, 800);
            let act = || -> rusqlite::Result<()> {
                connection.execute_batch("BEGIN; SELECT count(*) FROM _replica_seq;")?;
                sleep(time);
                connection.execute_batch("ROLLBACK")
            };
            let _ = self.hold("BEGIN", false, act);
            let mode =
                if self.random.one_in(4) { ["RESTART", "TRUNCATE"][self.random.place(2)] } else { "PASSIVE" };
            self.run(&connection, &format!("PRAGMA wal_checkpoint({mode})"), mode != "PASSIVE");
            let write = "INSERT INTO _replica_seq VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET seq = seq + 1";
            self.run(&connection, write, true);
            self.run(&connection, "BEGIN IMMEDIATE; INSERT INTO _replica_lock VALUES (1); ROLLBACK", true);
        }
        Ok(())
    }

    /// The shell may be of a version whose checkpoints lose pages (docs/file-format.md), so it makes none.
    fn shell(&mut self) -> io::Result<()> {
        let (statement, writes) = match self.random.below(5) {
            0 => ("BEGIN IMMEDIATE; SELECT count(*) FROM changes; ROLLBACK;", true),
            1 => ("BEGIN; SELECT count(*) FROM changes; SELECT count(*) FROM entries; COMMIT;", false),
            2 => ("PRAGMA integrity_check;", false),
            3 => ("PRAGMA journal_mode = DELETE;", true),
            _ => (".dump groups", false),
        };
        let script = format!(".timeout 300\nPRAGMA wal_autocheckpoint = 0;\n{statement}\n");
        let path = self.part.store();
        self.hold(&format!("sqlite3: {statement}"), writes, || {
            let mut command = Command::new("sqlite3");
            command.arg("-batch").arg(path).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn()?;
            if let Some(mut input) = child.stdin.take() {
                io::Write::write_all(&mut input, script.as_bytes())?;
            }
            let ended = child.wait()?;
            if ended.success() { Ok(()) } else { Err(io::Error::other("busy")) }
        })
    }
}
