//! The memory that connections share, and their locks on it: the room with `unsafe` for maps of memory.
//!
//! Each process has a map of its own of each region. When a process is killed, its maps become private copies at the
//! same addresses: what its threads still write there while they unwind reaches nobody.
//!
//! Beside the database lies a real file of the index's name, as with SQLite's own VFS, because larder's guards look at it.
//! They also ask the system whether the lock to write is still there, so that one is a real one, too.

#![expect(unsafe_code, reason = "memory that several maps show takes mmap")]

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{c_int, c_void};
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rusqlite::ffi;

use super::disk::FileId;
use super::handles::HandleId;
use super::world::Process;

/// How many locks SQLite has on an index.
const LOCKS: usize = 8;

/// The lock of the writer, and its byte in the file of the index.
const WRITE: usize = 0;
const WRITE_BYTE: libc::off_t = 120;

#[derive(Debug, Default)]
pub struct SharedMemory {
    nodes: BTreeMap<FileId, Node>,
    /// The address of each map.
    maps: BTreeMap<(Process, FileId, usize), Map>,
}

/// The memory of one file.
#[derive(Debug)]
struct Node {
    memory: File,
    /// The file of the index's name, and its path.
    shown: Option<(File, PathBuf)>,
    regions: usize,
    attached: BTreeSet<HandleId>,
    exclusive: [Option<HandleId>; LOCKS],
    /// Who released the lock to write last.
    last_writer: Option<HandleId>,
    shared: [BTreeSet<HandleId>; LOCKS],
}

#[derive(Debug)]
struct Map {
    address: usize,
    bytes: usize,
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and the process that detaches does not use it again.
        unsafe { libc::munmap(self.address as *mut c_void, self.bytes) };
    }
}

impl Map {
    fn new(memory: &File, offset: usize, bytes: usize) -> Option<Self> {
        let offset = libc::off_t::try_from(offset).ok()?;
        // SAFETY: a new map of an open file, at an address that the system chooses.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                memory.as_raw_fd(),
                offset,
            )
        };
        (address != libc::MAP_FAILED).then_some(Self { address: address as usize, bytes })
    }

    /// Makes a private copy of it, at its address.
    fn part(&self) {
        let room = self.address as *mut u8;
        // SAFETY: it is mapped with this length. Only the thread that runs uses it, and that is this one.
        let copy = unsafe { std::slice::from_raw_parts(room, self.bytes) }.to_vec();
        // SAFETY: it replaces a map of this program's own by another of the same length. Pointers into it stay valid.
        let mapped = unsafe {
            libc::mmap(
                room.cast(),
                self.bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            )
        };
        assert!(mapped != libc::MAP_FAILED, "a map could not be replaced");
        // SAFETY: as above; both have the same length.
        unsafe { std::ptr::copy_nonoverlapping(copy.as_ptr(), room, self.bytes) };
    }
}

impl Node {
    /// Sets who has an exclusive lock.
    fn set(&mut self, lock: usize, holder: Option<HandleId>) {
        self.exclusive[lock] = holder;
        if let Some((file, _)) = self.shown.as_ref().filter(|_| lock == WRITE) {
            show_lock(file, holder.is_some());
        }
    }

    fn leave(&mut self, handle: HandleId) {
        self.attached.remove(&handle);
        for lock in 0..LOCKS {
            self.shared[lock].remove(&handle);
            if self.exclusive[lock] == Some(handle) {
                self.set(lock, None);
            }
        }
    }
}

/// Lets the system say that this program has the lock to write, or not.
fn show_lock(file: &File, is_held: bool) {
    let kind = if is_held { libc::F_WRLCK } else { libc::F_UNLCK };
    // SAFETY: a structure of numbers.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = WRITE_BYTE;
    lock.l_len = 1;
    // SAFETY: the descriptor is open, and the structure lives until the call has returned.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) };
    assert!(done == 0, "a lock of nobody else could not be taken");
}

fn show(path: PathBuf) -> Option<(File, PathBuf)> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(&path).ok().map(|file| (file, path))
}

fn new_memory() -> Option<File> {
    // SAFETY: the name ends with a NUL.
    let descriptor = unsafe { libc::memfd_create(c"larder-torture".as_ptr(), libc::MFD_CLOEXEC) };
    // SAFETY: it is open, and nobody else has it.
    (descriptor >= 0).then(|| unsafe { File::from_raw_fd(descriptor) })
}

impl SharedMemory {
    /// Maps a region. `index` is the path of the file that shows it. Null where it does not exist and is not to be created.
    pub fn map(
        &mut self,
        (process, handle, file): (Process, HandleId, FileId),
        region: usize,
        bytes: usize,
        extend: bool,
        index: impl FnOnce() -> Option<PathBuf>,
    ) -> Result<*mut c_void, c_int> {
        if let Entry::Vacant(vacant) = self.nodes.entry(file) {
            let memory = new_memory().ok_or(ffi::SQLITE_IOERR_SHMOPEN)?;
            vacant.insert(Node {
                memory,
                shown: None,
                regions: 0,
                attached: BTreeSet::new(),
                exclusive: [None; LOCKS],
                last_writer: None,
                shared: Default::default(),
            });
        }
        let node = self.nodes.get_mut(&file).ok_or(ffi::SQLITE_IOERR_SHMOPEN)?;
        // Whoever comes first begins with empty memory.
        if node.attached.is_empty() {
            node.memory.set_len(0).map_err(|_| ffi::SQLITE_IOERR_SHMSIZE)?;
            node.regions = 0;
            node.shown = index().and_then(show);
        }
        node.attached.insert(handle);
        if region >= node.regions {
            if !extend {
                return Ok(std::ptr::null_mut());
            }
            node.regions = region + 1;
            let length = (node.regions * bytes) as u64;
            node.memory.set_len(length).map_err(|_| ffi::SQLITE_IOERR_SHMSIZE)?;
        }
        let key = (process, file, region);
        let map = match self.maps.entry(key) {
            Entry::Occupied(map) => map.into_mut(),
            Entry::Vacant(vacant) => {
                let map = Map::new(&node.memory, region * bytes, bytes).ok_or(ffi::SQLITE_IOERR_SHMMAP)?;
                vacant.insert(map)
            }
        };
        Ok(map.address as *mut c_void)
    }

    /// Takes or releases locks, as `xShmLock` of SQLite's documentation says.
    pub fn lock(
        &mut self,
        file: FileId,
        handle: HandleId,
        first: usize,
        count: usize,
        flags: c_int,
    ) -> c_int {
        let Some(node) = self.nodes.get_mut(&file) else { return ffi::SQLITE_IOERR_SHMLOCK };
        let range = first..(first + count).min(LOCKS);
        let is_shared = flags & ffi::SQLITE_SHM_SHARED != 0;
        if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
            for lock in range {
                node.shared[lock].remove(&handle);
                if node.exclusive[lock] == Some(handle) {
                    node.set(lock, None);
                    node.last_writer = (lock == WRITE).then_some(handle);
                }
            }
            return ffi::SQLITE_OK;
        }
        let is_free = range.clone().all(|lock| {
            node.exclusive[lock].is_none_or(|holder| holder == handle)
                && (is_shared || node.shared[lock].iter().all(|holder| *holder == handle))
        });
        if !is_free {
            return ffi::SQLITE_BUSY;
        }
        for lock in range {
            if is_shared {
                node.shared[lock].insert(handle);
            } else {
                node.set(lock, Some(handle));
            }
        }
        ffi::SQLITE_OK
    }

    /// Whether a connection was the last that released the lock to write, and is asked about the first time since.
    pub fn has_just_written(&mut self, file: FileId, handle: HandleId) -> bool {
        self.nodes
            .get_mut(&file)
            .is_some_and(|node| node.last_writer.take_if(|last| *last == handle).is_some())
    }

    /// Whether a connection has the lock to write. Then it issues barriers only while it writes the header.
    pub fn has_write_lock(&self, file: FileId, handle: HandleId) -> bool {
        self.nodes.get(&file).is_some_and(|node| node.exclusive[WRITE] == Some(handle))
    }

    /// Ends what one connection has here, and with the last connection of all also the file that shows it, if
    /// `deletes`. `left` are the connections of its process.
    pub fn unmap(
        &mut self,
        (process, handle, file): (Process, HandleId, FileId),
        left: &[HandleId],
        deletes: bool,
    ) {
        if let Some(node) = self.nodes.get_mut(&file) {
            let was_attached = node.attached.contains(&handle);
            node.leave(handle);
            if deletes
                && was_attached
                && node.attached.is_empty()
                && let Some((_, path)) = node.shown.take()
            {
                // What is in the way of the simulation shows itself soon.
                let _ = std::fs::remove_file(path);
            }
        }
        // A killed process is attached to nothing, and its threads still use its maps.
        if left.iter().all(|other| *other == handle) {
            self.maps.retain(|(owner, of, _), _| (*owner, *of) != (process, file));
        }
    }

    /// Takes a killed process away from the others.
    pub fn detach(&mut self, process: Process, handles: &[HandleId]) {
        for ((owner, _, _), map) in &self.maps {
            if *owner == process {
                map.part();
            }
        }
        for node in self.nodes.values_mut() {
            handles.iter().for_each(|handle| node.leave(*handle));
        }
    }
}
