//! How large names, values and patterns may be.

use super::batch_size::BatchMax;
use crate::data::{Error, Pattern, Result};
use crate::engine::{Commit, Mutation};

/// The longest group or key, in bytes.
const NAME_BYTES_MAX: u64 = 64 << 10;

/// How large things may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How large a value may be by the store's options.
    pub value_bytes_max: u64,
    /// How large the options may let it be, as far as the engine goes.
    pub value_bytes_ceiling: u64,
    /// How many watchers one namespace may have.
    pub watchers_max: u64,
    /// How large a batch or transaction of one namespace may be.
    pub batch_max: BatchMax,
}

impl Limits {
    /// Refuses a commit with anything too large in it, before any of it is written.
    pub fn check(&self, commit: &Commit) -> Result<()> {
        for requirement in &commit.requirements {
            self.check_name("group", &requirement.group)?;
            self.check_name("key", &requirement.key)?;
        }
        commit.mutations.iter().try_for_each(|mutation| self.check_mutation(mutation))
    }

    pub fn check_mutation(&self, mutation: &Mutation) -> Result<()> {
        match mutation {
            Mutation::Set { group, key, value, .. } => {
                self.check_name("group", group)?;
                self.check_name("key", key)?;
                let is_raisable = self.value_bytes_max < self.value_bytes_ceiling;
                let option = is_raisable.then_some("max_value_bytes");
                at_most("value", value.len(), self.value_bytes_max, option)
            }
            Mutation::Touch { group, key, .. }
            | Mutation::Increment { group, key, .. }
            | Mutation::Delete { group, key } => {
                self.check_name("group", group)?;
                self.check_name("key", key)
            }
            Mutation::DeleteGroup { group } => self.check_name("group", group),
            Mutation::DeletePrefix { prefix }
            | Mutation::Purge { prefix, .. }
            | Mutation::SetHistory { prefix, .. } => self.check_name("group", prefix),
            Mutation::SetQuota { namespace: name, .. }
            | Mutation::MoveCursor { name, .. }
            | Mutation::SetNote { name, .. } => self.check_name("group", name),
        }
    }

    /// Refuses a pattern that no name can match.
    pub fn check_pattern(&self, pattern: &Pattern) -> Result<()> {
        self.check_name("group", pattern.group.text())?;
        self.check_name("key", pattern.key.text())
    }

    fn check_name(&self, what: &'static str, name: &str) -> Result<()> {
        at_most(what, name.len(), NAME_BYTES_MAX, None)
    }
}

fn at_most(what: &'static str, size: usize, limit: u64, option: Option<&'static str>) -> Result<()> {
    let size = size as u64;
    if size > limit { Err(Error::TooLarge { what, size, limit, option }) } else { Ok(()) }
}
