//! The backups that a process makes.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::calls::{everything, wall};
use super::notes::{Note, Notes};
use super::{Part, open, quotas, restorer};
use crate::face::{Caller, call};
use crate::moment;
use crate::neighbours::history::{Asked, Limit, Record, Told};

/// A backup is a read of everything: it shows one state of the time in which it was made.
pub fn back_up(part: &Part, caller: &Caller<'_>, notes: &Notes, restores: bool) -> larder::Result<()> {
    let path = path(part);
    let (invoked, before) = (moment::now(), wall());
    notes.time("backing up", &[], || call!(caller, |store| store.backup_to(&path)))?;
    let returned = moment::now();
    if restores {
        restorer::restore_here(part, caller.face, notes);
    }
    let backup = open(&path)?;
    for finding in backup.check()?.iter().filter(|finding| finding.is_damage()) {
        notes.wrong(format!("check of a backup: {finding}"));
    }
    let mut shown = vec![Asked::Read(everything(&backup)?)];
    for Limit { namespace, .. } in quotas::first() {
        shown.push(Asked::Quota(Limit::of(&namespace, backup.scoped(&namespace)?.quota()?)));
    }
    // What has expired since is gone from the backup, too.
    let wall = (before, wall());
    for asked in shown {
        let (client, told) = (format!("backup of {}", part.name()), Told::Done(None));
        notes.write(&Note::Call(Record { client, invoked, returned, wall, asked, told }));
    }
    backup.close()?;
    clean_up(part).map_err(larder::Error::other)
}

/// Where a process makes one.
pub fn path(part: &Part) -> PathBuf {
    part.folder.join(format!("{}{}.db", names(part), part.life))
}

/// How the names of its backups begin.
fn names(part: &Part) -> String {
    format!("backup-{}-", part.number)
}

/// Removes the backups of a process, also what was left behind when it was killed.
pub fn clean_up(part: &Part) -> io::Result<()> {
    for entry in fs::read_dir(&part.folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().contains(&names(part)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
