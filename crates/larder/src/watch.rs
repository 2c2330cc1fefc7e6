//! Subscriptions to changes: watchers, mirrors and cursors, which receive events at their own pace, and
//! callbacks, which run before a write returns.

mod acknowledgements;
#[cfg(feature = "tokio")]
pub(crate) mod awaited;
mod cursor;
mod mirror;
mod subscription;
mod watcher;

pub use self::cursor::Cursor;
pub use self::mirror::{Mirror, Update};
pub use self::subscription::Subscription;
pub use self::watcher::Watcher;
