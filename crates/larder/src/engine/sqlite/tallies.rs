//! How much each group and namespace has stored, in step with the entries.

use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;
use rusqlite::{OptionalExtension, params};

use super::held::{Held, Prepared};
use super::queries::quota;
use super::schema::{signed, unsigned};
use crate::data::namespace::namespace_of;
use crate::data::{Quota, Usage};
use crate::engine::sabotage::{Sabotage, is_planted};
use crate::rules::{Growth, needs_tally};

/// How many tallies are held before they are written and dropped. A bound, because a transaction may touch any
/// number of groups.
const HELD_MAX: usize = 4096;

/// The tallies in use. A transaction writes each tally once, just before its commit, however often it changed.
#[derive(Default)]
pub(super) struct Tallies {
    groups: HashMap<String, Tally>,
    namespaces: HashMap<String, Namespace>,
    /// The tallies that changed since they were last written.
    changed_groups: Vec<String>,
    changed_namespaces: Vec<String>,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    keys: u64,
    bytes: u64,
    dirty: bool,
    /// Whether it has a row.
    stored: bool,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Namespace {
    pub usage: Usage,
    pub quota: Quota,
    dirty: bool,
    /// Whether it has a row, with this quota in it.
    stored: bool,
}

impl Tallies {
    /// How many keys and bytes a group has stored.
    pub fn group(&mut self, connection: &Prepared, group: &str) -> rusqlite::Result<(u64, u64)> {
        let tally = self.load_group(connection, group)?;
        Ok((tally.keys, tally.bytes))
    }

    /// Counts entries that a group gained or lost.
    pub fn add(&mut self, connection: &Prepared, group: &str, keys: i64, bytes: i64) -> rusqlite::Result<()> {
        if keys == 0 && bytes == 0 {
            return Ok(());
        }
        let tally = self.load_group(connection, group)?;
        let growth = Growth::of_group(tally.keys, keys, bytes);
        tally.keys = tally.keys.saturating_add_signed(keys);
        tally.bytes = tally.bytes.saturating_add_signed(bytes);
        if !std::mem::replace(&mut tally.dirty, true) {
            self.changed_groups.push(group.to_owned());
        }
        if let Some(name) = namespace_of(group) {
            let usage = &mut self.change_namespace(connection, name)?.usage;
            *usage = growth.applied_to(usage);
        }
        if self.groups.len() + self.namespaces.len() > HELD_MAX {
            self.write(connection)?;
            *self = Self::default();
        }
        Ok(())
    }

    /// What a namespace has stored, and its quota.
    pub fn namespace(&mut self, connection: &Prepared, name: &str) -> rusqlite::Result<Namespace> {
        Ok(*self.load_namespace(connection, name)?)
    }

    pub fn set_quota(&mut self, connection: &Prepared, name: &str, quota: Quota) -> rusqlite::Result<()> {
        let namespace = self.change_namespace(connection, name)?;
        namespace.quota = quota;
        namespace.stored = false;
        Ok(())
    }

    fn change_namespace(&mut self, connection: &Prepared, name: &str) -> rusqlite::Result<&mut Namespace> {
        if !std::mem::replace(&mut self.load_namespace(connection, name)?.dirty, true) {
            self.changed_namespaces.push(name.to_owned());
        }
        self.load_namespace(connection, name)
    }

    /// Writes what has changed, so that SQL sees it. A group without keys has no row.
    pub fn write(&mut self, connection: &Prepared) -> rusqlite::Result<()> {
        if is_planted(Sabotage::TalliesSkipped) {
            self.changed_groups.clear();
            self.changed_namespaces.clear();
        }
        for group in self.changed_groups.drain(..) {
            let Some(tally) = self.groups.get_mut(&group) else { continue };
            let (keys, bytes) = (signed(tally.keys), signed(tally.bytes));
            if keys == 0 {
                connection.prepare_cached("DELETE FROM groups WHERE group_name = ?1")?.execute([group])?;
            } else if tally.stored {
                let mut write = connection.held(Held::TallyGroup)?;
                write.text(1, &group)?;
                write.number(2, keys)?;
                write.number(3, bytes)?;
                write.finish()?;
            } else {
                connection
                    .prepare_cached("INSERT INTO groups (group_name, keys, bytes) VALUES (?1, ?2, ?3)")?
                    .execute(params![group, keys, bytes])?;
            }
            tally.stored = keys > 0;
            tally.dirty = false;
        }
        for name in self.changed_namespaces.drain(..) {
            let Some(namespace) = self.namespaces.get_mut(&name) else { continue };
            let Namespace { usage, quota, .. } = *namespace;
            let goes = !needs_tally(usage.keys, &quota);
            if goes {
                connection.prepare_cached("DELETE FROM namespaces WHERE namespace = ?1")?.execute([name])?;
            } else if namespace.stored {
                connection
                    .prepare_cached(
                        "UPDATE namespaces SET keys = ?2, groups = ?3, bytes = ?4 WHERE namespace = ?1",
                    )?
                    .execute(params![name, signed(usage.keys), signed(usage.groups), signed(usage.bytes)])?;
            } else {
                connection
                    .prepare_cached(
                        "INSERT INTO namespaces
                         (namespace, keys, groups, bytes, max_keys, max_groups, max_bytes)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (namespace) DO UPDATE
                         SET keys = excluded.keys, groups = excluded.groups, bytes = excluded.bytes,
                             max_keys = excluded.max_keys, max_groups = excluded.max_groups,
                             max_bytes = excluded.max_bytes",
                    )?
                    .execute(params![
                        name,
                        signed(usage.keys),
                        signed(usage.groups),
                        signed(usage.bytes),
                        quota.max_keys.map(signed),
                        quota.max_groups.map(signed),
                        quota.max_bytes.map(signed),
                    ])?;
            }
            namespace.stored = !goes;
            namespace.dirty = false;
        }
        Ok(())
    }

    fn load_group(&mut self, connection: &Prepared, group: &str) -> rusqlite::Result<&mut Tally> {
        match self.groups.entry_ref(group) {
            EntryRef::Occupied(tally) => Ok(tally.into_mut()),
            EntryRef::Vacant(place) => {
                let tally = connection
                    .prepare_cached("SELECT keys, bytes FROM groups WHERE group_name = ?1")?
                    .query_row([group], |row| {
                        let (keys, bytes) = (unsigned(row.get(0)?), unsigned(row.get(1)?));
                        Ok(Tally { keys, bytes, dirty: false, stored: true })
                    })
                    .optional()?;
                Ok(place.insert(tally.unwrap_or_default()))
            }
        }
    }

    fn load_namespace(&mut self, connection: &Prepared, name: &str) -> rusqlite::Result<&mut Namespace> {
        match self.namespaces.entry_ref(name) {
            EntryRef::Occupied(namespace) => Ok(namespace.into_mut()),
            EntryRef::Vacant(place) => {
                let namespace = connection
                    .prepare_cached(
                        "SELECT keys, groups, bytes, max_keys, max_groups, max_bytes FROM namespaces
                         WHERE namespace = ?1",
                    )?
                    .query_row([name], |row| {
                        let usage = Usage {
                            keys: unsigned(row.get(0)?),
                            groups: unsigned(row.get(1)?),
                            bytes: unsigned(row.get(2)?),
                        };
                        Ok(Namespace { usage, quota: quota(row, 3)?, dirty: false, stored: true })
                    })
                    .optional()?;
                Ok(place.insert(namespace.unwrap_or_default()))
            }
        }
    }
}
