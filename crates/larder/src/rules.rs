//! What a mutation does and whether it is allowed: pure functions that every engine calls. Engines fetch,
//! store and log; the rules decide.

mod admission;
mod limits;

pub(crate) use self::admission::admit;
pub(crate) use self::limits::Limits;
