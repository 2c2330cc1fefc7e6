//! Backups that are made again and again under numbered names, and which of them may go.
//!
//! Numbers and not times: a clock that was set back would make the newest backup the oldest.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::OptionalExtension;

use super::copy;
use super::exclusive::Exclusive;
use super::own_rules::open;
use super::probe::immutable;
use crate::engine::NewFile;
use crate::engine::new_file::folder_of;

/// The numbered names of one rotation: `backup.000001.db` and so on, for `backup.db`.
pub(crate) struct Rotation {
    name: PathBuf,
}

impl Rotation {
    pub fn of(name: &Path) -> Self {
        Self { name: name.to_owned() }
    }

    /// The name after the last one that is taken.
    pub fn next_name(&self) -> std::io::Result<PathBuf> {
        let last = self.numbered()?.last().map_or(0, |(number, _)| *number);
        let number = format!(".{:06}", last.saturating_add(1));
        let mut name = self.name.file_stem().unwrap_or_default().to_owned();
        name.push(number);
        if let Some(extension) = self.name.extension() {
            name.push(".");
            name.push(extension);
        }
        Ok(self.name.with_file_name(name))
    }

    /// Marks a backup as one of this rotation.
    pub fn mark(&self, new: &NewFile) -> rusqlite::Result<()> {
        let connection = open(new.path(), rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.execute("INSERT OR REPLACE INTO store VALUES ('rotation', ?1)", [self.mark_text()])?;
        copy::fold(&connection)?;
        connection.close().map_err(|(_, error)| error)
    }

    /// Removes the oldest backups of this rotation, and returns their names. The newest `keep` of them stay, and what
    /// the rotation has not made, or somebody uses.
    pub fn prune(&self, keep: usize) -> std::io::Result<Vec<PathBuf>> {
        let mut made: Vec<PathBuf> =
            self.numbered()?.into_iter().map(|(_, path)| path).filter(|path| self.has_made(path)).collect();
        made.truncate(made.len().saturating_sub(keep));
        made.retain(|path| is_unused(path) && fs::remove_file(path).is_ok());
        Ok(made)
    }

    fn mark_text(&self) -> String {
        self.name.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn has_made(&self, path: &Path) -> bool {
        let mark: Option<String> = immutable(path).and_then(|connection| {
            let mark = connection
                .query_row("SELECT content FROM store WHERE name = 'rotation'", [], |row| row.get(0))
                .optional();
            mark.ok().flatten()
        });
        mark == Some(self.mark_text())
    }

    /// The files that are called as this rotation calls them, by their numbers.
    fn numbered(&self) -> std::io::Result<Vec<(u64, PathBuf)>> {
        let mut found = Vec::new();
        for file in fs::read_dir(folder_of(&self.name))? {
            let path = file?.path();
            let stem = Path::new(path.file_stem().unwrap_or_default());
            // Without an extension the number is the extension.
            let (stem, number) = match self.name.extension() {
                Some(_) => (stem.file_stem(), stem.extension()),
                None => (path.file_stem(), path.extension()),
            };
            let digits = number
                .and_then(|number| number.to_str())
                .filter(|number| number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit()));
            let is_ours = stem == self.name.file_stem()
                && (self.name.extension().is_none() || path.extension() == self.name.extension());
            if let (true, Some(Ok(number))) = (is_ours, digits.map(str::parse)) {
                found.push((number, self.name.with_file_name(path.file_name().unwrap_or_default())));
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Whether nobody has a file open, and it has not become a store that is written to.
fn is_unused(path: &Path) -> bool {
    Exclusive::take(path).is_ok_and(|file| !file.has_log())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_counts_only_names_that_it_could_have_made() {
        let folder = tempfile::tempdir().unwrap();
        let next = |name: &str| {
            let next = Rotation::of(&folder.path().join(name)).next_name().unwrap();
            next.file_name().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!((next("a.db"), next("a")), ("a.000001.db".into(), "a.000001".into()));
        for name in
            ["a.000007.db", "a.000009", "a.9.db", "a.000012.sql", "b.000033.db", "a.00001x.db", "a.db"]
        {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(
            (next("a.db"), next("a"), next("c.db")),
            ("a.000008.db".into(), "a.000010".into(), "c.000001.db".into())
        );
    }
}
