//! Larder is an embedded, multi-tenant key-value store in one SQLite file, for configuration, session
//! state and per-tenant data: groups of keys, expiry, tenants with exact quotas, a change feed and
//! templates.
//!
//! ```
//! use std::time::Duration;
//! use larder::{Quota, Store};
//!
//! # fn main() -> larder::Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("app.db");
//! let store = Store::open(path)?; // e.g. "app.db"; it is made where there is none
//! store.set("config", "colour", "blue")?; // on disk when the call returns
//! store.set_with_ttl("session", "token", "abc", Duration::from_secs(3600))?;
//!
//! let changes = store.watch(("config", "*"))?;
//! store.set("config", "colour", "green")?;
//! assert_eq!(changes.recv()?.value.unwrap(), "green");
//!
//! let tenant = store.scoped("tenant-42")?;
//! tenant.set_quota(Quota { max_keys: Some(1000), ..Quota::default() })?;
//! tenant.set("preferences", "locale", "en-GB")?;
//! assert_eq!(tenant.render("{{ locale }}", "preferences")?, "en-GB");
//! # Ok(()) }
//! ```
//!
//! # Where to look
//! - [`Store`] writes, watches and looks after itself; [`View`] is everything that can be read.
//! - [`ScopedStore`] is a store seen from inside one namespace, with a [`Quota`].
//! - [`Batch`] and [`Transaction`] make several changes one; [`Condition`] makes a change depend on
//!   what is there; [`Snapshot`] holds on to a moment.
//! - [`Watcher`] receives [`Event`]s at its own pace and misses none; [`Mirror`] what is there first;
//!   [`Cursor`] goes on after a crash where it stopped; [`Subscription`] keeps a callback.
//! - [`Copying`] moves a store to another place, while it is written to.
//! - [`Options`] say how a store is opened; [`Clock`] where it takes the time from.
//! - [`Error`] is all that can go wrong.
//!
//! # Features
//! - `templates` (on by default): [`View::render`], with minijinja.
//! - `tokio`: `AsyncStore`, the same store to be awaited.

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
    AsyncBatch, AsyncCursor, AsyncEntryStream, AsyncKeyStream, AsyncMirror, AsyncScopedStore, AsyncSnapshot,
    AsyncStore, AsyncView, AsyncWatcher,
};
pub use copying::{Copied, Copying, Difference, Progress, Stage};
pub use data::{
    Clock, Condition, Consistency, CursorInfo, Durability, Entries, Entry, Error, ErrorKind, Event,
    EventKind, GroupInfo, IntoIter, Iter, ManualClock, NamespaceInfo, Page, Pattern, Quota, Resource, Result,
    ResumeToken, Revision, Since, Stats, Usage, Value, WallClock,
};
pub use opening::Options;
#[cfg(feature = "tokio")]
pub use store::Awaited;
pub use store::{
    Batch, Blocking, EntryStream, KeyStream, ScopedStore, Snapshot, Store, Tenant, Transaction, View, Whole,
};
pub use watch::{Cursor, Mirror, Subscription, Update, Watcher};

/// The README's program compiles.
#[cfg(all(doctest, feature = "templates"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
