//! Subscriptions to changes: watchers, mirrors and cursors, which receive events at their own pace, and
//! callbacks, which run before a write returns.

mod acknowledgements;
mod cursor;
mod mirror;
mod subscription;
mod watcher;

#[cfg(feature = "tokio")]
pub(crate) use self::cursor::Book;
pub use self::cursor::Cursor;
#[cfg(feature = "tokio")]
pub(crate) use self::mirror::Present;
pub use self::mirror::{Mirror, Update};
pub use self::subscription::Subscription;
#[cfg(feature = "tokio")]
pub(crate) use self::watcher::Next;
pub use self::watcher::Watcher;
