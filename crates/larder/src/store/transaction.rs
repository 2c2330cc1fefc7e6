//! A transaction, as its closure sees it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::scope::Scope;
use super::shared::Open;
use super::source::Source;
use super::view::View;
use crate::data::{Condition, Result, Value, clock};
use crate::engine::{Mutation, Outcome, Requirement, Transact};

/// A transaction in progress: it reads everything as it was when it began, with its own writes,
/// and what it writes takes effect when its closure returns `Ok`. See
/// [`Store::transaction`](crate::Store::transaction).
///
/// A quota is held against each write as it is made.
pub struct Transaction {
    view: View,
    engine: Arc<dyn Transact>,
    shared: Arc<Open>,
}

impl Transaction {
    pub(crate) fn new(engine: Arc<dyn Transact>, shared: Arc<Open>, scope: Scope) -> Self {
        let view = View::new(Source::Transaction(Arc::clone(&engine)), scope);
        Self { view, engine, shared }
    }

    /// Sets an entry that does not expire.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::QuotaExceeded`].
    pub fn set(&self, group: impl AsRef<str>, key: impl Into<String>, value: impl Into<Value>) -> Result<()> {
        self.set_until(group, key, value, None)
    }

    /// Sets an entry that expires after `ttl`, counted from this call.
    ///
    /// # Errors
    /// As [`set`](Self::set), and [`Error::InvalidTtl`] where the TTL is zero.
    pub fn set_with_ttl(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
        ttl: Duration,
    ) -> Result<()> {
        let expires_at = self.shared.expiry_ms(ttl)?.map(clock::time);
        self.set_until(group, key, value, expires_at)
    }

    /// Sets an entry with the moment at which it expires, or with none.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_until(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
        expires_at: Option<SystemTime>,
    ) -> Result<()> {
        let group = self.group(group);
        let expires_at_ms = expires_at.map(clock::ms);
        self.apply(Mutation::Set { group, key: key.into(), value: value.into(), expires_at_ms }).map(drop)
    }

    /// Sets an entry if a condition holds for it.
    ///
    /// # Errors
    /// As [`set`](Self::set), and [`Error::Conflict`] where the condition does not hold.
    pub fn set_if(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        condition: Condition,
        value: impl Into<Value>,
    ) -> Result<()> {
        let key = key.into();
        self.require(&group, &key, condition)?;
        self.set(group, key, value)
    }

    /// Fails unless a condition holds for an entry.
    ///
    /// # Errors
    /// [`Error::Conflict`] where it does not hold.
    pub fn require(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        condition: Condition,
    ) -> Result<()> {
        let requirement = Requirement { group: self.group(group), key: key.into(), condition };
        self.engine.require(&requirement).map_err(|error| self.view.scope().error(error))
    }

    /// Deletes an entry; whether it was there.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn delete(&self, group: impl AsRef<str>, key: impl Into<String>) -> Result<bool> {
        let group = self.group(group);
        Ok(self.apply(Mutation::Delete { group, key: key.into() })?.changed())
    }

    /// Deletes an entry if a condition holds for it; whether it was there.
    ///
    /// # Errors
    /// [`Error::Conflict`] where the condition does not hold.
    pub fn delete_if(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        condition: Condition,
    ) -> Result<bool> {
        let key = key.into();
        self.require(&group, &key, condition)?;
        self.delete(group, key)
    }

    /// Gives an entry a new expiry; whether it was there.
    ///
    /// # Errors
    /// [`Error::InvalidTtl`] where the TTL is zero.
    pub fn touch(&self, group: impl AsRef<str>, key: impl Into<String>, ttl: Duration) -> Result<bool> {
        let group = self.group(group);
        let expires_at_ms = self.shared.expiry_ms(ttl)?;
        Ok(self.apply(Mutation::Touch { group, key: key.into(), expires_at_ms })?.changed())
    }

    /// Takes the expiry off an entry; whether it was there.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn persist(&self, group: impl AsRef<str>, key: impl Into<String>) -> Result<bool> {
        let group = self.group(group);
        Ok(self.apply(Mutation::Touch { group, key: key.into(), expires_at_ms: None })?.changed())
    }

    /// Adds `by` to the whole number that an entry holds, and returns the sum; an entry that is not
    /// there counts as 0. The expiry stays.
    ///
    /// # Errors
    /// [`Error::NotANumber`], [`Error::Overflow`], [`Error::QuotaExceeded`].
    pub fn increment(&self, group: impl AsRef<str>, key: impl Into<String>, by: i64) -> Result<i64> {
        let group = self.group(group);
        Ok(self.apply(Mutation::Increment { group, key: key.into(), by })?.sum())
    }

    /// Deletes a group, and returns how many keys it had.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn delete_group(&self, group: impl AsRef<str>) -> Result<u64> {
        let group = self.group(group);
        Ok(self.apply(Mutation::DeleteGroup { group })?.deleted())
    }

    /// Deletes every group whose name starts with `prefix`, and returns how many keys they had.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn delete_prefix(&self, prefix: impl AsRef<str>) -> Result<u64> {
        let prefix = self.group(prefix);
        Ok(self.apply(Mutation::DeletePrefix { prefix })?.deleted())
    }

    fn group(&self, group: impl AsRef<str>) -> String {
        self.view.scope().group(group.as_ref()).into_owned()
    }

    fn apply(&self, mutation: Mutation) -> Result<Outcome> {
        self.shared.limits().check_mutation(&mutation)?;
        self.engine.apply(mutation).map_err(|error| self.view.scope().error(error))
    }
}

impl Deref for Transaction {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("view", &self.view).finish_non_exhaustive()
    }
}
