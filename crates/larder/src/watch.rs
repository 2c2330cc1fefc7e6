//! Who hears of changes: watchers, which receive events at their own pace, and callbacks, which run
//! before a write returns.

mod acknowledgements;
mod callbacks;
mod cursor;
mod index;
mod mailbox;
mod mirror;
mod registry;
mod since;
mod watcher;

pub use callbacks::Subscription;
#[cfg(feature = "tokio")]
pub(crate) use cursor::Book;
pub use cursor::{Cursor, CursorInfo};
#[cfg(feature = "tokio")]
pub(crate) use mirror::Present;
pub use mirror::{Mirror, Update};
pub(crate) use registry::Registry;
pub use since::{ResumeToken, Since};
#[cfg(feature = "tokio")]
pub(crate) use watcher::Next;
pub use watcher::Watcher;
