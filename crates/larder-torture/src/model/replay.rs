//! The change log as a watcher reads it, applied to an empty map: it has to lead to the entries of the model.

use std::collections::BTreeMap;

use larder::{Event, EventKind, Pattern, Revision};

use super::Outcome;
use super::face::Face;
use super::looks::{failed, same};
use super::plain::{Plain, Row};
use super::run::Began;

/// Every event so far, and what it led to, including expired entries that are still stored.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    pub log: Vec<Event>,
    rows: BTreeMap<(String, String), Row>,
    revision: u64,
}

impl Replay {
    /// How many entries of a prefix a purge removes.
    pub fn due(&self, prefix: &str, now: u64) -> u64 {
        let is_due = |row: &Row| row.expires_at.is_some_and(|at| at <= now);
        self.rows.iter().filter(|((group, _), row)| group.starts_with(prefix) && is_due(row)).count() as u64
    }

    /// Reads the events that are new.
    pub fn read(&self, face: &Face) -> Outcome<Vec<Event>> {
        since(face, self.revision)
    }

    /// Applies events.
    pub fn take(&mut self, events: Vec<Event>, plain: &Plain, began: Began) -> Outcome {
        for event in &events {
            let complain = |what: &str| Err(format!("{event:?}: {what}"));
            if event.revision.0 <= self.revision || event.revision.0 > plain.revision {
                return complain("its revision is wrong");
            }
            same("the time of an event", &event.at, &began.time(plain.now))?;
            self.apply(event, plain.now, began).or_else(|what| complain(&what))?;
        }
        let latest = events.last().map_or(self.revision, |event| event.revision.0);
        same("the revision of the last event", &latest, &plain.revision)?;
        self.revision = latest;
        self.log.extend(events);
        let is_live = |row: &Row| row.expires_at.is_none_or(|at| at > plain.now);
        let live: BTreeMap<_, _> = self.rows.iter().filter(|(_, row)| is_live(row)).collect();
        same("what the log leads to", &live, &plain.rows.iter().collect())
    }

    fn apply(&mut self, event: &Event, now: u64, began: Began) -> Outcome {
        let is_live = |row: &Row| row.expires_at.is_none_or(|at| at > now);
        let since =
            |at: std::time::SystemTime| at.duration_since(began.0).map_or(0, |since| since.as_millis());
        let expires_at = event.expires_at.map(|at| u64::try_from(since(at)).unwrap_or(u64::MAX));
        let name = event.key.clone().map(|key| (event.group.clone(), key));
        match (event.kind, name, event.value.clone()) {
            (EventKind::Set, Some(name), Some(value)) => {
                let row = Row { value, expires_at, revision: event.revision.0 };
                match self.rows.insert(name, row) {
                    Some(old) if !is_live(&old) && old.revision != event.revision.0 => {
                        Err("an expired entry was overwritten without an event".to_owned())
                    }
                    _ => Ok(()),
                }
            }
            (EventKind::Delete, Some(name), None) => match self.rows.remove(&name) {
                Some(old) if is_live(&old) => Ok(()),
                old => Err(format!("{old:?} was deleted")),
            },
            (EventKind::DeleteGroup, None, None) => {
                let before = self.rows.len();
                self.rows.retain(|(group, _), row| *group != event.group || !is_live(row));
                if self.rows.len() < before { Ok(()) } else { Err("an empty group was deleted".to_owned()) }
            }
            (EventKind::Expire, Some(name), None) => match self.rows.remove(&name) {
                Some(old) if !is_live(&old) && old.expires_at == expires_at => Ok(()),
                old => Err(format!("{old:?} has expired")),
            },
            _ => Err("such an event does not exist".to_owned()),
        }
    }
}

/// The events after a revision.
pub fn since(face: &Face, revision: u64) -> Outcome<Vec<Event>> {
    let watcher =
        face.blocking().watch_from(Pattern::all(), Revision(revision)).map_err(failed("watch_from"))?;
    let mut events = Vec::new();
    while let Some(event) = watcher.try_recv().map_err(failed("try_recv"))? {
        events.push(event);
    }
    Ok(events)
}
