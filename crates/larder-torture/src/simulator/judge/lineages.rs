//! Whether each store that had the name kept its promises, and each restore, too.
//!
//! A restore replaces the store by a backup, which has an identity of its own. Each call is judged by the store that its
//! client had open. What each store held when it lost its name is known from the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::feeds::{self, Standing};
use super::held::Held;
use super::judge;
use crate::simulator::disk::{FileId, Reign};
use crate::simulator::history::{Asked, Consumed, Identity, Record, Told, Watched};
use crate::simulator::restores::{Attempt, Opening, Saved};

/// What clients did, and were told.
pub struct Evidence {
    pub records: Vec<Record>,
    pub watched: Vec<Watched>,
    pub consumed: Vec<(Identity, Consumed)>,
    pub saved: Vec<Saved>,
    pub openings: Vec<Opening>,
    pub attempts: Vec<Attempt>,
    /// How many keys the namespace may have.
    pub max_keys: u64,
}

/// What is there in the end.
pub struct Found {
    /// Which files had the name of the store.
    pub reigns: Vec<Reign>,
    /// What those that were stores hold, or held when they lost the name.
    pub stores: BTreeMap<FileId, Held>,
    /// What the files hold that were kept beside a restored one.
    pub kept: BTreeMap<PathBuf, Held>,
}

/// Where a store comes from: the revision up to which it is a backup, and the cursor in that.
#[derive(Clone, Copy, Default)]
struct Origin {
    base: u64,
    standing: Standing,
}

impl Found {
    fn identity(&self, reign: Reign) -> Option<&Identity> {
        self.stores.get(&reign.file?).map(|held| &held.identity)
    }

    fn of(&self, identity: &Identity) -> Option<&Held> {
        self.stores.values().find(|held| held.identity == *identity)
    }

    /// Whether a power cut has given the name back to a file that had it before this one, or to none.
    fn is_lost(&self, file: FileId) -> bool {
        let last = self.reigns.iter().rposition(|reign| reign.file == Some(file));
        last.and_then(|last| self.reigns.get(last + 1)).is_some_and(|next| next.by.is_none())
    }
}

impl Evidence {
    /// What is wrong with a run.
    pub fn judge(&self, found: &Found) -> Vec<String> {
        let mut wrong = Vec::new();
        let origins = self.origins(found, &mut wrong);
        wrong.extend(self.openings.iter().filter_map(|opening| misplaced(opening, found)));
        wrong.extend(self.attempts.iter().filter_map(|attempt| self.misdone(attempt, found)));
        let identities: BTreeSet<&Identity> =
            self.records.iter().map(|record| &record.store).chain(origins.keys()).collect();
        for identity in identities {
            let origin = origins.get(identity).copied().unwrap_or_default();
            self.judge_store(identity, origin, found, &mut wrong);
        }
        wrong
    }

    /// Where each store comes from, in the order in which they had the name.
    fn origins(&self, found: &Found, wrong: &mut Vec<String>) -> BTreeMap<Identity, Origin> {
        let mut origins = BTreeMap::new();
        for (number, reign) in found.reigns.iter().enumerate() {
            let Some(held) = reign.file.and_then(|file| found.stores.get(&file)) else { continue };
            if origins.contains_key(&held.identity) {
                continue;
            }
            let by = self.attempts.iter().find(|attempt| {
                Some(attempt.by) == reign.by && (attempt.from..attempt.until).contains(&number)
            });
            let saved = by.and_then(|attempt| self.saved.get(attempt.saved));
            let origin = match saved {
                Some(saved) => self.origin(saved, held, found, &origins, wrong),
                None => Origin::default(),
            };
            // Where a store is made, a power cut may undo that, until it is acknowledged.
            let was_free = number.checked_sub(1).is_none_or(|before| found.reigns[before].file.is_none());
            if saved.is_none() && !was_free {
                wrong.push(format!("nobody has restored {}, and it has the name", held.identity));
            }
            origins.insert(Identity::clone(&held.identity), origin);
        }
        origins
    }

    /// Compares a restored store with its backup, and that with the store of which it is one.
    fn origin(
        &self,
        saved: &Saved,
        held: &Held,
        found: &Found,
        origins: &BTreeMap<Identity, Origin>,
        wrong: &mut Vec<String>,
    ) -> Origin {
        let base = saved.held.revision();
        if !held.log.range(..=base).eq(&saved.held.log) {
            wrong
                .push(format!("{} does not begin with its backup {:?}: {held:?}", held.identity, saved.held));
        }
        let of = found.of(&saved.of);
        if !of.is_some_and(|of| of.log.range(..=base).eq(&saved.held.log)) {
            wrong.push(format!("a backup holds {:?}, and its store {of:?}", saved.held));
        }
        let begun = origins.get(&saved.of).copied().unwrap_or_default().standing;
        let until = |end: usize| {
            let steps = self.consumed.iter().take(end).filter(|(of, _)| *of == saved.of);
            // What is wrong with the steps is told where their own store is judged.
            feeds::consumed(steps.map(|(_, step)| step), begun, of.unwrap_or(&saved.held)).unwrap_or_default()
        };
        let changes = saved.held.log.values().map(Vec::len).sum();
        let standing = until(saved.steps.0).in_backup(until(saved.steps.1), changes);
        Origin { base, standing }
    }

    fn judge_store(&self, identity: &Identity, origin: Origin, found: &Found, wrong: &mut Vec<String>) {
        let nothing = Held::default();
        let held = found.of(identity).unwrap_or(&nothing);
        let own: Vec<Record> =
            self.records.iter().filter(|record| record.store == *identity).cloned().collect();
        let file = found.stores.iter().find(|(_, held)| held.identity == *identity).map(|(file, _)| *file);
        if file.is_some_and(|file| found.is_lost(file)) {
            let acknowledged = own.iter().filter(|record| is_acknowledged(record));
            wrong.extend(
                acknowledged
                    .map(|record| format!("{identity} is gone with an acknowledged write: {record:?}")),
            );
        }
        wrong.extend(judge(&own, held, origin.base, self.max_keys));
        let watched = self.watched.iter().filter(|watched| watched.store == *identity);
        wrong.extend(watched.filter_map(|watched| feeds::watched(watched, held)));
        let steps = self.consumed.iter().filter(|(of, _)| of == identity).map(|(_, step)| step);
        wrong.extend(feeds::consumed(steps, origin.standing, held).err());
    }

    /// What is wrong with a restore.
    fn misdone(&self, attempt: &Attempt, found: &Found) -> Option<String> {
        let own = (attempt.from..attempt.until.min(found.reigns.len()))
            .find(|number| found.reigns[*number].by == Some(attempt.by));
        let told = match &attempt.told {
            None => return None,
            Some(Err(refused)) => {
                return own.map(|_| format!("a restore that was refused was made: {refused}"));
            }
            Some(Ok(told)) => told,
        };
        let Some(own) = own else {
            return Some(format!("a restore was acknowledged and not made: {told:?}"));
        };
        if found.identity(found.reigns[own]).is_none_or(|identity| **identity != *told.identity) {
            return Some(format!("another store has the name than was told: {told:?}"));
        }
        if self.saved.get(attempt.saved).is_none_or(|saved| saved.held.revision() != told.revision.0) {
            return Some(format!("another revision was restored than was told: {told:?}"));
        }
        let (before, after) = found.reigns.split_at(own);
        let had_it_before =
            |later: &Reign| later.file.is_some() && before.iter().any(|earlier| earlier.file == later.file);
        if after.iter().any(had_it_before) {
            return Some(format!("an acknowledged restore is undone: {told:?}"));
        }
        let kept = told.old.as_ref()?;
        let former = before.last().and_then(|former| found.stores.get(&former.file?));
        (former.is_none() || found.kept.get(kept) != former)
            .then(|| format!("{} holds {:?} and not {former:?}", kept.display(), found.kept.get(kept)))
    }
}

fn is_acknowledged(record: &Record) -> bool {
    matches!(record.asked, Asked::Write { .. } | Asked::Increment)
        && matches!(record.told, Told::Done(_) | Told::Counted(_))
}

/// What is wrong with which store a client has opened.
fn misplaced(opening: &Opening, found: &Found) -> Option<String> {
    let had_the_name = &found.reigns[opening.from.saturating_sub(1)..opening.until];
    let is_one = had_the_name.iter().any(|reign| found.identity(*reign) == Some(&opening.identity));
    (!is_one).then(|| format!("{} was opened, and did not have the name", opening.identity))
}
