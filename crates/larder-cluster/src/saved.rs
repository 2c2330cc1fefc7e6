//! Saves the data of all members, and restores it later.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io, thread};

use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::member::{Condition, Member};

/// The data of all members at one moment, as a copy of their disks has it.
///
/// The copy is deleted when this is dropped.
#[derive(Debug)]
pub struct Saved {
    folder: TempDir,
}

impl Cluster {
    /// Copies the data of all members while none of them runs on. Clients only notice a pause.
    ///
    /// # Errors
    /// When a member is killed, or the data cannot be copied.
    pub fn save(&self) -> io::Result<Saved> {
        let folder = tempfile::Builder::new().prefix("saved-").tempdir_in(self.folder())?;
        let paused = self.all.iter().try_for_each(|member| {
            let condition = &mut *member.condition();
            condition.process.as_mut().ok_or_else(|| io::Error::other("a member is killed"))?.pause()
        });
        let copied = paused.and_then(|()| {
            self.all.iter().enumerate().try_for_each(|(number, member)| {
                copy_folder(&data_of(member), &folder.path().join(number.to_string()))
            })
        });
        for member in &self.all {
            if let Some(process) = member.condition().process.as_mut() {
                process.resume()?;
            }
        }
        copied.map(|()| Saved { folder })
    }

    /// Restores the whole cluster from saved data: kills all members, replaces their data, and restarts them at
    /// their addresses. Whatever was written since is gone, and the revisions continue from the saved one. When
    /// this returns, the members may not serve yet: see [`wait_until_ready`](Self::wait_until_ready).
    ///
    /// # Errors
    /// When the data cannot be replaced, or a member does not start.
    pub fn restore(&self, saved: &Saved) -> io::Result<()> {
        for member in &self.all {
            *member.condition() = Condition::default();
        }
        for (number, member) in self.all.iter().enumerate() {
            let data = data_of(member);
            // A member that was replaced since gets its old id back.
            member.set_id(None);
            fs::remove_dir_all(&data)?;
            copy_folder(&saved.folder.path().join(number.to_string()), &data)?;
        }
        // Together, because each waits for the others.
        thread::scope(|scope| {
            let starting: Vec<_> = self.all.iter().map(|member| scope.spawn(|| member.restart())).collect();
            starting.into_iter().try_for_each(|member| {
                member.join().unwrap_or_else(|_| Err(io::Error::other("a member could not be started")))
            })
        })
    }
}

/// The folder in which a member keeps its data.
pub(crate) fn data_of(member: &Member) -> PathBuf {
    member.log.with_file_name(OsStr::new("data"))
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for found in fs::read_dir(from)? {
        let found = found?;
        let target = to.join(found.file_name());
        if found.file_type()?.is_dir() {
            copy_folder(&found.path(), &target)?;
        } else {
            fs::copy(found.path(), &target)?;
        }
    }
    // etcd refuses data that others may read.
    fs::set_permissions(to, fs::metadata(from)?.permissions())
}
