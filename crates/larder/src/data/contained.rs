//! Runs code of the program's (its clock, its wakers, its logger) on a thread that works for all of a store.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::{Error, Result};

/// Runs `act`, and turns a panic in it into an error that names `what` panicked.
///
/// For threads that others wait for: a commit's leader, the expiry timer, a follower. If a panic ended such a thread,
/// every later call would wait forever.
pub(crate) fn caught<T>(what: &'static str, act: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|panic| panicked(what, &*panic))
}

/// The error for a panic of `what`.
pub(crate) fn panicked(what: &'static str, panic: &(dyn Any + Send)) -> Error {
    Error::Panicked { what, reason: said(panic) }
}

/// Runs `act`, and reports a panic in it. Returns `None` after one.
pub(crate) fn contained<T>(what: &'static str, act: impl FnOnce() -> T) -> Option<T> {
    caught(what, act).map_err(|error| report(|| tracing::error!(%error, "the store goes on"))).ok()
}

/// Writes to the log of the program, whose subscriber may panic as well.
pub(crate) fn report(write: impl FnOnce()) {
    // Nobody is left to tell.
    let _ = catch_unwind(AssertUnwindSafe(write));
}

/// What a panic says.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason given".into())
}
