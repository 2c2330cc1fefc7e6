//! Writing, awaited.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::{AsyncBatch, AsyncStore};
use crate::data::{Condition, Result, Revision, Value};
use crate::store::{Batch, PURGE_MAX, Request, Transaction};

/// What is written.
impl<S: 'static> AsyncStore<S> {
    /// See [`Store::set`](crate::Store::set).
    ///
    /// # Errors
    /// As there.
    pub async fn set(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
    ) -> Result<Revision> {
        self.later(Request::set(self.scope(), group, key, value, None)).await
    }

    /// See [`Store::set_json`](crate::Store::set_json).
    ///
    /// # Errors
    /// As there.
    pub async fn set_json(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: &(impl Serialize + ?Sized),
    ) -> Result<Revision> {
        let json = Value::from_json(value);
        self.set(group, key, json?).await
    }

    /// See [`Store::set_with_ttl`](crate::Store::set_with_ttl).
    ///
    /// # Errors
    /// As there.
    pub async fn set_with_ttl(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
        ttl: Duration,
    ) -> Result<Revision> {
        let expires_at_ms = self.store.shared().expiry_ms(ttl)?;
        self.later(Request::set(self.scope(), group, key, value, expires_at_ms)).await
    }

    /// See [`Store::set_until`](crate::Store::set_until).
    ///
    /// # Errors
    /// As there.
    pub async fn set_until(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
        expires_at: Option<SystemTime>,
    ) -> Result<Revision> {
        self.later(Request::set_until(self.scope(), group, key, value, expires_at)).await
    }

    /// See [`Store::set_if`](crate::Store::set_if).
    ///
    /// # Errors
    /// As there.
    pub async fn set_if(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        condition: Condition,
        value: impl Into<Value>,
    ) -> Result<Revision> {
        self.later(Request::set(self.scope(), group, key, value, None).only_if(condition)).await
    }

    /// See [`Store::delete`](crate::Store::delete).
    ///
    /// # Errors
    /// As there.
    pub async fn delete(&self, group: impl AsRef<str>, key: impl Into<String>) -> Result<bool> {
        self.later(Request::delete(self.scope(), group, key)).await
    }

    /// See [`Store::delete_if`](crate::Store::delete_if).
    ///
    /// # Errors
    /// As there.
    pub async fn delete_if(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        condition: Condition,
    ) -> Result<bool> {
        self.later(Request::delete(self.scope(), group, key).only_if(condition)).await
    }

    /// See [`Store::touch`](crate::Store::touch).
    ///
    /// # Errors
    /// As there.
    pub async fn touch(&self, group: impl AsRef<str>, key: impl Into<String>, ttl: Duration) -> Result<bool> {
        let expires_at_ms = self.store.shared().expiry_ms(ttl)?;
        self.later(Request::touch(self.scope(), group, key, expires_at_ms)).await
    }

    /// See [`Store::persist`](crate::Store::persist).
    ///
    /// # Errors
    /// As there.
    pub async fn persist(&self, group: impl AsRef<str>, key: impl Into<String>) -> Result<bool> {
        self.later(Request::touch(self.scope(), group, key, None)).await
    }

    /// See [`Store::increment`](crate::Store::increment).
    ///
    /// # Errors
    /// As there.
    pub async fn increment(&self, group: impl AsRef<str>, key: impl Into<String>, by: i64) -> Result<i64> {
        self.later(Request::increment(self.scope(), group, key, by)).await
    }

    /// See [`Store::delete_group`](crate::Store::delete_group).
    ///
    /// # Errors
    /// As there.
    pub async fn delete_group(&self, group: impl AsRef<str>) -> Result<u64> {
        self.later(Request::delete_group(self.scope(), group)).await
    }

    /// See [`Store::delete_prefix`](crate::Store::delete_prefix).
    ///
    /// # Errors
    /// As there.
    pub async fn delete_prefix(&self, prefix: impl AsRef<str>) -> Result<u64> {
        self.later(Request::delete_prefix(self.scope(), prefix)).await
    }

    /// See [`Store::purge_expired`](crate::Store::purge_expired).
    ///
    /// # Errors
    /// As there.
    pub async fn purge_expired(&self) -> Result<u64> {
        let mut purged = 0;
        loop {
            let step = self.later(Request::purge(self.scope(), PURGE_MAX)).await?;
            purged += step.entries;
            if !step.more {
                return Ok(purged);
            }
        }
    }

    /// See [`Store::batch`](crate::Store::batch); its `commit` is awaited.
    pub fn batch(&self) -> AsyncBatch {
        Batch::new(self.shared(), self.scope().clone())
    }

    /// See [`Store::transaction`](crate::Store::transaction). The closure runs on a thread for what blocks: it reads and writes
    /// through the transaction that it is given, without awaiting anything.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let visits = store.transaction(|tx| tx.increment("stats", "visits", 1)).await?;
    /// assert_eq!(visits, 1);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As there.
    pub async fn transaction<T: Send + 'static>(
        &self,
        body: impl FnMut(&Transaction) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.write(move |store| store.transaction(body)).await
    }
}
