use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use larder::{AsyncStore, Condition, Entry, ErrorKind, Whole};
use time::{OffsetDateTime, PrimitiveDateTime};
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::{Error, Result};

/// Keeps the sessions of `tower-sessions` in a store, an entry each.
///
/// The entry's key is the session's id as the cookie has it, its value the session's data as JSON, its
/// expiry the session's. So larder removes what has expired by itself, with an event for each, and needs
/// no task that deletes; and `larder list session` shows who is there.
///
/// A tenant's store keeps that tenant's sessions: no other tenant's cookie opens them, they count towards
/// its quota, and they end when the tenant is deleted.
///
/// No call blocks the executor. A session that was saved is on the disk, by the
/// [`Durability`](larder::Durability) of the store, and is what every process that has the file open loads
/// from then on.
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
/// Its calls fail with [`Error::Decode`] where an entry holds something else than the JSON of a session,
/// and with [`Error::Backend`], whose text is that of the [`larder::Error`] and its causes, where the store
/// refuses or fails.
pub struct Sessions<S = Whole> {
    store: AsyncStore<S>,
    group: String,
}

impl<S: 'static> Sessions<S> {
    /// Keeps the sessions in the group `session` of a store, which may be a scoped one.
    pub fn new(store: AsyncStore<S>) -> Self {
        Self { store, group: "session".into() }
    }

    /// Keeps them in another group. It should hold nothing else.
    #[must_use]
    pub fn in_group(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }
}

#[async_trait]
impl<S: 'static> SessionStore for Sessions<S> {
    /// Keeps a new session. Where there is one of this id already, it stays as it is, and the new one
    /// gets another id.
    async fn create(&self, record: &mut Record) -> Result<()> {
        let data = encode(record)?;
        let expires_at = expiry(record.expiry_date);
        loop {
            let key = record.id.to_string();
            let kept = self
                .store
                .batch()
                .require(&self.group, &key, Condition::Absent)
                .set_until(&self.group, &key, data.as_slice(), expires_at)
                .commit()
                .await;
            match kept {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Conflict => record.id = Id::default(),
                Err(error) => return Err(backend(error)),
            }
        }
    }

    /// Keeps a session, whether or not there was one of this id.
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
    // Sorted, so that the same session is always the same text.
    let data: BTreeMap<_, _> = record.data.iter().collect();
    serde_json::to_vec(&data).map_err(|error| Error::Encode(error.to_string()))
}

fn decode(id: Id, entry: &Entry) -> Result<Record> {
    let data = entry.value.json().map_err(|error| Error::Decode(error.to_string()))?;
    // One that larder keeps for ever, because somebody has taken its expiry off, or set one that no
    // date can say.
    let never = PrimitiveDateTime::MAX.assume_utc();
    let expiry_date = entry.expires_at.map_or(never, OffsetDateTime::from);
    Ok(Record { id, data, expiry_date })
}

/// When an entry of this expiry is gone; what is before 1970 is gone all the same.
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
