//! The handles of a store, and what they share.

mod audience;
mod batch;
mod expiry;
mod handle;
mod nesting;
#[cfg(feature = "tokio")]
pub(crate) mod offload;
mod request;
mod scope;
mod scoped;
mod shared;
mod snapshot;
mod source;
mod stream;
mod transaction;
mod upkeep;
mod view;

pub(crate) use self::audience::Audience;
#[cfg(feature = "tokio")]
pub use self::batch::Awaited;
pub use self::batch::{Batch, Blocking};
#[cfg(feature = "tokio")]
pub(crate) use self::expiry::PURGE_MAX;
pub use self::handle::{ScopedStore, Store, Tenant, Whole};
#[cfg(feature = "tokio")]
pub(crate) use self::request::Request;
pub(crate) use self::scope::Scope;
pub(crate) use self::shared::{Open, Shared};
pub use self::snapshot::Snapshot;
#[cfg(feature = "tokio")]
pub(crate) use self::source::Source;
#[cfg(feature = "tokio")]
pub(crate) use self::stream::AtHand;
pub use self::stream::{EntryStream, KeyStream};
pub use self::transaction::Transaction;
pub use self::view::View;
