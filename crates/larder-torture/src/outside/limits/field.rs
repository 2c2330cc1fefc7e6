//! What is taken away from a process, and how it is given back.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use super::Limit;
use crate::outside::Work;
use crate::outside::answers::Answers;
use crate::outside::disk::{Disk, FileSystem};
use crate::outside::worker::Worker;
use crate::random::Random;

/// How much a disk holds that will be full.
const SMALL: u64 = 48 << 20;

/// How much a disk with btrfs needs at least.
const LARGE: u64 = 128 << 20;

/// Where a process works, and what is taken away from it.
pub struct Field {
    limit: Limit,
    disk: Option<Disk>,
    folder: PathBuf,
    /// The limit on its files or descriptors that the process had before.
    before: Option<(Resource, Rlimit)>,
    /// The limit that is in force.
    now: Option<(Resource, Rlimit)>,
    holder: Option<Worker>,
}

impl Field {
    pub fn new(limit: Limit, random: &mut Random, folder: &Path) -> io::Result<Self> {
        let disk = match limit {
            Limit::FullDisk if random.one_in(2) => Some(Disk::with(FileSystem::Memory, SMALL, folder)?),
            Limit::FullDisk => Some(Disk::with(FileSystem::Ext4InPages, SMALL, folder)?),
            Limit::ReadOnly => Some(Disk::with(FileSystem::Ext4, SMALL, folder)?),
            Limit::Quota => Some(Disk::with(FileSystem::Btrfs, LARGE, folder)?),
            Limit::FileSize | Limit::Descriptors | Limit::Frozen => None,
        };
        let folder = match &disk {
            Some(disk) if limit == Limit::Quota => disk.folder_with_quota()?,
            Some(disk) => disk.path().to_owned(),
            None => folder.to_owned(),
        };
        Ok(Self { limit, disk, folder, before: None, now: None, holder: None })
    }

    /// Where the store lies.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    fn disk(&self) -> io::Result<&Disk> {
        self.disk.as_ref().ok_or_else(|| io::Error::other("there is no disk"))
    }

    /// Takes it away.
    pub fn begin(&mut self, random: &mut Random, worker: &Worker) -> io::Result<()> {
        match self.limit {
            Limit::FullDisk => fill(&self.ballast(), random.below(2) * random.below(256 << 10)),
            Limit::Quota => self.disk()?.set_quota(Some((1 << 20) + random.below(8 << 20))),
            Limit::ReadOnly => self.disk()?.turn_read_only(),
            Limit::FileSize => {
                let log = fs::metadata(self.folder.join("store.db-wal")).map_or(0, |log| log.len());
                self.restrict(Resource::Fsize, random.below(log + (64 << 10)), worker)
            }
            Limit::Descriptors => {
                let open = fs::read_dir(format!("/proc/{}/fd", worker.id()))?.count() as u64;
                self.restrict(Resource::Nofile, open + random.below(4), worker)
            }
            Limit::Frozen => {
                let mut holder = Worker::start(Work::Hold, None, &self.folder)?;
                holder.wait_until_it_begins()?;
                // It may not come to hold anything, if the others write without a pause.
                let holds = holder.line_within(Duration::from_secs(2)).is_some();
                sleep(Duration::from_millis(random.below(if holds { 25 } else { 5 })));
                kill_process(pid(&holder)?, Signal::STOP)?;
                self.holder = Some(holder);
                Ok(())
            }
        }
    }

    fn restrict(&mut self, resource: Resource, to: u64, worker: &Worker) -> io::Result<()> {
        // The process has inherited that of the trial.
        let before = getrlimit(resource);
        let now = Rlimit { current: Some(to), maximum: before.maximum };
        prlimit(Some(pid(worker)?), resource, now)?;
        (self.before, self.now) = (Some((resource, before)), Some((resource, now)));
        Ok(())
    }

    /// Takes it away from another process, too.
    pub fn hold_for(&self, worker: &Worker) -> io::Result<()> {
        let Some((resource, now)) = self.now else { return Ok(()) };
        prlimit(Some(pid(worker)?), resource, now)?;
        Ok(())
    }

    /// Gives it back.
    pub fn end(&mut self, random: &mut Random, worker: &Worker, answers: &mut Answers) -> io::Result<()> {
        match self.limit {
            Limit::FullDisk => fs::remove_file(self.ballast()),
            Limit::Quota => self.disk()?.set_quota(None),
            // The process closes its store when it is refused a write.
            Limit::ReadOnly => self.disk.as_mut().map_or(Ok(()), Disk::mount_again),
            Limit::FileSize | Limit::Descriptors => {
                self.now = None;
                let Some((resource, before)) = self.before.take() else { return Ok(()) };
                prlimit(Some(pid(worker)?), resource, before)?;
                Ok(())
            }
            Limit::Frozen => {
                let Some(holder) = self.holder.take() else { return Ok(()) };
                if random.one_in(2) {
                    kill_process(pid(&holder)?, Signal::CONT)?;
                    sleep(Duration::from_millis(random.below(100)));
                }
                holder.end()?.iter().for_each(|line| answers.take(line));
                Ok(())
            }
        }
    }
}

fn pid(worker: &Worker) -> io::Result<Pid> {
    i32::try_from(worker.id()).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no process"))
}

/// Fills the disk with one file, and leaves some bytes free.
fn fill(ballast: &Path, free: u64) -> io::Result<()> {
    let mut file = File::create(ballast)?;
    let (mut written, zeros) = (0, vec![0; 1 << 20]);
    let mut piece = zeros.len();
    while piece >= 4096 {
        match file.write(zeros.get(..piece).unwrap_or_default()) {
            Ok(length) if length > 0 => written += length as u64,
            _ => piece /= 4,
        }
    }
    file.set_len(u64::saturating_sub(written, free))
}

/// Whether this can be taken away here, or why not.
pub fn possible(limit: Limit) -> Result<(), String> {
    let try_it = || -> io::Result<()> {
        let folder = crate::scratch::folder()?;
        let field = Field::new(limit, &mut Random::new(0), folder.path())?;
        if limit == Limit::Quota {
            field.disk()?.set_quota(Some(1 << 20))?;
        }
        if limit == Limit::FileSize {
            Command::new("sh").arg("-c").arg("true").status()?;
        }
        // A disk that can be made in memory says nothing of the other kind.
        if limit == Limit::FullDisk {
            Disk::with(FileSystem::Ext4InPages, SMALL, crate::scratch::folder()?.path())?;
            Disk::with(FileSystem::Memory, SMALL, crate::scratch::folder()?.path())?;
        }
        Ok(())
    };
    try_it().map_err(|error| error.to_string())
}
