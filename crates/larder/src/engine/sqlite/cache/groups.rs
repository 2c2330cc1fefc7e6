//! The groups and counts of the cache, behind one lock.

use super::figures::FigureShelf;
use super::group_shelf::GroupShelf;

/// The groups, and what is needed to know that they are true.
pub struct Groups<W> {
    /// `None` where the store has no word, and once the cache is closed.
    pub word: Option<W>,
    pub shelf: GroupShelf,
    pub figures: FigureShelf,
    /// What the limits of the shards leave to the groups.
    pub room: usize,
}

impl<W> Groups<W> {
    pub fn new(word: Option<W>, cache_bytes: usize) -> Self {
        let (shelf, figures) = (GroupShelf::new(cache_bytes), FigureShelf::new(cache_bytes));
        Self { word, shelf, figures, room: 0 }
    }
}
