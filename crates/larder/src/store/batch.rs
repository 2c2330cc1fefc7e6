//! Several mutations in one commit.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::scope::Scope;
use super::shared::Open;
use crate::data::Condition;
use crate::data::{Error, Result, Revision, Value, clock};
use crate::engine::{Commit, Mutation, Requirement};

/// Mutations and conditions that take effect together or not at all: see
/// [`Store::batch`](crate::Store::batch).
///
/// The conditions are held against the store as it is before the batch. The mutations are then
/// applied in the order in which they were added, and a quota is held against what they leave
/// behind. All changes of the batch share one revision.
///
/// ```
/// # use larder::{Condition, Store};
/// # let store = Store::in_memory()?;
/// store.set("queue", "job-7", "waiting")?;
/// store
///     .batch()
///     .require("lock", "job-7", Condition::Absent)
///     .set("lock", "job-7", "worker-1")
///     .delete("queue", "job-7")
///     .commit()?;
/// assert!(!store.exists("queue", "job-7")?);
/// # Ok::<(), larder::Error>(())
/// ```
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch<F = Blocking> {
    shared: Arc<Open>,
    scope: Scope,
    commit: Commit,
    /// The first thing that was wrong with a step; `commit` returns it.
    mistake: Option<Error>,
    face: PhantomData<fn() -> F>,
}

/// Marks a [`Batch`] whose `commit` returns when it is done.
#[derive(Debug)]
pub enum Blocking {}

/// Marks a [`Batch`] whose `commit` is awaited.
#[cfg(feature = "tokio")]
#[derive(Debug)]
pub enum Awaited {}

impl<F> Batch<F> {
    pub(crate) fn new(shared: Arc<Open>, scope: Scope) -> Self {
        Self { shared, scope, commit: Commit::default(), mistake: None, face: PhantomData }
    }

    /// Sets an entry that does not expire.
    pub fn set(self, group: impl AsRef<str>, key: impl Into<String>, value: impl Into<Value>) -> Self {
        let group = self.scope.group(group.as_ref()).into_owned();
        self.step(Mutation::Set { group, key: key.into(), value: value.into(), expires_at_ms: None })
    }

    /// Sets an entry that expires after `ttl`, counted from this call. A TTL of zero makes the
    /// commit fail with [`Error::InvalidTtl`].
    pub fn set_with_ttl(
        mut self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
        ttl: Duration,
    ) -> Self {
        let group = self.scope.group(group.as_ref()).into_owned();
        match self.shared.expiry_ms(ttl) {
            Ok(expires_at_ms) => {
                self.step(Mutation::Set { group, key: key.into(), value: value.into(), expires_at_ms })
            }
            Err(error) => {
                self.mistake.get_or_insert(error);
                self
            }
        }
    }

    /// Sets an entry as a transfer does, with the moment at which it expires.
    pub fn set_until(
        self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
        expires_at: Option<std::time::SystemTime>,
    ) -> Self {
        let group = self.scope.group(group.as_ref()).into_owned();
        let expires_at_ms = expires_at.map(clock::ms);
        self.step(Mutation::Set { group, key: key.into(), value: value.into(), expires_at_ms })
    }

    /// Adds `by` to the whole number that an entry holds; an entry that is not there counts as 0.
    pub fn increment(self, group: impl AsRef<str>, key: impl Into<String>, by: i64) -> Self {
        let group = self.scope.group(group.as_ref()).into_owned();
        self.step(Mutation::Increment { group, key: key.into(), by })
    }

    /// Deletes an entry, if it is there.
    pub fn delete(self, group: impl AsRef<str>, key: impl Into<String>) -> Self {
        let group = self.scope.group(group.as_ref()).into_owned();
        self.step(Mutation::Delete { group, key: key.into() })
    }

    /// Deletes a group with all its entries, if it is there.
    pub fn delete_group(self, group: impl AsRef<str>) -> Self {
        let group = self.scope.group(group.as_ref()).into_owned();
        self.step(Mutation::DeleteGroup { group })
    }

    /// Makes the whole batch depend on a condition.
    pub fn require(mut self, group: impl AsRef<str>, key: impl Into<String>, condition: Condition) -> Self {
        let group = self.scope.group(group.as_ref()).into_owned();
        self.commit.requirements.push(Requirement { group, key: key.into(), condition });
        self
    }

    fn step(mut self, mutation: Mutation) -> Self {
        self.commit.mutations.push(mutation);
        self
    }
}

impl Batch {
    /// Takes effect, and returns the revision. Where nothing changed (a batch that is empty, or
    /// only deletes what is not there) that is the revision that the store has.
    ///
    /// # Errors
    /// [`Error::Conflict`] where a condition does not hold, [`Error::QuotaExceeded`],
    /// [`Error::TooLarge`], [`Error::NotANumber`] and the like for what one step asks; nothing at
    /// all was written then.
    pub fn commit(self) -> Result<Revision> {
        if let Some(error) = self.mistake {
            return Err(error);
        }
        let committed = self.shared.commit(self.commit).map_err(|error| self.scope.error(error))?;
        Ok(committed.revision)
    }
}

#[cfg(feature = "tokio")]
impl Batch<Awaited> {
    /// Takes effect, and returns the revision: [`Batch::commit`], awaited.
    ///
    /// # Errors
    /// As there.
    pub async fn commit(self) -> Result<Revision> {
        if let Some(error) = self.mistake {
            return Err(error);
        }
        let committed = self.shared.commit_later(self.commit).await;
        Ok(committed.map_err(|error| self.scope.error(error))?.revision)
    }
}

/// Counts the steps and leaves out their values, which may be secrets.
impl<F> fmt::Debug for Batch<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("prefix", &self.scope.prefix())
            .field("conditions", &self.commit.requirements.len())
            .field("mutations", &self.commit.mutations.len())
            .field("mistake", &self.mistake)
            .finish_non_exhaustive()
    }
}
