//! What the files of a disk are called.
//!
//! larder creates files without the VFS, writes and removes them, and gives finished ones their names. What it asks the C
//! library for is noted as it happens. What it asks the system for itself, an exchange of two names or a name that
//! replaces no other, is found by looking at the folder before the next call.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{Disk, FileId};
use crate::simulator::world::Process;

/// The folder of the real files that have no name.
const ASIDE: &str = "aside";

/// A change to names, which happens at once: what each name leads to afterwards.
#[derive(Clone, Debug, Default)]
pub(super) struct Naming(Vec<(String, Option<FileId>)>);

impl Naming {
    pub fn created(name: &str, id: FileId) -> Self {
        Self(vec![(name.to_owned(), Some(id))])
    }

    fn deleted(name: &str) -> Self {
        Self(vec![(name.to_owned(), None)])
    }

    pub fn apply(&self, names: &mut BTreeMap<String, FileId>) {
        for (name, file) in &self.0 {
            match file {
                Some(id) => drop(names.insert(name.clone(), *id)),
                None => drop(names.remove(name)),
            }
        }
    }
}

/// Undoes an exchange of names, or a renaming.
fn put_back(from: &Path, to: &Path) {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let undone = match renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
        Err(_) => fs::rename(from, to),
        Ok(()) => Ok(()),
    };
    // What is in the way of the simulation shows itself soon.
    let _ = undone;
}

impl Disk {
    pub(super) fn rename(&mut self, naming: Naming, by: Option<Process>) {
        let is_of_the_store = naming.0.iter().any(|(name, _)| self.is_of_the_store(name));
        let former = if is_of_the_store { self.reigning() } else { None };
        naming.apply(&mut self.names);
        if is_of_the_store {
            self.note_reign(former, by);
        }
        let at = self.tick();
        self.pending_names.push((at, naming));
    }

    /// The file of a name.
    pub fn find(&mut self, name: &str) -> Option<FileId> {
        let inode = fs::metadata(self.folder.join(name)).ok().map(|found| found.ino());
        let known = self.names.get(name).copied();
        let Some(inode) = inode else {
            if known.is_some() {
                self.rename(Naming::deleted(name), None);
            }
            return None;
        };
        if let Some(known) = known.filter(|known| self.files.get(known).is_some_and(|file| file.is(inode))) {
            return Some(known);
        }
        match self.of_inode(inode) {
            Some(id) => {
                let mut naming: Vec<_> = self
                    .names
                    .iter()
                    .filter(|(_, of)| **of == id)
                    .map(|(name, _)| (name.clone(), None))
                    .collect();
                naming.push((name.to_owned(), Some(id)));
                self.rename(Naming(naming), None);
                Some(id)
            }
            None => Some(self.add(name, false)),
        }
    }

    /// The file of a path, if it is in the folder. One that larder has created past the VFS is known from now on.
    pub fn known(&mut self, path: &Path) -> Option<FileId> {
        if path.parent() != Some(&self.folder) || !path.is_file() {
            return None;
        }
        self.find(path.file_name()?.to_str()?)
    }

    /// Notes what `by` has made of the names past the C library. A killed process can have done nothing: its names are
    /// put back.
    pub fn look(&mut self, by: Process, is_dead: bool) {
        let Ok(folder) = fs::read_dir(&self.folder) else { return };
        let real: BTreeMap<String, u64> = folder
            .flatten()
            .filter_map(|found| Some((found.file_name().into_string().ok()?, found.ino())))
            .collect();
        let is_known = |name: &String, inode: u64| {
            self.names.get(name).is_some_and(|id| self.files.get(id).is_some_and(|file| file.is(inode)))
        };
        let gone = self.names.iter().filter(|(name, _)| !real.contains_key(*name));
        let gone = gone.map(|(name, _)| (name.clone(), None));
        let moved = real.iter().filter(|(name, inode)| !is_known(name, **inode));
        let moved = moved.map(|(name, inode)| (name.clone(), self.of_inode(*inode)));
        // What the disk has never seen becomes a file when it is opened.
        let moved = moved.filter(|(name, id)| id.is_some() || self.names.contains_key(name));
        let naming: Vec<_> = gone.chain(moved).collect();
        if naming.is_empty() {
            return;
        }
        if !is_dead {
            return self.rename(Naming(naming), Some(by));
        }
        for (name, id) in self.names.clone() {
            let inode = |disk: &Self| fs::metadata(disk.folder.join(&name)).ok().map(|found| found.ino());
            let own = self.files.get(&id).and_then(|file| file.mirror.as_ref()).map(|mirror| mirror.inode);
            let now = real.iter().find(|(_, inode)| own == Some(**inode)).map(|(now, _)| now);
            if let Some(now) = now.filter(|_| inode(self) != own) {
                put_back(&self.folder.join(now), &self.folder.join(&name));
            }
        }
    }

    /// The path of a file that has a name.
    pub fn path_of(&self, id: FileId) -> Option<PathBuf> {
        let name = self.names.iter().find(|(_, file)| **file == id);
        name.map(|(name, _)| self.folder.join(name))
    }

    /// Deletes a name. Returns whether there was one.
    pub fn delete(&mut self, name: &str) -> bool {
        if self.find(name).is_none() {
            return false;
        }
        self.rename(Naming::deleted(name), None);
        // What is in the way of the simulation shows itself soon.
        let _ = fs::remove_file(self.folder.join(name));
        true
    }

    /// Where the real file of one without a name lies, if a power cut may give it a name again.
    pub(super) fn aside(&self, id: FileId) -> PathBuf {
        self.folder.join(ASIDE).join(id.to_string())
    }

    /// Takes the real file of a name away, without removing it.
    pub(super) fn put_aside(&self, name: &str, id: FileId) {
        // What is in the way of the simulation shows itself soon.
        let _ = fs::create_dir_all(self.folder.join(ASIDE));
        let _ = fs::rename(self.folder.join(name), self.aside(id));
    }

    /// Removes the real file of a name. Returns whether it has.
    pub fn unlink(&self, name: &str) -> bool {
        match self.names.get(name) {
            Some(id) if self.reigns.has_had(*id) => self.put_aside(name, *id),
            _ => return fs::remove_file(self.folder.join(name)).is_ok(),
        }
        true
    }

    pub fn sync_folder(&mut self) {
        self.durable_names.clone_from(&self.names);
        self.pending_names.clear();
        self.names_synced = self.tick();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rustix::fs::{CWD, RenameFlags, renameat_with};

    use super::*;
    use crate::random::Random;
    use crate::simulator::disk::Reign;

    fn exchange(folder: &Path) {
        let (store, other) = (folder.join("store"), folder.join("other"));
        renameat_with(CWD, store, CWD, other, RenameFlags::EXCHANGE).unwrap();
    }

    fn inode(path: PathBuf) -> u64 {
        fs::metadata(path).unwrap().ino()
    }

    #[test]
    fn an_exchange_of_names_survives_a_power_cut_as_a_whole_or_not_at_all_and_certainly_once_it_is_synced() {
        let mut undone = 0;
        for seed in 0..100 {
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path();
            let mut disk = Disk::new(folder);
            disk.reigns.follow("store");
            let files = ["store", "other"].map(|name| disk.create(name, false));
            for (file, content) in files.into_iter().zip([b"old", b"new"]) {
                disk.write(file, 0, content);
                disk.sync(file);
            }
            disk.sync_folder();
            let inodes = ["store", "other"].map(|name| inode(folder.join(name)));
            exchange(folder);
            disk.look(7, false);
            assert_eq!(
                disk.reigns.past().last().map(|reign| (reign.file, reign.by)),
                Some((Some(files[1]), Some(7)))
            );
            let is_synced = seed % 2 == 0;
            if is_synced {
                disk.sync_folder();
            }
            // The old file goes with its new name.
            assert!(disk.unlink("other"));
            disk.look(7, false);
            disk.cut_power(&mut Random::new(seed));
            let is_new = disk.find("store") == Some(files[1]);
            assert!(is_new || !is_synced);
            undone += u32::from(!is_new);
            let place = usize::from(is_new);
            assert_eq!(fs::read(folder.join("store")).unwrap(), [b"old", b"new"][place]);
            assert_eq!(inode(folder.join("store")), inodes[place], "it is the same file");
            let Some(Reign { file: Some(file), .. }) = disk.reigns.past().last().copied() else {
                panic!("nobody")
            };
            assert_eq!(file, files[place]);
        }
        assert!((5..45).contains(&undone), "{undone}");
    }

    #[test]
    fn what_a_killed_process_does_to_names_is_undone() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut disk = Disk::new(folder);
        let [store, other] = ["store", "other"].map(|name| disk.create(name, false));
        let inodes = ["store", "other"].map(|name| inode(folder.join(name)));
        exchange(folder);
        disk.look(7, true);
        assert_eq!((disk.find("store"), disk.find("other")), (Some(store), Some(other)));
        fs::rename(folder.join("other"), folder.join("third")).unwrap();
        disk.look(7, true);
        assert_eq!(["store", "other"].map(|name| inode(folder.join(name))), inodes);
        assert!(!folder.join("third").exists());
    }
}
