//! Notices a tree that leads to the same rows again.

use rusqlite::Row;

use super::step_limit::corrupt;

/// Looks whether names, in the first column of some rows, come in order. A tree that contains itself repeats them.
#[derive(Default)]
pub(super) struct Ascending(Option<Vec<u8>>);

impl Ascending {
    pub fn next(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let name = row.get_ref(0)?.as_bytes()?;
        if self.0.as_deref().is_some_and(|last| last >= name) {
            return Err(corrupt("its names are out of order"));
        }
        let last = self.0.get_or_insert_default();
        last.clear();
        last.extend_from_slice(name);
        Ok(())
    }
}
