//! What a store holds in the end, and how its state came about.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::simulator::history::{Asked, Change, Effect, Entries, Group, Identity, Need};

/// A row of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub change: Change,
    pub expires_at: Option<i64>,
    /// When the change was made.
    pub at: i64,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub revision: u64,
    pub value: String,
    pub expires_at: Option<i64>,
}

/// All entries of one moment, expired ones included that were not removed yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State(BTreeMap<(String, String), Stored>);

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub identity: Identity,
    pub log: BTreeMap<u64, Vec<Row>>,
    pub state: State,
}

fn text(bytes: Option<Vec<u8>>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

impl Held {
    /// Reads a store that is closed in every process.
    pub fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let identity = "SELECT content FROM store WHERE name = 'identity'";
        let identity: String = connection.query_row(identity, [], |row| row.get(0))?;
        let state = State::read(connection)?;
        let mut held = Self { identity: identity.into(), state, log: BTreeMap::new() };
        let mut rows = connection.prepare(
            "SELECT revision, kind, group_name, entry_key, CAST(entry_value AS BLOB), expires_at, at
             FROM readable_changes ORDER BY change",
        )?;
        let rows = rows.query_map([], |row| {
            let (kind, group, key) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let change = Change { kind, group, key, value: text(row.get(4)?) };
            let row_of_log = Row { change, expires_at: row.get(5)?, at: row.get(6)? };
            Ok((row.get::<_, i64>(0)?.unsigned_abs(), row_of_log))
        })?;
        for row in rows {
            let (revision, row) = row?;
            held.log.entry(revision).or_default().push(row);
        }
        Ok(held)
    }

    /// The revision of the latest commit.
    pub fn revision(&self) -> u64 {
        self.log.last_key_value().map_or(0, |(revision, _)| *revision)
    }

    pub fn entries(&self) -> Entries {
        let entries = self.state.0.iter();
        entries.map(|(name, stored)| (name.clone(), (stored.revision, stored.value.clone()))).collect()
    }
}

/// Whether an entry that expires then shows in a read between two moments; `None` where either is right.
fn shows(expires_at: Option<i64>, (from, until): (i64, i64)) -> Option<bool> {
    match expires_at {
        None => Some(true),
        Some(at) if at <= from => Some(false),
        Some(at) if at > until => Some(true),
        Some(_) => None,
    }
}

impl State {
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut entries = connection.prepare(
            "SELECT group_name, entry_key, revision, CAST(entry_value AS BLOB), expires_at FROM readable_entries",
        )?;
        let entries = entries.query_map([], |row| {
            let revision = row.get::<_, i64>(2)?.unsigned_abs();
            let value = text(row.get(3)?).unwrap_or_default();
            Ok(((row.get(0)?, row.get(1)?), Stored { revision, value, expires_at: row.get(4)? }))
        })?;
        entries.collect::<rusqlite::Result<_>>().map(Self)
    }

    /// Applies one change that was asked for, and returns what the log says of it, if it changes anything.
    pub fn apply(&mut self, revision: u64, effect: &Effect) -> Option<Change> {
        let change = |kind: &str, group: &str, key: Option<&str>, value: Option<&String>| Change {
            kind: kind.to_owned(),
            group: group.to_owned(),
            key: key.map(str::to_owned),
            value: value.cloned(),
        };
        match effect {
            Effect::Set { group, key, value, expires_at } => {
                let stored = Stored { revision, value: value.clone(), expires_at: *expires_at };
                self.0.insert(((*group).to_owned(), (*key).to_owned()), stored);
                Some(change("set", group, Some(key), Some(value)))
            }
            Effect::Delete { group, key } => {
                self.0.remove(&((*group).to_owned(), (*key).to_owned()))?;
                Some(change("delete", group, Some(key), None))
            }
            Effect::DeleteGroup { group } => {
                let before = self.0.len();
                self.0.retain(|(of, _), _| of != group);
                (self.0.len() < before).then(|| change("delete_group", group, None, None))
            }
        }
    }

    /// Applies one change as the log has it. Returns what is wrong with it.
    pub fn replay(&mut self, revision: u64, row: &Row) -> Option<String> {
        let Change { kind, group, key, value } = &row.change;
        let Some(key) = key else {
            self.0.retain(|(of, _), _| of != group);
            return None;
        };
        let name = (group.clone(), key.clone());
        if kind == "set" {
            let stored =
                Stored { revision, value: value.clone().unwrap_or_default(), expires_at: row.expires_at };
            self.0.insert(name, stored);
            return None;
        }
        let removed = self.0.remove(&name);
        let is_due = removed.as_ref().and_then(|stored| stored.expires_at).is_some_and(|at| at <= row.at);
        (kind == "expire" && !is_due)
            .then(|| format!("revision {revision} removes {removed:?} at {}, which is not due", row.at))
    }

    pub fn holds(&self, need: &Need) -> bool {
        let found = self.0.get(&(need.group.to_owned(), need.key.to_owned()));
        found.map(|stored| stored.revision) == need.revision
    }

    pub fn counter(&self, group: &str, key: &str) -> i64 {
        let found = self.0.get(&(group.to_owned(), key.to_owned()));
        found.and_then(|stored| stored.value.parse().ok()).unwrap_or_default()
    }

    /// How many keys the groups have whose names begin with this.
    pub fn keys(&self, prefix: &str) -> u64 {
        self.0.keys().filter(|(group, _)| group.starts_with(prefix)).count() as u64
    }

    fn has_group(&self, group: &str, found: &Group, time: (i64, i64)) -> bool {
        let mut found = found.iter().peekable();
        for ((_, key), stored) in self.0.iter().filter(|((of, _), _)| of == group) {
            let is_next = found.peek().is_some_and(|(name, value)| name == key && *value == stored.value);
            match shows(stored.expires_at, time) {
                Some(expected) if expected != is_next => return false,
                _ if is_next => drop(found.next()),
                _ => {}
            }
        }
        found.next().is_none()
    }

    /// Whether a read between two moments could show this state.
    pub fn is_shown_by(&self, asked: &Asked, time: (i64, i64)) -> bool {
        match asked {
            Asked::Write { .. } | Asked::Increment => true,
            Asked::Entry { group, key, found } => {
                let stored = self.0.get(&((*group).to_owned(), (*key).to_owned()));
                let is_same = |stored: &Stored| {
                    found.as_ref().is_some_and(|(revision, value)| {
                        *revision == stored.revision && *value == stored.value
                    })
                };
                match stored.map(|stored| (stored, shows(stored.expires_at, time))) {
                    None | Some((_, Some(false))) => found.is_none(),
                    Some((stored, Some(true))) => is_same(stored),
                    Some((stored, None)) => found.is_none() || is_same(stored),
                }
            }
            Asked::Group { group, found } => self.has_group(group, found, time),
            Asked::Count { prefix, found } => self.keys(prefix) == *found,
            Asked::Snapshot { found, .. } => {
                found.iter().all(|(group, found)| self.has_group(group, found, time))
            }
            Asked::Backup { found } => {
                let own = self.0.iter().map(|(name, stored)| (name, (stored.revision, &stored.value)));
                own.eq(found.iter().map(|(name, (revision, value))| (name, (*revision, value))))
            }
        }
    }
}
