//! The session store.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use larder::{AsyncStore, Condition, Entry, ErrorKind, Whole};
use serde_json::Value;
use time::{OffsetDateTime, PrimitiveDateTime};
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::{Error, Result};

/// Stores the sessions of `tower-sessions` in larder, one entry each.
///
/// The entry's key is the session's id as in the cookie, its value is the session's data as JSON, and it
/// expires with the session. An entry expires to the millisecond, so a date that is more precise is in the JSON as well,
/// under `$expires_at`: a session loads exactly as it was saved. So larder removes expired sessions by itself, with an event for each, and no
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

/// The name in the JSON of a date that the entry's own expiry cannot express.
const EXPIRES_AT: &str = "$expires_at";

fn encode(record: &Record) -> Result<Vec<u8>> {
    // Sorted, so that equal sessions are equal text.
    let mut data: BTreeMap<Cow<'_, str>, Cow<'_, Value>> =
        record.data.iter().map(|(name, value)| (escaped(name), Cow::Borrowed(value))).collect();
    let date = record.expiry_date;
    if expiry(date).map(date_of) != Some(Some(date))
        && date != NEVER
        && let Some(time) = system_time(date)
    {
        let text = humantime::format_rfc3339_nanos(time).to_string();
        data.insert(EXPIRES_AT.into(), Cow::Owned(text.into()));
    }
    serde_json::to_vec(&data).map_err(|error| Error::Encode(error.to_string()))
}

fn decode(id: Id, entry: &Entry) -> Result<Record> {
    let read: HashMap<String, Value> =
        entry.value.json().map_err(|error| Error::Decode(error.to_string()))?;
    let mut exact = None;
    let mut data = HashMap::with_capacity(read.len());
    for (name, value) in read {
        if name == EXPIRES_AT {
            exact = value.as_str().and_then(|text| humantime::parse_rfc3339(text).ok()).and_then(date_of);
        } else {
            data.insert(
                name.strip_prefix('$').filter(|name| name.starts_with('$')).unwrap_or(&name).to_owned(),
                value,
            );
        }
    }
    // An entry without an expiry: its expiry was removed, or is too far away for a date.
    let of_entry = entry.expires_at.and_then(date_of).unwrap_or(NEVER);
    // If somebody has given the entry another expiry since, that counts.
    let expiry_date = exact.filter(|exact| expiry(*exact) == entry.expires_at).unwrap_or(of_entry);
    Ok(Record { id, data, expiry_date })
}

/// A name of a session's data, so that none of them is [`EXPIRES_AT`].
fn escaped(name: &str) -> Cow<'_, str> {
    if name.starts_with('$') { format!("${name}").into() } else { name.into() }
}

/// The last date there is.
const NEVER: OffsetDateTime = PrimitiveDateTime::MAX.assume_utc();

/// The last millisecond at which an entry may expire, 9999-12-31T23:59:59.999Z.
const LAST_MS: u64 = 253_402_300_799_999;

/// The entry's expiry for a session's date, not before it. Dates before 1970 count as 1970; a session that would end
/// after the year 9999 never does.
fn expiry(date: OffsetDateTime) -> Option<SystemTime> {
    let nanoseconds = u128::try_from(date.unix_timestamp_nanos()).unwrap_or_default();
    let ms = u64::try_from(nanoseconds.div_ceil(1_000_000)).ok().filter(|ms| *ms <= LAST_MS)?;
    UNIX_EPOCH.checked_add(Duration::from_millis(ms))
}

/// The time of a date from 1970 to 9999.
fn system_time(date: OffsetDateTime) -> Option<SystemTime> {
    let nanoseconds = u128::try_from(date.unix_timestamp_nanos()).ok()?;
    let seconds =
        u64::try_from(nanoseconds / 1_000_000_000).ok().filter(|seconds| *seconds <= LAST_MS / 1000)?;
    let part = u32::try_from(nanoseconds % 1_000_000_000).ok()?;
    UNIX_EPOCH.checked_add(Duration::new(seconds, part))
}

/// The date of a time; `None` if it is too far away for one.
fn date_of(time: SystemTime) -> Option<OffsetDateTime> {
    let since = i128::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()?;
    OffsetDateTime::from_unix_timestamp_nanos(since).ok()
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
