//! Where the system reports no changed names that a commit could afford to ask for: the names are looked at.

use std::path::Path;

/// Never there.
#[derive(Debug)]
pub(super) enum Notices {}

impl Notices {
    pub fn on<'a>(_files: impl IntoIterator<Item = &'a Path>) -> Option<Self> {
        None
    }

    pub fn count(&self) -> u64 {
        match *self {}
    }
}
