//! The handles of a store, and what they share.

mod audience;
#[cfg(feature = "tokio")]
mod awaited;
mod batch;
mod expiry;
mod handle;
mod histories;
mod in_flight;
mod nesting;
pub(crate) mod offload;
mod purge;
mod quotas;
mod request;
mod running_copies;
mod scope;
mod scoped;
mod shared;
mod snapshot;
mod source;
mod stream;
mod transaction;
mod upkeep;
mod view;
mod writes;

pub(crate) use self::audience::Audience;
#[cfg(feature = "tokio")]
pub use self::awaited::Awaited;
pub use self::batch::{Batch, Blocking};
pub use self::handle::{ScopedStore, Store, Tenant, Whole};
pub(crate) use self::in_flight::InFlight;
pub(crate) use self::request::Request;
pub(crate) use self::scope::Scope;
#[cfg(feature = "tokio")]
pub(crate) use self::scoped::quota_of;
pub(crate) use self::shared::{Open, Shared};
pub use self::snapshot::Snapshot;
pub use self::stream::{EntryStream, GroupStream, KeyStream};
pub use self::transaction::Transaction;
pub use self::view::View;
#[cfg(feature = "tokio")]
pub(crate) use self::view::{page_of, scan_of_page};
