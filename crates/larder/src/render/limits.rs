//! What a template may be, and may use. `docs/templates.md` has this list for users.

use std::time::Duration;

use crate::data::{Error, Result};

/// The most steps of one rendering: one for each part of an expression and each statement that is evaluated,
/// for each element that is looked at, and for each 64 bytes that are searched or compared. It is what ends a
/// rendering: a million steps take less than a second.
pub(super) const STEPS_MAX: u64 = 1_000_000;

/// The most bytes that one rendering makes, in its output and in values on the way to it. What is dropped
/// again still counts, so this also bounds what is held at one time.
pub(super) const BYTES_MAX: u64 = 64 << 20;

/// How long a rendering may take, reads of the store included.
pub(super) const TIME_MAX: Duration = Duration::from_secs(5);

/// How deep lists and maps may lie within each other.
pub(super) const VALUE_DEPTH_MAX: u32 = 128;

/// How deep brackets and blocks of a template may lie within each other.
pub(super) const SYNTAX_DEPTH_MAX: usize = 150;

/// How deep evaluation may nest: blocks, brackets, macros that call each other, recursive loops.
pub(super) const CALL_DEPTH_MAX: usize = 800;

/// The stack of the thread that renders. The deepest template takes a quarter of it, without optimisation. The
/// system gives the memory only as it is used.
pub(super) const STACK_BYTES: usize = 16 << 20;

/// The longest template, in bytes.
const TEMPLATE_BYTES_MAX: usize = 256 << 10;

/// Refuses a template that is too long.
pub(super) fn check(template: &str) -> Result<()> {
    if template.len() > TEMPLATE_BYTES_MAX {
        let (size, limit) = (template.len() as u64, TEMPLATE_BYTES_MAX as u64);
        return Err(Error::TooLarge { what: "template", size, limit, option: None });
    }
    Ok(())
}
