//! A disk: what its files hold, and what of that would survive a power cut.
//!
//! Each file is kept in memory, and written to a real file as well: larder looks at names, sizes and inodes by itself, and
//! reads the tail of a log.

mod names;
mod power_cut;
mod reigns;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use self::names::Naming;
pub use self::reigns::Reign;
use self::reigns::Reigns;

/// A file, whatever it is called.
pub type FileId = u64;

/// The order of changes to names and lengths.
type Moment = u64;

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
    pub reigns: Reigns,
}

#[derive(Debug, Default)]
struct File {
    data: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// `None` for a file without a name.
    mirror: Option<Mirror>,
    /// Whether SQLite's own VFS would sync the folder along with the next sync of the file.
    syncs_folder: bool,
}

/// The real file that holds the same.
#[derive(Debug)]
struct Mirror {
    file: fs::File,
    inode: u64,
}

impl Mirror {
    fn open(path: &Path) -> Option<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).ok()?;
        let inode = file.metadata().ok()?.ino();
        Some(Self { file, inode })
    }
}

#[derive(Clone, Debug)]
enum Change {
    Written { offset: usize, bytes: Vec<u8> },
    Truncated(usize, Moment),
}

impl File {
    fn is(&self, inode: u64) -> bool {
        self.mirror.as_ref().is_some_and(|mirror| mirror.inode == inode)
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
            reigns: Reigns::default(),
        }
    }

    fn tick(&mut self) -> Moment {
        self.now += 1;
        self.now
    }

    fn add(&mut self, name: &str, syncs_folder: bool) -> FileId {
        let id = self.next;
        self.next += 1;
        let mirror = Mirror::open(&self.folder.join(name));
        self.files.insert(id, File { mirror, syncs_folder, ..File::default() });
        self.rename(Naming::created(name, id), None);
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
            let _ = mirror.file.write_all_at(bytes, offset as u64);
            file.pending.push(Change::Written { offset, bytes: bytes.to_owned() });
        }
    }

    pub fn truncate(&mut self, id: FileId, length: usize) {
        let at = self.tick();
        let Some(file) = self.files.get_mut(&id) else { return };
        file.data.resize(length, 0);
        if let Some(mirror) = &file.mirror {
            let _ = mirror.file.set_len(length as u64);
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

    /// The file that larder has open by itself, by the inode of its real file.
    pub fn of_inode(&self, inode: u64) -> Option<FileId> {
        self.files.iter().find(|(_, file)| file.is(inode)).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

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
