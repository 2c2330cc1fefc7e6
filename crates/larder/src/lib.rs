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

#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
#[cfg(feature = "tokio")]
mod async_store;
mod batch;
mod clock;
mod copying;
mod engine;
mod entries;
mod entry;
mod error;
mod event;
mod expiry;
mod found;
mod location;
mod options;
mod quota;
#[cfg(feature = "templates")]
mod render;
mod request;
mod revision;
mod scoped;
mod shared;
mod snapshot;
mod store;
mod stream;
#[cfg(any(feature = "tokio", feature = "etcd"))]
mod task;
mod transaction;
mod upkeep;
mod value;
mod view;
mod watch;

#[cfg(feature = "tokio")]
pub use async_store::{
    AsyncBatch, AsyncCursor, AsyncEntryStream, AsyncKeyStream, AsyncMirror, AsyncScopedStore, AsyncSnapshot,
    AsyncStore, AsyncView, AsyncWatcher, Awaited,
};
pub use batch::{Batch, Blocking, Condition};
pub use clock::{Clock, ManualClock, WallClock};
pub use copying::{Copied, Copying, Difference, Progress, Stage};
pub use entries::{Entries, IntoIter, Iter};
pub use entry::{Entry, GroupInfo, NamespaceInfo, Page};
pub use error::{Error, Result};
pub use event::{Event, EventKind, Pattern};
pub use options::{Consistency, Durability, Options};
pub use quota::{Quota, Resource, Usage};
pub use revision::Revision;
pub use snapshot::Snapshot;
pub use store::{ScopedStore, Store, Tenant, Whole};
pub use stream::{EntryStream, KeyStream};
pub use transaction::Transaction;
pub use upkeep::Stats;
pub use value::Value;
pub use view::View;
pub use watch::{Cursor, CursorInfo, Mirror, ResumeToken, Since, Subscription, Update, Watcher};

/// The README's program compiles.
#[cfg(all(doctest, feature = "templates"))]
#[doc = include_str!("../README.md")]
struct Readme;
