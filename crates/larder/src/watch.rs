//! Who hears of changes: watchers, which receive events at their own pace, and callbacks, which run
//! before a write returns.

mod callbacks;
mod index;
mod mailbox;
mod mirror;
mod registry;
mod watcher;

pub use callbacks::Subscription;
#[cfg(feature = "tokio")]
pub(crate) use mirror::Present;
pub use mirror::{Mirror, Update};
pub(crate) use registry::Registry;
#[cfg(feature = "tokio")]
pub(crate) use watcher::Next;
pub use watcher::Watcher;
