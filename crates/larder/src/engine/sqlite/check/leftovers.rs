//! Files that ended processes have left beside a store.

use std::path::Path;

use crate::data::{Finding, FindingKind};
use crate::engine::unfinished_by_ended_processes;

/// Unfinished files in the folder of a store, of backups, copies and repairs that were killed. Which store they were
/// made for is not known.
pub(super) fn find(file: &Path) -> Option<Finding> {
    let names = unfinished_by_ended_processes(file.parent()?);
    Finding::of(FindingKind::Leftover, names.into_iter().map(|name| format!("{name:?}")))
}
