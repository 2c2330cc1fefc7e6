//! Rebuilds what is derived from the entries: on a copy first, then in the store, in one transaction.
//!
//! Other processes have the file open, so it cannot be replaced: they would go on writing to a file without a name. The
//! copy shows beforehand that the repair leaves a sound store with the same entries. The transaction in the store is
//! judged in the same way before it commits.

use std::path::Path;

use rusqlite::backup::Backup;
use rusqlite::{Connection, Transaction};

use super::check::check;
use super::cohort::failure_of;
use super::copy::copy_pages;
use super::large_values::{UNUSED, size};
use super::store_file::{StoreFile, is_of_reading};
use super::writer::{Uncommitted, Writer};
use super::writer_slot::Lease;
use super::{beside, connection, expiry_index, foreign, own_rules, schema, step_limit};
use crate::data::{Error, Finding, FindingKind, Repair, Repaired, Result, caught};
use crate::engine::{Interest, NewFile};

/// What is to be corrected.
pub(super) struct Plan {
    pub found: Vec<Finding>,
    pub repair: Repair,
}

impl Plan {
    /// Whether there is anything that a repair corrects. With the file itself damaged, nothing is touched.
    pub fn is_needed(&self) -> bool {
        let is_damaged = self.found.iter().any(|finding| finding.kind == FindingKind::File);
        !is_damaged && self.found.iter().any(|finding| self.repair.covers(finding.kind))
    }

    fn has(&self, kind: FindingKind) -> bool {
        self.found.iter().any(|finding| finding.kind == kind)
    }

    /// Corrects what was found, in the caller's transaction.
    fn apply(&self, connection: &Connection) -> rusqlite::Result<()> {
        for object in foreign::find(connection)? {
            if self.repair.covers(object.finding) {
                object.drop_from(connection)?;
            }
        }
        if self.has(FindingKind::ExpiryIndex) {
            expiry_index::rebuild(connection)?;
        }
        if self.has(FindingKind::UnusedValue) {
            connection.execute(&format!("DELETE FROM large_values WHERE {UNUSED}"), [])?;
        }
        connection.execute_batch(TALLIES)
    }

    /// Corrects what was found and says what is left, unless the entries are no longer those of `reference`, or
    /// something that should be corrected is not.
    fn apply_and_judge(&self, connection: &Connection, reference: &Connection) -> Judged {
        self.apply(connection)?;
        let left = check(connection, None)?;
        if let Some(finding) = left.iter().find(|finding| self.repair.covers(finding.kind)) {
            return Ok(Err(format!("after a repair there would still be {finding}")));
        }
        if !has_the_same_entries(connection, reference)? {
            return Ok(Err("a repair would change entries".into()));
        }
        Ok(Ok(left))
    }

    /// Tries the repair on a copy of a file, and removes the copy.
    pub fn rehearse(&self, reader: &Connection, file: &Path, place: &StoreFile) -> Result<()> {
        let moment = place.wait_for_lock(|| pinned(reader)).map_err(|error| place.failure(error))?;
        let copy = NewFile::begin(&beside::beside(file, ".repair"))?;
        let blame = |error| match is_of_reading(&error) {
            true => place.failure(error),
            false => Error::BackupFailed { path: copy.path().to_owned(), source: std::sync::Arc::new(error) },
        };
        place.wait_for_lock(|| copy_pages(&moment, &copy).map(drop)).map_err(blame)?;
        self.try_on(copy.path(), &moment).map_err(blame)?.map(drop).map_err(|detail| damaged(place, detail))
    }

    fn try_on(&self, copy: &Path, reference: &Connection) -> Judged {
        let copy = own_rules::open(copy, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection::prepare(&copy)?;
        copy.execute_batch("PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY")?;
        let transaction = copy.unchecked_transaction()?;
        let judged = self.apply_and_judge(&transaction, reference)?;
        transaction.commit()?;
        Ok(judged)
    }

    /// Repairs the store. `reader` is a connection of its own to the same file; a store in memory is copied instead,
    /// to compare the entries with.
    pub fn carry_out(&self, lease: &mut Lease<'_>, reader: Option<&Connection>) -> Result<Repaired> {
        let writer = lease.writer.as_mut().ok_or(Error::Closed)?;
        if let Some(stopped) = &writer.stopped {
            return Err(stopped.clone());
        }
        let outcome = caught("a repair", || self.in_one_transaction(writer, reader));
        match outcome.inspect_err(|_| writer.rollback())? {
            Ok(Ok(left)) => {
                let is_repaired = |finding: &&Finding| self.repair.covers(finding.kind);
                let repaired = self.found.iter().filter(is_repaired).cloned().collect();
                // What a connection does not show.
                let is_outside = |finding: &&Finding| {
                    matches!(finding.kind, FindingKind::Leftover | FindingKind::UnsafeSqlite)
                };
                let outside = self.found.iter().filter(is_outside).cloned();
                Ok(Repaired::new(repaired, left.into_iter().chain(outside).collect()))
            }
            Ok(Err(detail)) => {
                writer.rollback();
                Err(damaged(&writer.file, detail))
            }
            Err(error) => Err(failure_of(writer, error)),
        }
    }

    fn in_one_transaction(
        &self,
        writer: &mut Writer,
        reader: Option<&Connection>,
    ) -> std::result::Result<Judgement, Uncommitted> {
        let copy = match reader {
            None => Some(copy_in_memory(&writer.connection)?),
            Some(_) => None,
        };
        // What is missing is part of this repair.
        writer.known.definitions = Some(schema::version_of_definitions(&writer.connection)?);
        writer.begin(Interest::None)?;
        // While the write lock is held, the reader sees what was there before.
        let moment = reader.map(|reader| reader.unchecked_transaction()).transpose()?;
        let judged = match moment.as_deref().or(copy.as_ref()) {
            Some(reference) => self.apply_and_judge(&writer.connection, reference)?,
            None => return Ok(Err("there is nothing to compare a repair with".into())),
        };
        if judged.is_ok() {
            // It has no revision. Counted, it does not empty the caches of other processes.
            writer.transaction.is_unlogged = true;
            writer.commit()?;
        }
        Ok(judged)
    }
}

/// One moment, for the copy and for what it is compared with. It begins with the first read.
fn pinned(reader: &Connection) -> rusqlite::Result<Transaction<'_>> {
    let moment = reader.unchecked_transaction()?;
    moment.query_row("SELECT count(*) FROM store", [], |_| Ok(()))?;
    Ok(moment)
}

/// What a repair has left, or why it must not happen.
type Judgement = std::result::Result<Vec<Finding>, String>;

type Judged = rusqlite::Result<Judgement>;

fn damaged(place: &StoreFile, detail: String) -> Error {
    Error::Damaged { location: place.location.clone(), detail }
}

fn copy_in_memory(original: &Connection) -> rusqlite::Result<Connection> {
    let mut copy = Connection::open_in_memory()?;
    Backup::new(original, &mut copy)?.step(-1)?;
    step_limit::guard_nothing(&copy)?;
    connection::prepare(&copy)?;
    Ok(copy)
}

/// Makes the tallies what the entries add up to; only rows that differ are written. Quotas stay.
pub(super) const TALLIES: &str = concat!(
    "
CREATE TEMP TABLE counted AS
    SELECT group_name, count(*) AS keys, sum(octet_length(entry_key) + ",
    size!(),
    ") AS bytes
    FROM main.entries GROUP BY group_name;

DELETE FROM groups WHERE group_name NOT IN (SELECT group_name FROM counted);
INSERT INTO groups (group_name, keys, bytes)
    SELECT group_name, counted.keys, counted.bytes FROM counted LEFT JOIN groups USING (group_name)
    WHERE counted.keys IS NOT groups.keys OR counted.bytes IS NOT groups.bytes
    ON CONFLICT DO UPDATE SET keys = excluded.keys, bytes = excluded.bytes;

CREATE TEMP TABLE counted_namespaces AS
    SELECT namespace_of(group_name) AS namespace, sum(keys) AS keys, count(*) AS groups, sum(bytes) AS bytes
    FROM counted WHERE namespace_of(group_name) IS NOT NULL GROUP BY 1;

UPDATE namespaces SET keys = 0, groups = 0, bytes = 0
    WHERE namespace NOT IN (SELECT namespace FROM counted_namespaces) AND (keys <> 0 OR groups <> 0 OR bytes <> 0);
DELETE FROM namespaces WHERE keys = 0 AND max_keys IS NULL AND max_groups IS NULL AND max_bytes IS NULL;
INSERT INTO namespaces (namespace, keys, groups, bytes)
    SELECT namespace, counted_namespaces.keys, counted_namespaces.groups, counted_namespaces.bytes
    FROM counted_namespaces LEFT JOIN namespaces USING (namespace)
    WHERE counted_namespaces.keys IS NOT namespaces.keys OR counted_namespaces.groups IS NOT namespaces.groups
    OR counted_namespaces.bytes IS NOT namespaces.bytes
    ON CONFLICT DO UPDATE SET keys = excluded.keys, groups = excluded.groups, bytes = excluded.bytes;

DROP TABLE temp.counted;
DROP TABLE temp.counted_namespaces;
"
);

/// Whether two connections show the same entries, byte for byte.
fn has_the_same_entries(one: &Connection, other: &Connection) -> rusqlite::Result<bool> {
    const ENTRIES: &str = "SELECT group_name, entry_key, expires_at, revision, entry_value, content
                           FROM entries LEFT JOIN large_values
                           ON typeof(entry_value) = 'integer' AND large_value = entry_value
                           ORDER BY group_name, entry_key";
    let (mut one, mut other) = (one.prepare(ENTRIES)?, other.prepare(ENTRIES)?);
    let (mut one, mut other) = (one.query([])?, other.query([])?);
    loop {
        match (one.next()?, other.next()?) {
            (None, None) => return Ok(true),
            (Some(a), Some(b)) => {
                for column in 0..6 {
                    if a.get_ref(column)? != b.get_ref(column)? {
                        return Ok(false);
                    }
                }
            }
            _ => return Ok(false),
        }
    }
}
