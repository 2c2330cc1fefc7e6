//! What a mutation does and whether it is allowed: pure functions that every engine calls. Engines fetch,
//! store and log; the rules decide.

mod admission;
mod condition;
mod cursor;
mod expiry;
mod growth;
mod increment;
mod limits;

pub(crate) use self::admission::{admit, is_within};
pub(crate) use self::condition::require;
pub(crate) use self::cursor::{CursorChange, move_cursor};
pub(crate) use self::expiry::is_live;
pub(crate) use self::growth::{Growth, growth_of_set, needs_tally};
pub(crate) use self::increment::increment;
pub(crate) use self::limits::Limits;
