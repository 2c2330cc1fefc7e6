//! A commit or transaction in the making: a state that mutations change, and what they did.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use smallvec::SmallVec;

use super::reading::Reading;
use super::rows::Note;
use super::state::State;
use crate::data::namespace::{namespace_of, prefix_of};
use crate::data::{
    ClockWatch, Event, EventKind, Facts, Found, History, LogPosition, Result, Usage, Value, clock,
};
use crate::engine::{Commit, Mutation, Outcome, Purged, Reply, Requirement};
use crate::rules::{self, is_live};

/// A list that allocates nothing for a single element.
pub(super) type Few<T> = SmallVec<[T; 1]>;

/// What a commit does to the index of entries, in order.
pub(super) enum Indexed {
    /// Stored, instead of what was there.
    Put(Found),
    /// Removed.
    Gone(Found),
}

/// What a commit does to the log, in order.
pub(super) enum Logging {
    Append(Arc<Event>),
    SetHistory(String, Option<History>),
}

/// What the mutations of one revision have done besides the state.
#[derive(Default)]
pub(super) struct Done {
    pub indexed: Few<Indexed>,
    pub logging: Few<Logging>,
    /// How many changes there are.
    pub steps: u64,
    /// The soonest expiry that was set, in Unix milliseconds.
    pub soonest_ms: Option<i64>,
    /// Whether the log may be pruned further in parts to which nothing was added.
    pub frees_log: bool,
    /// From where cursors have moved.
    pub released: Few<LogPosition>,
}

/// A point to which a draft can be rolled back.
struct Savepoint {
    state: State,
    indexed: usize,
    logging: usize,
    steps: u64,
}

/// A state that is changed.
pub(super) struct Draft {
    pub state: State,
    pub done: Done,
    /// The time of the current step, in Unix milliseconds. A step sees one time, or its tallies would miss what
    /// expires while it runs.
    pub now_ms: i64,
    /// When the first change was made, which is the time of all of them.
    at: Option<SystemTime>,
    clock_watch: Arc<ClockWatch>,
    /// What namespaces with a quota held before the batch, where the batch is judged by what it leaves
    /// behind. `None` where each mutation is judged by itself.
    pub(super) usage_before: Option<HashMap<String, Usage>>,
}

impl Draft {
    pub fn new(state: State, now_ms: i64, clock_watch: Arc<ClockWatch>) -> Self {
        Self { state, done: Done::default(), now_ms, at: None, clock_watch, usage_before: None }
    }

    pub fn reading(&self) -> Reading<'_> {
        Reading { state: &self.state, now_ms: self.now_ms }
    }

    fn savepoint(&self) -> Savepoint {
        let Done { indexed, logging, steps, .. } = &self.done;
        Savepoint { state: self.state.clone(), indexed: indexed.len(), logging: logging.len(), steps: *steps }
    }

    fn roll_back_to(&mut self, savepoint: Savepoint) {
        self.state = savepoint.state;
        self.done.indexed.truncate(savepoint.indexed);
        self.done.logging.truncate(savepoint.logging);
        self.done.steps = savepoint.steps;
    }

    pub fn require(&self, requirement: &Requirement) -> Result<()> {
        let found = self.live(&requirement.group, &requirement.key);
        rules::require(requirement, found.map(|found| found.facts().revision))
    }

    /// Applies a batch. After an error the draft is to be thrown away, unless the batch has just one mutation.
    pub fn batch(&mut self, commit: Commit) -> Result<Vec<Outcome>> {
        commit.requirements.iter().try_for_each(|requirement| self.require(requirement))?;
        match <[Mutation; 1]>::try_from(commit.mutations) {
            Ok([mutation]) => {
                let outcome = self.apply(mutation)?;
                Ok(if commit.reply == Reply::Outcomes { vec![outcome] } else { Vec::new() })
            }
            Err(mutations) => {
                let mut room = commit.room;
                self.usage_before = Some(HashMap::new());
                let outcomes = mutations.into_iter().map(|mutation| {
                    let outcome = self.apply(mutation)?;
                    rules::take_room(&mut room, outcome)?;
                    Ok(outcome)
                });
                let outcomes = outcomes.collect::<Result<Vec<_>>>()?;
                self.judge()?;
                Ok(outcomes)
            }
        }
    }

    /// Applies one mutation. A refused one has changed nothing.
    pub fn apply(&mut self, mutation: Mutation) -> Result<Outcome> {
        Ok(match mutation {
            Mutation::Set { group, key, value, expires_at_ms } => {
                self.set(group, key, &value, expires_at_ms)?;
                Outcome::Set
            }
            Mutation::Touch { group, key, expires_at_ms } => {
                Outcome::Touched(self.touch(group, key, expires_at_ms))
            }
            Mutation::Increment { group, key, by } => Outcome::Incremented(self.increment(group, key, by)?),
            Mutation::Delete { group, key } => Outcome::Deleted(self.delete(group, key)),
            Mutation::DeleteGroup { group } => Outcome::DeletedGroups(self.delete_group(group)),
            Mutation::DeletePrefix { prefix } => {
                let groups = self.reading().groups(&prefix);
                Outcome::DeletedGroups(groups.into_iter().map(|group| self.delete_group(group.name)).sum())
            }
            Mutation::Purge { prefix, max } => Outcome::Purged(self.purge(&prefix, max).unwrap_or_default()),
            Mutation::MoveCursor { name, to, pattern } => self.move_cursor(&name, to, pattern)?,
            Mutation::SetNote { name, content } => {
                match content {
                    Some(content) => {
                        self.state.notes.insert(Note { name: name.into(), content: content.into() });
                    }
                    None => drop(self.state.notes.remove(|note| (*note.name).cmp(&name))),
                }
                Outcome::NoteSet
            }
            Mutation::SetHistory { prefix, history } => {
                let has_changed = self.state.set_history(&prefix, history)?;
                if has_changed {
                    self.done.logging.push(Logging::SetHistory(prefix, history));
                }
                Outcome::HistorySet(has_changed)
            }
            Mutation::SetQuota { namespace, quota } => {
                self.state.set_quota(&namespace, quota);
                Outcome::QuotaSet
            }
        })
    }

    /// Sets an entry, whether or not it exists.
    fn set(&mut self, group: String, key: String, value: &Value, expires_at_ms: Option<i64>) -> Result<()> {
        self.note_usage(&group);
        if !self.fits_as_stored(&group, &key, value.len()) {
            let savepoint = self.savepoint();
            let namespace = namespace_of(&group).map(prefix_of).unwrap_or_default();
            let is_purged = self.purge(&namespace, usize::MAX).is_some();
            if let Err(refused) = self.admit_live(&group, &key, value.len(), is_purged) {
                // A refused write leaves no trace, not even the events of the purge.
                self.roll_back_to(savepoint);
                return Err(refused);
            }
        }
        // Where nothing expires at all, nothing needs to be looked up.
        if self.state.due.len() > 0
            && let Some(expired) = self.state.find(&group, &key).filter(|found| !self.is_live(found)).cloned()
        {
            self.expire(&expired);
        }
        self.put(group, key, value.as_bytes(), expires_at_ms);
        Ok(())
    }

    /// Stores an entry, with its event. The event shares the entry's memory.
    fn put(&mut self, group: String, key: String, value: &[u8], expires_at_ms: Option<i64>) {
        let facts = Facts { revision: self.state.revision.next(), expires_at_ms };
        let found = Found::new(&group, &key, value, facts);
        self.state.put(found.clone());
        self.log(EventKind::Set, group, Some(key), Some(Value::from(found.clone())), expires_at_ms);
        if let Some(at_ms) = expires_at_ms {
            let soonest = self.done.soonest_ms.map_or(at_ms, |soonest| soonest.min(at_ms));
            self.done.soonest_ms = Some(soonest);
        }
        self.done.indexed.push(Indexed::Put(found));
    }

    fn touch(&mut self, group: String, key: String, expires_at_ms: Option<i64>) -> Option<u64> {
        let old = self.live(&group, &key)?.clone();
        self.put(group, key, old.value(), expires_at_ms);
        Some(old.value().len() as u64)
    }

    fn increment(&mut self, group: String, key: String, by: i64) -> Result<i64> {
        let stored = self.live(&group, &key);
        let sum = rules::increment(&group, &key, stored.map(Found::value), by)?;
        let expires_at_ms = stored.and_then(|found| found.facts().expires_at_ms);
        self.set(group, key, &sum.to_string().into(), expires_at_ms)?;
        Ok(sum)
    }

    fn delete(&mut self, group: String, key: String) -> bool {
        // An expired entry is not there. The purge removes it, with an event of its own.
        if self.live(&group, &key).is_none() {
            return false;
        }
        self.remove(&group, &key);
        self.log(EventKind::Delete, group, Some(key), None, None);
        true
    }

    /// Deletes the live entries of a group. The purge removes the expired ones, with events of their own.
    fn delete_group(&mut self, group: String) -> u64 {
        let entries = self.state.entries_of(&group);
        let live: Vec<Found> = entries.filter(|found| self.is_live(found)).cloned().collect();
        if live.is_empty() {
            return 0;
        }
        for found in &live {
            self.remove(&group, found.key());
        }
        self.log(EventKind::DeleteGroup, group, None, None, None);
        live.len() as u64
    }

    /// Removes up to `max` expired entries of the groups that start with `prefix`, the longest expired first. Removes
    /// nothing and returns `None` while the clock is not to be believed.
    pub fn purge(&mut self, prefix: &str, max: usize) -> Option<Purged> {
        // After the time of this step was read, so that a leap before is seen.
        if !self.clock_watch.may_purge() {
            return None;
        }
        let expired = self.state.expired(self.now_ms).map(|due| &due.found);
        let due: Vec<Found> =
            expired.filter(|found| found.group().starts_with(prefix)).take(max).cloned().collect();
        // What is too old in the log goes as well.
        self.done.frees_log = true;
        due.iter().for_each(|found| self.expire(found));
        Some(Purged { entries: due.len() as u64, more: due.len() == max })
    }

    fn expire(&mut self, found: &Found) {
        let (group, key) = (found.group().to_owned(), found.key().to_owned());
        self.remove(&group, &key);
        self.log(EventKind::Expire, group, Some(key), None, found.facts().expires_at_ms);
    }

    fn remove(&mut self, group: &str, key: &str) {
        self.note_usage(group);
        self.done.indexed.extend(self.state.remove(group, key).map(Indexed::Gone));
    }

    /// Appends a change to the log.
    fn log(
        &mut self,
        kind: EventKind,
        group: String,
        key: Option<String>,
        value: Option<Value>,
        expires_at_ms: Option<i64>,
    ) {
        if self.done.steps == 0 {
            self.at = None;
        }
        let at = *self.at.get_or_insert_with(|| clock::time(self.now_ms));
        let revision = self.state.revision.next();
        let expires_at = expires_at_ms.map(clock::time);
        let event = Event { revision, kind, group, key, value, expires_at, at };
        self.done.logging.push(Logging::Append(Arc::new(event)));
        self.done.steps += 1;
    }

    pub fn is_live(&self, found: &Found) -> bool {
        is_live(found.facts().expires_at_ms, self.now_ms)
    }

    /// An entry that has not expired.
    pub fn live(&self, group: &str, key: &str) -> Option<&Found> {
        self.state.find(group, key).filter(|found| self.is_live(found))
    }
}
