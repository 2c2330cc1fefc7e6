//! Tries to restore a backup over the store while it is open. larder refuses that in every process.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use larder::{AsyncStore, Error, Restored, Store};

use super::notes::{Note, Notes};
use super::{Part, Role, backups, open};
use crate::face::Face;
use crate::random::Random;

/// Has the store open for a while, and lets another process restore a backup over it.
pub fn let_others_restore(part: &Part) -> io::Result<()> {
    let notes = Notes::new(&part.notes(part.life))?;
    let mut random = Random::new(part.seed);
    while !part.is_over() {
        // How it fails is noted.
        if let Ok(store) = notes.time("opening", &[], || open(&part.store())) {
            let _ = let_another_restore(part, &store, &notes);
            let _ = notes.time("closing", &[], || store.close());
        }
        sleep(Duration::from_millis(random.below(1_000)));
    }
    Ok(())
}

fn let_another_restore(part: &Part, store: &Store, notes: &Notes) -> larder::Result<()> {
    let backup = backups::path(part);
    notes.time("backing up", &[], || store.backup_to(&backup))?;
    let file = file_of(&part.store());
    let ended = notes.time("a restore that is refused", &[], || {
        let mut command = Command::new(std::env::current_exe().map_err(Error::other)?);
        command.args(["neighbour", &Role::Restore.to_string(), &part.number.to_string()]).arg(&part.folder);
        command.args(["--seed", &part.seed.to_string(), "--until", &part.until.to_string()]);
        command.output().map_err(Error::other)
    })?;
    if ended.status.success() {
        notes.write(&Note::NotRestored);
    } else {
        notes.wrong(format!("another process tried to restore: {}", String::from_utf8_lossy(&ended.stderr)));
    }
    if file_of(&part.store()) != file {
        notes.wrong("a restore that was refused has replaced the file".into());
    }
    backups::clean_up(part).map_err(Error::other)
}

/// Tries it in a process that has not opened the store.
pub fn restore(part: &Part) -> io::Result<()> {
    is_refused(Store::restore(backups::path(part), part.store()).run()).map_err(io::Error::other)
}

/// Tries it in the process that has the store open, on its face.
pub fn restore_here(part: &Part, face: &Face, notes: &Notes) {
    let (backup, target) = (backups::path(part), part.store());
    let restored = match face {
        Face::Blocking(_) => Store::restore(backup, target).run(),
        Face::Async(_, runtime) => runtime.block_on(AsyncStore::restore(backup, target).run()),
    };
    match is_refused(restored) {
        Ok(()) => notes.write(&Note::NotRestored),
        Err(wrong) => notes.wrong(wrong),
    }
}

fn is_refused(restored: larder::Result<Restored>) -> Result<(), String> {
    match restored {
        Err(Error::InUse { .. }) => Ok(()),
        other => Err(format!("a restore over a store that is in use led to {other:?}")),
    }
}

/// Which file has a name.
fn file_of(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}
