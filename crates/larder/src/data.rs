//! The values that cross the [`Engine`](crate::engine::Engine) trait in either direction. Nothing here knows
//! an engine, a store or a watcher.

pub(crate) mod clock;
mod clock_watch;
mod condition;
mod consistency;
mod contained;
mod durability;
mod entries;
mod entry;
mod error;
mod event;
mod facts;
mod figures;
mod finding;
mod found;
mod health;
mod history;
mod location;
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
mod small_value;
mod token;
mod value;

pub use self::clock::{Clock, ManualClock, WallClock};
pub(crate) use self::clock_watch::ClockWatch;
pub use self::condition::Condition;
pub use self::consistency::Consistency;
#[cfg(feature = "etcd")]
pub(crate) use self::contained::panicked;
pub(crate) use self::contained::{caught, contained, report};
pub use self::durability::Durability;
pub(crate) use self::entries::EntriesBuilder;
pub use self::entries::{Entries, IntoIter, Iter};
pub use self::entry::{Entry, GroupInfo, NamespaceInfo, Page};
pub(crate) use self::error::Cause;
pub use self::error::{Error, ErrorKind, Result};
pub use self::event::{Event, EventKind};
pub(crate) use self::facts::Facts;
pub use self::figures::{CursorInfo, OldestReader, Stats};
pub(crate) use self::finding::{EXAMPLES_MAX, counted};
pub use self::finding::{Finding, FindingKind, Repair, Repaired};
pub(crate) use self::found::Found;
pub use self::health::{Feed, Health};
pub use self::history::{History, HistoryInfo};
pub use self::location::Location;
pub(crate) use self::locked::{locked, unpoisoned};
pub use self::parse::ParseError;
pub(crate) use self::pattern::NamePattern;
pub use self::pattern::Pattern;
pub(crate) use self::position::LogPosition;
pub use self::quota::{Quota, Resource, Usage};
#[cfg(feature = "etcd")]
pub(crate) use self::redaction::Secret;
pub(crate) use self::redaction::{looks_like_credentials, without_password};
pub use self::revision::Revision;
pub(crate) use self::small_value::{Peeked, SmallValue};
pub use self::token::{ResumeToken, Since};
pub use self::value::Value;
