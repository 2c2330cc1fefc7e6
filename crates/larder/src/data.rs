//! The values that cross the [`Engine`](crate::engine::Engine) trait in either direction. Nothing here knows
//! an engine, a store or a watcher.

pub(crate) mod clock;
mod condition;
mod consistency;
mod durability;
mod entries;
mod entry;
mod error;
mod event;
mod facts;
mod figures;
mod found;
mod locked;
pub(crate) mod namespace;
mod parse;
mod pattern;
mod position;
mod quota;
mod redaction;
mod revision;
#[cfg(feature = "serde")]
mod serialized;
mod token;
mod value;

pub use self::clock::{Clock, ManualClock, WallClock};
pub use self::condition::Condition;
pub use self::consistency::Consistency;
pub use self::durability::Durability;
pub(crate) use self::entries::EntriesBuilder;
pub use self::entries::{Entries, IntoIter, Iter};
pub use self::entry::{Entry, GroupInfo, NamespaceInfo, Page};
pub use self::error::{Error, ErrorKind, Result};
pub use self::event::{Event, EventKind};
pub(crate) use self::facts::Facts;
pub use self::figures::{CursorInfo, Stats};
pub(crate) use self::found::Found;
pub(crate) use self::locked::{locked, unpoisoned};
pub use self::parse::ParseError;
pub(crate) use self::pattern::NamePattern;
pub use self::pattern::Pattern;
pub(crate) use self::position::LogPosition;
pub use self::quota::{Quota, Resource, Usage};
pub(crate) use self::redaction::without_password;
pub use self::revision::Revision;
pub use self::token::{ResumeToken, Since};
pub use self::value::Value;
