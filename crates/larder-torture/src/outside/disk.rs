//! A disk of its own: an image with a file system on it, mounted through a loop device, or one in memory.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::shutdown::shut_down;

const BYTES: u64 = 128 << 20;

/// What a disk is formatted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// With blocks of 1 KiB, since it is small.
    Ext4,
    /// With blocks of 4 KiB, as on any disk that is not small: shared memory has its room before it is written to.
    Ext4InPages,
    /// Its quotas hold for the administrator, too.
    Btrfs,
    /// `tmpfs`, without an image.
    Memory,
}

/// For how long the system may hold on to the file system of processes that have ended.
const RELEASED_WITHIN: Duration = Duration::from_secs(30);

/// A mounted disk. Dropping it unmounts it.
pub struct Disk {
    file_system: FileSystem,
    bytes: u64,
    image: PathBuf,
    at: PathBuf,
    is_mounted: bool,
}

impl Disk {
    /// Makes a disk with an empty ext4 file system in `folder`, and mounts it there.
    pub fn new(folder: &Path) -> io::Result<Self> {
        Self::with(FileSystem::Ext4, BYTES, folder)
    }

    /// Makes a disk with an empty file system and that many bytes in `folder`, and mounts it there.
    pub fn with(file_system: FileSystem, bytes: u64, folder: &Path) -> io::Result<Self> {
        let (image, at) = (folder.join("image"), folder.join("disk"));
        fs::create_dir(&at)?;
        if file_system != FileSystem::Memory {
            File::create(&image)?.set_len(bytes)?;
        }
        match file_system {
            FileSystem::Ext4 => make_ext4(1024, &image)?,
            FileSystem::Ext4InPages => make_ext4(4096, &image)?,
            FileSystem::Btrfs => run(Command::new("mkfs.btrfs").arg("-q").arg(&image))?,
            FileSystem::Memory => {}
        }
        let mut disk = Self { file_system, bytes, image, at, is_mounted: false };
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }

    fn mount(&mut self) -> io::Result<()> {
        let mut command = Command::new("mount");
        match self.file_system {
            FileSystem::Ext4 | FileSystem::Ext4InPages => {
                command.args(["-o", "loop,errors=remount-ro"]).arg(&self.image)
            }
            FileSystem::Btrfs => command.args(["-o", "loop"]).arg(&self.image),
            FileSystem::Memory => {
                command.args(["-t", "tmpfs", "-o", &format!("size={}", self.bytes), "none"])
            }
        };
        run(command.arg(&self.at))?;
        self.is_mounted = true;
        Ok(())
    }

    /// Writes everything to the disk.
    pub fn sync(&self) -> io::Result<()> {
        run(Command::new("sync").arg("--file-system").arg(&self.at))
    }

    /// Cuts the power: whatever was not synced is lost.
    pub fn cut(&self) -> io::Result<()> {
        shut_down(&File::open(&self.at)?)
    }

    /// Mounts the disk again after a cut, as a machine does that starts. No process may have a file of it open.
    pub fn mount_again(&mut self) -> io::Result<()> {
        self.unmount()?;
        self.mount()
    }

    /// Lets the system find a fault of the file system, which makes it read-only under all that have files of it open.
    /// Nobody else could do that to a disk that is written to.
    pub fn turn_read_only(&self) -> io::Result<()> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let is_this = |line: &&str| line.split(' ').nth(1).is_some_and(|at| Path::new(at) == self.at);
        let device = mounts.lines().find(is_this).and_then(|line| line.split(' ').next());
        let Some(device) = device.and_then(|device| device.strip_prefix("/dev/")) else {
            return Err(io::Error::other("the disk is not mounted"));
        };
        fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "a trial")
    }

    /// Makes a folder of a disk with btrfs that can have a quota.
    pub fn folder_with_quota(&self) -> io::Result<PathBuf> {
        run(Command::new("btrfs").args(["quota", "enable"]).arg(&self.at))?;
        let folder = self.at.join("limited");
        run(Command::new("btrfs").args(["subvolume", "create"]).arg(&folder))?;
        Ok(folder)
    }

    /// Sets how many bytes that folder may have, or removes the limit.
    pub fn set_quota(&self, bytes: Option<u64>) -> io::Result<()> {
        let limit = bytes.map_or_else(|| "none".into(), |bytes| bytes.to_string());
        // The first folder of a disk has this number. To ask by its path would itself count against the quota.
        run(Command::new("btrfs").args(["qgroup", "limit", &limit, "0/256"]).arg(&self.at))
    }

    fn unmount(&mut self) -> io::Result<()> {
        let until = Instant::now() + RELEASED_WITHIN;
        loop {
            match run(Command::new("umount").arg(&self.at)) {
                // The system closes the files of a killed process a moment after its end is known.
                Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        self.is_mounted = false;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted
            && let Err(error) = self.unmount()
        {
            eprintln!("{} stays mounted: {error}", self.at.display());
        }
    }
}

fn make_ext4(block: u32, image: &Path) -> io::Result<()> {
    let options = ["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-b", &block.to_string()];
    run(Command::new("mkfs.ext4").args(options).arg(image))
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output().map_err(|error| named(command, &error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(named(command, String::from_utf8_lossy(&output.stderr).trim()))
}

fn named(command: &Command, what: &str) -> io::Error {
    io::Error::other(format!("{}: {what}", command.get_program().to_string_lossy()))
}
