//! Writes a store that lives elsewhere into a new file.

use std::sync::Arc;

use rusqlite::{Connection, OpenFlags, params};

use super::log_end::LogEnd;
use super::log_parts::{Part, Parts, stored_place};
use super::queries::Stored;
use super::schema::{self, signed};
use super::{connection, copy, own_rules, repair};
use crate::data::{Error, Result, Value};
use crate::engine::{Dump, DumpedCursor, DumpedHistory, NewFile};

/// Makes a file of a store. It has the same entries, revisions and log, and an identity of its own.
pub(crate) fn write_file(dump: Dump<'_>, new: &NewFile) -> Result<()> {
    let written = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let file = own_rules::open(new.path(), flags)?;
        connection::prepare(&file)?;
        // Nobody else knows of the file, and it counts only once it is complete.
        file.execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; PRAGMA temp_store = MEMORY",
        )?;
        let transaction = file.unchecked_transaction()?;
        write(dump, &file)?;
        transaction.commit()?;
        copy::separate(&file, new)
    };
    written().map_err(|error| Error::BackupFailed { path: new.target().to_owned(), source: Arc::new(error) })
}

fn write(dump: Dump<'_>, file: &Connection) -> rusqlite::Result<()> {
    schema::create(file, 0)?;
    let mut insert = file.prepare(
        "INSERT INTO entries (group_name, entry_key, entry_value, expires_at, revision)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for found in dump.entries {
        let facts = found.facts();
        let value = Value::from(found.clone());
        let revision = signed(facts.revision.0);
        insert.execute(params![found.group(), found.key(), Stored(&value), facts.expires_at_ms, revision])?;
    }
    for (namespace, quota) in dump.quotas {
        let [keys, groups, bytes] =
            [quota.max_keys, quota.max_groups, quota.max_bytes].map(|limit| limit.map(signed));
        file.prepare_cached(
            "INSERT INTO namespaces (namespace, keys, groups, bytes, max_keys, max_groups, max_bytes)
             VALUES (?1, 0, 0, 0, ?2, ?3, ?4)",
        )?
        .execute(params![namespace, keys, groups, bytes])?;
    }
    file.execute_batch(repair::TALLIES)?;
    write_log(dump.histories, file)?;
    for DumpedCursor { name, stored, moved_at_ms } in dump.cursors {
        let (revision, step) = stored_place(stored.position);
        file.prepare_cached(
            "INSERT INTO cursors (cursor_name, revision, position, moved_at, pattern) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![name, revision, step, moved_at_ms, stored.pattern.to_string()])?;
    }
    for (name, content) in dump.notes {
        file.prepare_cached("INSERT INTO notes (note, content) VALUES (?1, ?2)")?.execute([name, content])?;
    }
    Ok(())
}

fn write_log(histories: Vec<DumpedHistory>, file: &Connection) -> rusqlite::Result<()> {
    let parts = histories.iter().zip(0..);
    let parts = parts.map(|(history, number)| {
        Part::without_changes(history.prefix.to_string(), number, history.bounds, history.lost)
    });
    let mut log = LogEnd { parts: Parts(parts.collect()), ..LogEnd::default() };
    log.parts.0.iter().try_for_each(|part| part.store(file))?;
    for logged in histories.iter().flat_map(|history| &history.changes) {
        log.append(file, logged.step, &logged.event)?;
    }
    Ok(())
}
