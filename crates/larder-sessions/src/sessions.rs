//! The session store.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use larder::{AsyncStore, Condition, Entry, ErrorKind, Whole};
use time::{OffsetDateTime, PrimitiveDateTime};
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::{Error, Result};

/// Stores the sessions of `tower-sessions` in larder, one entry each.
///
/// The entry's key is the session's id as in the cookie, its value is the session's data as JSON, and it
/// expires with the session. So larder removes expired sessions by itself, with an event for each, and no
/// cleanup task is needed. `larder list session` shows the current sessions.
///
/// A scoped store has the sessions of one tenant: no other tenant's cookie opens them, they count towards its
/// quota, and they end when the tenant is deleted.
///
/// No call blocks the executor. A saved session is as durable as the store's
/// [`Durability`](larder::Durability) says, and visible to every process that has the store open.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use larder::AsyncStore;
/// use larder_sessions::Sessions;
/// use tower_sessions::SessionManagerLayer;
///
/// let store = AsyncStore::in_memory().await?; // or open("app.db")
/// let layer = SessionManagerLayer::new(Sessions::new(store.clone()));
/// let layer_of_tenant = SessionManagerLayer::new(Sessions::new(store.scoped("tenant-42")?));
/// # Ok::<(), larder::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// Calls fail with [`Error::Decode`] if an entry is not the JSON of a session, and with [`Error::Backend`],
/// which has the text of the [`larder::Error`] and its causes, if the store refuses or fails.
pub struct Sessions<S = Whole> {
    store: AsyncStore<S>,
    group: String,
}

impl<S: 'static> Sessions<S> {
    /// Creates a session store in the group `session` of a store or scoped store.
    pub fn new(store: AsyncStore<S>) -> Self {
        Self { store, group: "session".into() }
    }

    /// Uses another group, which should have no other entries.
    #[must_use]
    pub fn in_group(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }
}

#[async_trait]
impl<S: 'static> SessionStore for Sessions<S> {
    /// Stores a new session. If its id is already in use, the new session gets another id.
    async fn create(&self, record: &mut Record) -> Result<()> {
        let data = encode(record)?;
        let expires_at = expiry(record.expiry_date);
        loop {
            let key = record.id.to_string();
            let created = self
                .store
                .batch()
                .require(&self.group, &key, Condition::Absent)
                .set_until(&self.group, &key, data.as_slice(), expires_at)
                .commit()
                .await;
            match created {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Conflict => record.id = Id::default(),
                Err(error) => return Err(backend(error)),
            }
        }
    }

    /// Stores a session, and overwrites one with the same id.
    async fn save(&self, record: &Record) -> Result<()> {
        let data = encode(record)?;
        let expires_at = expiry(record.expiry_date);
        let saved = self.store.set_until(&self.group, record.id.to_string(), data, expires_at).await;
        saved.map(drop).map_err(backend)
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let found = self.store.entry(&self.group, id.to_string()).await.map_err(backend)?;
        found.map(|entry| decode(*id, &entry)).transpose()
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.store.delete(&self.group, id.to_string()).await.map(drop).map_err(backend)
    }
}

fn encode(record: &Record) -> Result<Vec<u8>> {
    // Sorted, so that equal sessions are equal text.
    let data: BTreeMap<_, _> = record.data.iter().collect();
    serde_json::to_vec(&data).map_err(|error| Error::Encode(error.to_string()))
}

fn decode(id: Id, entry: &Entry) -> Result<Record> {
    let data = entry.value.json().map_err(|error| Error::Decode(error.to_string()))?;
    // An entry without an expiry: its expiry was removed, or is too far away for a date.
    let never = PrimitiveDateTime::MAX.assume_utc();
    let expiry_date = entry.expires_at.map_or(never, OffsetDateTime::from);
    Ok(Record { id, data, expiry_date })
}

/// The entry's expiry for a session's date. Dates before 1970 count as 1970.
fn expiry(date: OffsetDateTime) -> Option<SystemTime> {
    let ms = u64::try_from(date.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    UNIX_EPOCH.checked_add(Duration::from_millis(ms))
}

fn backend(error: larder::Error) -> Error {
    // tower-sessions keeps the text alone, so the causes have to be in it.
    Error::Backend(format!("{error:#}"))
}

impl<S> Clone for Sessions<S> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), group: self.group.clone() }
    }
}

impl<S> fmt::Debug for Sessions<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("group", &self.group).finish_non_exhaustive()
    }
}
