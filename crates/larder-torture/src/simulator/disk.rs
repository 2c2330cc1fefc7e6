//! A disk: what its files hold, what of that would survive a power cut, and the cut itself.
//!
//! Each file is kept in memory, and written to a real file as well: larder looks at names, sizes and inodes by itself, and
//! reads the tail of a log.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::random::Random;

/// A file, whatever it is called.
pub type FileId = u64;

/// The order of changes to names and lengths.
type Moment = u64;

/// What the hardware writes whole or not at all.
const SECTOR: usize = 512;

#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    files: BTreeMap<FileId, File>,
    names: BTreeMap<String, FileId>,
    /// The names that a power cut leaves.
    durable_names: BTreeMap<String, FileId>,
    /// What was done to names since the folder was synced, and when.
    pending_names: Vec<(Moment, Naming)>,
    /// When the folder was synced.
    names_synced: Moment,
    now: Moment,
    next: FileId,
}

#[derive(Clone, Debug)]
enum Naming {
    Created(String, FileId),
    Deleted(String),
}

#[derive(Debug, Default)]
struct File {
    data: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// `None` for a file without a name.
    mirror: Option<fs::File>,
    /// Whether SQLite's own VFS would sync the folder along with the next sync of the file.
    syncs_folder: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Written { offset: usize, bytes: Vec<u8> },
    Truncated(usize, Moment),
}

impl File {
    fn inode(&self) -> Option<u64> {
        Some(self.mirror.as_ref()?.metadata().ok()?.ino())
    }
}

fn write_into(data: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if data.len() < end {
        data.resize(end, 0);
    }
    data[offset..end].copy_from_slice(bytes);
}

impl Change {
    fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Self::Written { offset, bytes } => write_into(data, *offset, bytes),
            Self::Truncated(length, _) => data.resize(*length, 0),
        }
    }

    /// Whether it survives with everything that was done to names up to a moment: file systems log names and lengths
    /// together, in their order.
    fn survives_with(&self, names: Moment) -> bool {
        matches!(self, Self::Truncated(_, at) if *at < names)
    }

    /// Applies each sector, or not.
    fn apply_some(&self, data: &mut Vec<u8>, mut survives: impl FnMut() -> bool) {
        let Self::Written { offset, bytes } = self else {
            if survives() {
                self.apply(data);
            }
            return;
        };
        let (mut at, end) = (*offset, offset + bytes.len());
        while at < end {
            let next = ((at / SECTOR + 1) * SECTOR).min(end);
            if survives() {
                write_into(data, at, &bytes[at - offset..next - offset]);
            }
            at = next;
        }
    }
}

impl Disk {
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            names_synced: 0,
            now: 0,
            next: 1,
        }
    }

    fn tick(&mut self) -> Moment {
        self.now += 1;
        self.now
    }

    fn rename(&mut self, naming: Naming) {
        let at = self.tick();
        self.pending_names.push((at, naming));
    }

    /// The file of a name. larder creates files without the VFS, empty, removes empty ones, and renames backups.
    pub fn find(&mut self, name: &str) -> Option<FileId> {
        let inode = fs::metadata(self.folder.join(name)).ok().map(|found| found.ino());
        if let Some(known) = self.names.get(name).copied() {
            if inode.is_some() && self.files.get(&known).and_then(File::inode) == inode {
                return Some(known);
            }
            self.names.remove(name);
            self.rename(Naming::Deleted(name.to_owned()));
        }
        let inode = inode?;
        let renamed = self.files.iter().find(|(_, file)| file.inode() == Some(inode)).map(|(id, _)| *id);
        Some(match renamed {
            Some(id) => {
                self.names.retain(|_, named| *named != id);
                self.names.insert(name.to_owned(), id);
                self.rename(Naming::Created(name.to_owned(), id));
                id
            }
            None => self.add(name, false),
        })
    }

    /// The path of a file that has a name.
    pub fn path_of(&self, id: FileId) -> Option<PathBuf> {
        let name = self.names.iter().find(|(_, file)| **file == id);
        name.map(|(name, _)| self.folder.join(name))
    }

    /// Whether a file still has a name.
    pub fn is_named(&mut self, id: FileId) -> bool {
        let name = self.names.iter().find(|(_, file)| **file == id).map(|(name, _)| name.clone());
        name.is_some_and(|name| self.find(&name) == Some(id))
    }

    fn mirror(&self, name: &str) -> Option<fs::File> {
        let path = self.folder.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path).ok()
    }

    fn add(&mut self, name: &str, syncs_folder: bool) -> FileId {
        let id = self.next;
        self.next += 1;
        let mirror = self.mirror(name);
        self.files.insert(id, File { mirror, syncs_folder, ..File::default() });
        self.names.insert(name.to_owned(), id);
        self.rename(Naming::Created(name.to_owned(), id));
        id
    }

    /// Creates a file, unless it exists. `is_log` is about a journal or a log.
    pub fn create(&mut self, name: &str, is_log: bool) -> FileId {
        match self.find(name) {
            Some(found) => {
                if let Some(file) = self.files.get_mut(&found).filter(|_| is_log) {
                    file.syncs_folder = true;
                }
                found
            }
            None => self.add(name, is_log),
        }
    }

    /// A file without a name.
    pub fn create_nameless(&mut self) -> FileId {
        let id = self.next;
        self.next += 1;
        self.files.insert(id, File::default());
        id
    }

    /// Deletes a name. Returns whether there was one.
    pub fn delete(&mut self, name: &str) -> bool {
        if self.find(name).is_none() {
            return false;
        }
        self.names.remove(name);
        self.rename(Naming::Deleted(name.to_owned()));
        // What is in the way of the simulation shows itself soon.
        let _ = fs::remove_file(self.folder.join(name));
        true
    }

    pub fn sync_folder(&mut self) {
        self.durable_names.clone_from(&self.names);
        self.pending_names.clear();
        self.names_synced = self.tick();
    }

    pub fn length(&self, id: FileId) -> usize {
        self.files.get(&id).map_or(0, |file| file.data.len())
    }

    /// Reads, and returns how many bytes there were.
    pub fn read(&self, id: FileId, offset: usize, room: &mut [u8]) -> usize {
        let data = self.files.get(&id).and_then(|file| file.data.get(offset..)).unwrap_or_default();
        let length = data.len().min(room.len());
        room[..length].copy_from_slice(&data[..length]);
        length
    }

    pub fn write(&mut self, id: FileId, offset: usize, bytes: &[u8]) {
        let Some(file) = self.files.get_mut(&id) else { return };
        write_into(&mut file.data, offset, bytes);
        if let Some(mirror) = &file.mirror {
            let _ = mirror.write_all_at(bytes, offset as u64);
            file.pending.push(Change::Written { offset, bytes: bytes.to_owned() });
        }
    }

    pub fn truncate(&mut self, id: FileId, length: usize) {
        let at = self.tick();
        let Some(file) = self.files.get_mut(&id) else { return };
        file.data.resize(length, 0);
        if let Some(mirror) = &file.mirror {
            let _ = mirror.set_len(length as u64);
            file.pending.push(Change::Truncated(length, at));
        }
    }

    pub fn sync(&mut self, id: FileId) {
        let Some(file) = self.files.get_mut(&id) else { return };
        for change in file.pending.drain(..) {
            change.apply(&mut file.durable);
        }
        if std::mem::take(&mut file.syncs_folder) {
            self.sync_folder();
        }
    }

    /// Cuts the power, and turns it on again. What was not synced is there, or not, or in part.
    pub fn cut_power(&mut self, random: &mut Random) {
        // Names change in the order in which they were changed, up to some moment.
        let kept = random.place(self.pending_names.len() + 1);
        let mut names = self.durable_names.clone();
        let mut names_until = self.names_synced;
        for (at, naming) in &self.pending_names[..kept] {
            names_until = *at;
            match naming {
                Naming::Created(name, id) => drop(names.insert(name.clone(), *id)),
                Naming::Deleted(name) => drop(names.remove(name)),
            }
        }
        for name in self.names.keys().filter(|name| !names.contains_key(*name)) {
            let _ = fs::remove_file(self.folder.join(name));
        }
        let (mode, share) = (random.below(4), 1 + random.below(7));
        let mut files = BTreeMap::new();
        for (name, id) in &names {
            let Some(mut file) = self.files.remove(id) else { continue };
            let whole = random.place(file.pending.len() + 1);
            let mut is_over = false;
            for (place, change) in file.pending.drain(..).enumerate() {
                match mode {
                    _ if change.survives_with(names_until) => change.apply(&mut file.durable),
                    _ if is_over => {}
                    // Nothing more has reached the disk; or everything up to some moment, and a part of the next.
                    0 => is_over = true,
                    1 if place < whole => change.apply(&mut file.durable),
                    1 => {
                        change.apply_some(&mut file.durable, || random.one_in(2));
                        is_over = true;
                    }
                    // Each sector by itself.
                    _ => change.apply_some(&mut file.durable, || !random.one_in(share)),
                }
            }
            file.data.clone_from(&file.durable);
            file.syncs_folder = false;
            // An old log may have its name back.
            file.mirror = self.mirror(name);
            if let Some(mirror) = &file.mirror {
                let _ = mirror.set_len(file.data.len() as u64);
                let _ = mirror.write_all_at(&file.data, 0);
            }
            files.insert(*id, file);
        }
        self.files = files;
        self.names.clone_from(&names);
        self.durable_names = names;
        self.pending_names.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_cut_keeps_what_was_synced_and_only_that_for_certain() {
        let mut lost = 0;
        for seed in 0..200 {
            let folder = tempfile::tempdir().unwrap();
            let mut disk = Disk::new(folder.path());
            let file = disk.create("a", true);
            disk.write(file, 0, &[1; 1024]);
            disk.sync(file);
            disk.write(file, 512, &[2; 1024]);
            let gone = disk.create("b", true);
            disk.write(gone, 0, &[3; 10]);
            disk.cut_power(&mut Random::new(seed));
            let mut room = [0; 2048];
            let length = disk.read(file, 0, &mut room);
            assert_eq!(room[..512], [1; 512]);
            for sector in [512..1024, 1024..length] {
                assert!(room[sector.clone()].windows(2).all(|two| two[0] == two[1]), "{sector:?}");
            }
            lost += u32::from(room[512] == 1);
            assert_eq!(fs::read(folder.path().join("a")).unwrap(), room[..length]);
            assert_eq!(folder.path().join("b").exists(), disk.find("b").is_some());
        }
        assert!((20..180).contains(&lost), "{lost}");
    }
}
