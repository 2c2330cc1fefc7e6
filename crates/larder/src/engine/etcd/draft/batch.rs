//! Applies requirements and mutations, one by one or as a batch.

use super::Draft;
use super::knowledge::Wanted;
use super::lookup::DraftEntry;
use super::step::{Step, StepError};
use crate::engine::etcd::layout::StoredNote;
use crate::engine::{Commit, Mutation, Outcome, Requirement};
use crate::rules;

impl Draft {
    /// Applies a batch. Quotas judge several mutations together, by what they leave behind.
    pub fn apply_batch(&mut self, commit: &Commit) -> Step<Vec<Outcome>> {
        for requirement in &commit.requirements {
            self.require(requirement)?;
        }
        if commit.mutations.len() > 1 {
            self.begin_batch();
        }
        let mut room = commit.room.clone();
        let outcomes = commit.mutations.iter().map(|mutation| {
            let outcome = self.apply(mutation)?;
            rules::take_room(&mut room, outcome)?;
            Ok(outcome)
        });
        let outcomes = outcomes.collect::<Step<Vec<_>>>();
        let judged = outcomes.and_then(|outcomes| self.judge_batch().map(|()| outcomes));
        self.batch.usage_before = None;
        judged
    }

    /// The facts that a batch certainly needs and that are not known.
    pub fn missing_facts(&self, commit: &Commit) -> Vec<Wanted> {
        let required = commit.requirements.iter().map(|Requirement { group, key, .. }| (group, key));
        let required = required.map(|(group, key)| Wanted::Key(self.layout().entry(group, key)));
        let mutated = commit.mutations.iter().flat_map(|mutation| self.facts_for(mutation));
        required.chain(mutated).filter(|wanted| !self.knowledge.has(wanted)).collect()
    }

    /// The facts that a mutation certainly needs.
    pub fn facts_for(&self, mutation: &Mutation) -> Vec<Wanted> {
        match mutation {
            Mutation::DeleteGroup { group } => self.group_facts(group),
            Mutation::DeletePrefix { prefix } => self.prefix_facts(prefix),
            Mutation::Purge { prefix, .. } => self.purge_facts(prefix),
            Mutation::SetQuota { namespace, .. } => vec![Wanted::Key(self.layout().namespace(namespace))],
            Mutation::MoveCursor { name, .. } => vec![Wanted::Key(self.layout().cursor(name))],
            Mutation::SetHistory { .. } | Mutation::SetNote { .. } => Vec::new(),
            Mutation::Set { group, key, .. }
            | Mutation::Touch { group, key, .. }
            | Mutation::Increment { group, key, .. }
            | Mutation::Delete { group, key } => self.entry_facts(group, key),
        }
    }

    /// Refuses a requirement that does not hold.
    pub fn require(&mut self, requirement: &Requirement) -> Step<()> {
        let actual = match self.live_entry(&requirement.group, &requirement.key)? {
            None => None,
            Some(DraftEntry { revision: Some(revision), .. }) => Some(revision),
            Some(_) => Some(self.own_revision.ok_or(StepError::NeedsOwnRevision)?),
        };
        Ok(rules::require(requirement, actual)?)
    }

    /// Applies one mutation. After an error the caller rolls back what it may have written.
    pub fn apply(&mut self, mutation: &Mutation) -> Step<Outcome> {
        Ok(match mutation {
            Mutation::Set { group, key, value, expires_at_ms } => {
                self.set(group, key, value.clone().into_bytes(), *expires_at_ms)?;
                Outcome::Set
            }
            Mutation::Touch { group, key, expires_at_ms } => {
                Outcome::Touched(self.touch(group, key, *expires_at_ms)?)
            }
            Mutation::Increment { group, key, by } => Outcome::Incremented(self.increment(group, key, *by)?),
            Mutation::Delete { group, key } => Outcome::Deleted(self.delete_entry(group, key)?),
            Mutation::DeleteGroup { group } => Outcome::DeletedGroups(self.delete_group(group)?),
            Mutation::DeletePrefix { prefix } => Outcome::DeletedGroups(self.delete_prefix(prefix)?),
            Mutation::Purge { prefix, max } => Outcome::Purged(self.purge(prefix, *max)?),
            Mutation::SetQuota { namespace, quota } => {
                self.set_quota(namespace, *quota)?;
                Outcome::QuotaSet
            }
            Mutation::MoveCursor { name, to, pattern } => self.move_cursor(name, *to, pattern.as_ref())?,
            Mutation::SetNote { name, content } => {
                let path = self.layout().note(name);
                match content {
                    Some(content) => self.put_message(path, &StoredNote { content: content.clone() }),
                    None => self.delete(path),
                }
                Outcome::NoteSet
            }
            // The engine refuses it before it gets here.
            Mutation::SetHistory { .. } => Outcome::HistorySet(false),
        })
    }
}
