//! The async face: see [`AsyncStore`].

mod backups;
mod copying;
mod cursor;
mod go_store;
mod handle;
mod histories;
mod mirror;
mod opening;
mod quotas;
#[cfg(feature = "templates")]
mod rendering;
mod scoped;
mod snapshot;
mod stream;
mod subscriptions;
mod upkeep;
mod view;
mod watcher;
mod writes;

pub use self::backups::{AsyncBackingUp, AsyncRestoring};
pub use self::copying::AsyncCopying;
pub use self::cursor::AsyncCursor;
pub use self::handle::{AsyncBatch, AsyncScopedStore, AsyncStore};
pub use self::mirror::AsyncMirror;
pub use self::snapshot::AsyncSnapshot;
pub use self::stream::{AsyncEntryStream, AsyncGroupStream, AsyncKeyStream};
pub use self::view::AsyncView;
pub use self::watcher::AsyncWatcher;
