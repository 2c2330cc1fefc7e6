//! The folder of a cluster, which is deleted at the end.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use crate::keeper::Keeper;

/// Deletes the folder when its input ends. Retries for a while, because a member that is being killed may
/// still write to it.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
while read -r _; do :; done
tries=0
until rm -rf -- "$1" 2>/dev/null || [ "$tries" -ge 50 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
"#;

/// A file system in memory with less free space is not used.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// A folder that is deleted when this is dropped, or soon after this process dies.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
    _keeper: Keeper,
}

impl Scratch {
    /// Makes an empty folder: in memory if possible, unless `on_disk`.
    pub fn new(on_disk: bool) -> io::Result<Self> {
        let memory = Path::new("/dev/shm");
        let parent = if !on_disk && has_space(memory) { memory.to_owned() } else { env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("larder-cluster-").tempdir_in(parent)?;
        let keeper = Keeper::start(SCRIPT, &[folder.path()], Stdio::null())?;
        // From here on the keeper deletes it.
        Ok(Self { folder: folder.keep(), _keeper: keeper })
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }
}

/// Whether this is a file system in memory with space for a cluster or two. It is assumed to be writable.
fn has_space(folder: &Path) -> bool {
    let in_memory = fs::read_to_string("/proc/mounts").is_ok_and(|mounts| {
        mounts.lines().any(|mount| {
            let mut words = mount.split(' ').skip(1);
            words.next().map(Path::new) == Some(folder) && words.next() == Some("tmpfs")
        })
    });
    in_memory && free_bytes(folder).is_some_and(|free| free > FREE_BYTES_MIN)
}

/// The free space, from `df`: the fourth word of its second line, in kibibytes as POSIX prescribes.
fn free_bytes(folder: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg(folder).stderr(Stdio::null()).output().ok()?;
    let output = String::from_utf8(output.stdout).ok()?;
    let free: u64 = output.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    free.checked_mul(1024)
}
