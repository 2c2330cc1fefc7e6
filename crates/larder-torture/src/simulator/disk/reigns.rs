//! Which files have had the name of the store, one after the other, and what each held when it lost the name.

use std::collections::BTreeMap;

use super::{Disk, FileId};
use crate::simulator::world::Process;

/// A file got the name of the store, or lost it to none.
#[derive(Clone, Copy, Debug)]
pub struct Reign {
    /// `None` where a power cut has undone the making of the store.
    pub file: Option<FileId>,
    /// The process that gave it the name past SQLite, as a restore does; `None` for any other way, such as a power cut.
    pub by: Option<Process>,
}

/// A database and its log.
#[derive(Clone, Debug)]
pub struct Content {
    database: Vec<u8>,
    log: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct Reigns {
    /// The name of the store; empty while nobody asks.
    name: String,
    past: Vec<Reign>,
    /// What each file held when it last lost the name.
    contents: BTreeMap<FileId, Content>,
}

impl Reigns {
    /// Notes from now on which file is called so.
    pub fn follow(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    /// All that began so far.
    pub fn past(&self) -> &[Reign] {
        &self.past
    }

    /// Whether a file was ever called so.
    pub fn has_had(&self, file: FileId) -> bool {
        self.past.iter().any(|reign| reign.file == Some(file))
    }

    /// The files that have lost the name, and what they held.
    pub fn contents(&self) -> &BTreeMap<FileId, Content> {
        &self.contents
    }
}

impl Disk {
    /// The file that has the name of the store, and what it holds.
    pub(super) fn reigning(&self) -> Option<(FileId, Content)> {
        let data = |id: &FileId| self.files.get(id).map(|file| file.data.clone()).unwrap_or_default();
        let file = self.names.get(&self.reigns.name)?;
        let log = self.names.get(&format!("{}-wal", self.reigns.name)).map(data).unwrap_or_default();
        Some((*file, Content { database: data(file), log }))
    }

    /// Whether a name is that of the store.
    pub(super) fn is_of_the_store(&self, name: &str) -> bool {
        name == self.reigns.name
    }

    /// Notes that another file has the name of the store, if so. `former` is the one that had it.
    pub(super) fn note_reign(&mut self, former: Option<(FileId, Content)>, by: Option<Process>) {
        let now = self.names.get(&self.reigns.name).copied();
        if now == former.as_ref().map(|(file, _)| *file) {
            return;
        }
        self.reigns.contents.extend(former);
        self.reigns.past.push(Reign { file: now, by });
    }

    /// Creates files with this content.
    pub fn lay_out(&mut self, name: &str, content: &Content) {
        for (name, data) in [(name.to_owned(), &content.database), (format!("{name}-wal"), &content.log)] {
            let file = self.create(&name, false);
            self.write(file, 0, data);
        }
    }
}
