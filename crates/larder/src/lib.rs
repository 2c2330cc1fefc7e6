//! Larder is an embedded, multi-tenant key-value store in one SQLite file, for configuration, session
//! state and per-tenant data. It has groups of keys, expiry, tenants with exact quotas, a change feed and
//! templates.
//!
//! ```
//! use std::time::Duration;
//! use larder::{Quota, Store};
//!
//! # fn main() -> larder::Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("app.db");
//! let store = Store::open(path)?; // such as "app.db"; created if it does not exist
//! store.set("config", "colour", "blue")?; // on disk when the call returns
//! store.set_with_ttl("session", "token", "abc", Duration::from_secs(3600))?;
//!
//! let changes = store.watch(("config", "*"))?;
//! store.set("config", "colour", "green")?;
//! assert_eq!(changes.recv()?.value.unwrap(), "green");
//!
//! let tenant = store.scoped("tenant-42")?;
//! store.set_quota("tenant-42", Quota { max_keys: Some(1000), ..Quota::default() })?;
//! tenant.set("preferences", "locale", "en-GB")?;
//! assert_eq!(tenant.render("{{ locale }}", "preferences")?, "en-GB");
//! # Ok(()) }
//! ```
//!
//! # Where to look
//! - [`Store`] writes and watches, and copies, checks and backs itself up. It derefs to [`View`], which has
//!   every read.
//! - [`ScopedStore`] is a store seen from inside one namespace, which may have a [`Quota`].
//! - [`Batch`] and [`Transaction`] commit several changes as one. A [`Condition`] makes a change depend on the
//!   entry that exists. A [`Snapshot`] keeps showing one moment.
//! - A [`Watcher`] receives every matching [`Event`] at its own pace. A [`Mirror`] first receives the entries
//!   that exist. A [`Cursor`] resumes after a crash where it stopped. A [`Subscription`] keeps a callback
//!   registered.
//! - [`Copying`] moves a store to another place while it is in use.
//! - [`Options`] set how a store is opened. [`Clock`] is where it takes the time from.
//! - [`Error`] is everything that can go wrong.
//!
//! # Features
//! - `templates`, on by default: `View::render` and `View::render_strict`.
//! - `tokio`: `AsyncStore`, the same store for async code.
//! - `etcd`: stores on an etcd cluster, such as `etcd://db1:2379,db2:2379,db3:2379/app`. It needs `protoc` to build.
//! - `serde`: `Serialize` and `Deserialize` for entries, events and figures, as the section below describes.
//!
//! # JSON
//! With the feature `serde`, [`Entry`], [`Event`], [`Page`], [`GroupInfo`], [`NamespaceInfo`], [`Quota`], [`Usage`],
//! [`Finding`], [`Repaired`], [`Stats`], [`CursorInfo`], [`History`], [`HistoryInfo`], [`OldestReader`], [`Value`] and
//! [`Revision`] have the JSON that `larder --json` prints. The page
//! `docs/json.md` of the repository shows the shape of each.
//! - A value that is UTF-8 is the string `value`. Any other value is its bytes in base64, as `value_base64`.
//! - A time is an RFC 3339 string in UTC with milliseconds. A revision is a number.
//! - What is missing is `null`. A reader also accepts that the field is missing, and ignores unknown fields.
//! - [`Pattern`], [`Condition`], [`EventKind`], [`Durability`], [`Consistency`] and [`ResumeToken`] are the
//!   strings that `to_string` returns.
//!
//! ```
//! use larder::{Entry, Store};
//!
//! let store = Store::in_memory()?;
//! store.set("config", "colour", "blue")?;
//! let entry = store.entry("config", "colour")?.unwrap();
//!
//! let json = serde_json::to_string(&entry)?;
//! assert_eq!(json, r#"{"key":"colour","value":"blue","revision":1,"expires_at":null}"#);
//! assert_eq!(serde_json::from_str::<Entry>(&json)?, entry);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "tokio")]
mod async_store;
mod copying;
mod data;
mod delivery;
mod engine;
mod opening;
#[cfg(feature = "templates")]
mod render;
mod rules;
mod store;
mod watch;

#[cfg(feature = "tokio")]
pub use async_store::{
    AsyncBackingUp, AsyncBatch, AsyncCopying, AsyncCursor, AsyncEntryStream, AsyncGroupStream,
    AsyncKeyStream, AsyncMirror, AsyncRestoring, AsyncScopedStore, AsyncSnapshot, AsyncStore, AsyncView,
    AsyncWatcher,
};
pub use copying::{BackedUp, BackingUp, Copied, Copying, Difference, Progress, Stage, UnfinishedCopy};
pub use data::{
    Clock, Condition, Consistency, CursorInfo, Durability, Entries, Entry, Error, ErrorKind, Event,
    EventKind, Feed, Finding, FindingKind, GroupInfo, Health, History, HistoryInfo, IntoIter, Iter, Location,
    ManualClock, NamespaceInfo, OldestReader, Page, ParseError, Pattern, Quota, Repair, Repaired, Resource,
    Result, ResumeToken, Revision, Since, Stats, Usage, Value, WallClock,
};
/// For the command line alone.
#[doc(hidden)]
pub use engine::planted::refuse_links;
/// For the simulator alone.
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub use engine::sabotage::{Sabotage, plant, simulate};
pub use opening::{Options, Restored, Restoring};
#[cfg(feature = "templates")]
pub use render::Reads;
#[cfg(feature = "tokio")]
pub use store::Awaited;
pub use store::{
    Batch, Blocking, EntryStream, GroupStream, KeyStream, ScopedStore, Snapshot, Store, Tenant, Transaction,
    View, Whole,
};
pub use watch::{Cursor, Mirror, Subscription, Update, Watcher};

/// The programs in the README compile.
#[cfg(all(doctest, feature = "templates"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// The program on the page about errors runs.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/errors.md")]
struct Errors;

/// The programs on the page about JSON run.
#[cfg(all(doctest, feature = "serde"))]
#[doc = include_str!("../../../docs/json.md")]
struct Json;
