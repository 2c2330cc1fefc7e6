//! The folder in which a cluster keeps everything, and nothing of it afterwards.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use crate::keeper::Keeper;

/// Removes the folder when its input ends. A member that is just being killed may still be writing, and
/// then the folder is not empty when it should go: hence more than one try, but not for ever.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
while read -r _; do :; done
tries=0
until rm -rf -- "$1" 2>/dev/null || [ "$tries" -ge 50 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
"#;

/// Below this a file system in memory is left alone.
const ROOM_BYTES_MIN: u64 = 1 << 30;

/// A folder that is gone when this is dropped, or soon after this process has died.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
    _keeper: Keeper,
}

impl Scratch {
    /// Makes an empty folder, in memory where that can be had and nobody wants the disk.
    pub fn new(on_disk: bool) -> io::Result<Self> {
        let memory = Path::new("/dev/shm");
        let parent = if !on_disk && has_room(memory) { memory.to_owned() } else { env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("larder-cluster-").tempdir_in(parent)?;
        let keeper = Keeper::start(SCRIPT, &[folder.path()], Stdio::null())?;
        // From here on it is the keeper's.
        Ok(Self { folder: folder.keep(), _keeper: keeper })
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }
}

/// Whether this is a file system in memory with room for a cluster or two. Whether it may be written to
/// shows when the folder is made in it, and a machine where it may not be is not worth a fallback.
fn has_room(folder: &Path) -> bool {
    let in_memory = fs::read_to_string("/proc/mounts").is_ok_and(|mounts| {
        mounts.lines().any(|mount| {
            let mut words = mount.split(' ').skip(1);
            words.next().map(Path::new) == Some(folder) && words.next() == Some("tmpfs")
        })
    });
    in_memory && free_bytes(folder).is_some_and(|free| free > ROOM_BYTES_MIN)
}

/// The fourth word of the second line that `df` says, which POSIX has it count in kibibytes.
fn free_bytes(folder: &Path) -> Option<u64> {
    let said = Command::new("df").arg("-Pk").arg(folder).stderr(Stdio::null()).output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let free: u64 = said.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    free.checked_mul(1024)
}
