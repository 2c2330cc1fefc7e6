//! Writes a store that lives elsewhere into a new file.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{OpenFlags, params};

use super::columns::Stored;
use super::held::Prepared;
use super::large_values;
use super::log_end::LogEnd;
use super::log_parts::{Part, Parts, stored_place};
use super::schema::{self, signed};
use super::{connection, copy, own_rules, repair};
use crate::data::{Error, Result, Revision, Value};
use crate::engine::{Dump, DumpedCursor, DumpedHistory, Logged, NewFile};

/// Makes a file of a store. It has the same entries, revisions and log, and an identity of its own.
pub(crate) fn write_file(dump: Dump<'_>, new: &NewFile) -> Result<()> {
    let written = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let file = Prepared::new(own_rules::open(new.path(), flags)?);
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

fn write(dump: Dump<'_>, file: &Prepared) -> rusqlite::Result<()> {
    schema::create(file, 0)?;
    let logged = write_log(&dump.histories, file)?;
    let mut insert = file.prepare(
        "INSERT INTO entries (group_name, entry_key, entry_value, expires_at, revision)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for found in dump.entries {
        let facts = found.facts();
        let value = Value::from(found.clone());
        let revision = signed(facts.revision.0);
        let large = match logged.get(&(found.group(), found.key())) {
            Some((at, number)) if *at == facts.revision => Some(*number),
            _ => large_values::keep(file, &value)?,
        };
        let stored = Stored { value: &value, large };
        insert.execute(params![found.group(), found.key(), stored, facts.expires_at_ms, revision])?;
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

/// By group and key, the revision of the latest commit that has set it to a large value in the end, and the number of that.
type LargeValues<'a> = HashMap<(&'a str, &'a str), (Revision, i64)>;

fn write_log<'a>(histories: &'a [DumpedHistory], file: &Prepared) -> rusqlite::Result<LargeValues<'a>> {
    let parts = histories.iter().zip(0..);
    let parts = parts.map(|(history, number)| {
        Part::without_changes(history.prefix.to_string(), number, history.bounds, history.lost)
    });
    let mut log = LogEnd { parts: Parts(parts.collect()), ..LogEnd::default() };
    log.parts.0.iter().try_for_each(|part| part.store(file))?;
    let mut latest = LargeValues::new();
    for Logged { step, event } in histories.iter().flat_map(|history| &history.changes) {
        let large = event.value.as_ref().map(|value| large_values::keep(file, value)).transpose()?.flatten();
        log.append(file, *step, event, large)?;
        let Some(key) = &event.key else { continue };
        let name = (&*event.group, &**key);
        if let Some(number) = large {
            latest.insert(name, (event.revision, number));
        } else if latest.get(&name).is_some_and(|(revision, _)| *revision == event.revision) {
            // The same commit has changed the key again.
            latest.remove(&name);
        }
    }
    Ok(latest)
}
