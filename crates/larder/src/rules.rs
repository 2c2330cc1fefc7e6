//! What a mutation does and whether it is allowed: pure functions that every engine calls. Engines fetch,
//! store and log; the rules decide.

mod admission;
mod batch_size;
mod condition;
mod cursor;
mod dividing;
mod expiry;
mod growth;
mod history;
mod increment;
mod limits;
mod log_limits;

pub(crate) use self::admission::{admit, is_within};
pub(crate) use self::batch_size::{BatchMax, BatchSize, take_room};
pub(crate) use self::condition::require;
pub(crate) use self::cursor::{CursorChange, admit_cursor, cursor_bytes, move_cursor};
pub(crate) use self::dividing::{DIVIDED_MAX, Division, LOOK_EVERY, SAMPLES, SHARE, may_be_divided};
pub(crate) use self::expiry::is_live;
pub(crate) use self::growth::{Growth, growth_of_set, needs_tally};
pub(crate) use self::history::{Kept, Reading, histories_for, history_of, readings};
pub(crate) use self::increment::increment;
pub(crate) use self::limits::Limits;
pub(crate) use self::log_limits::{LogLimits, Occasion, PRUNE_MIN};
