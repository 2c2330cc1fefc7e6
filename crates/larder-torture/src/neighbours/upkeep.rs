//! What a worker does for the whole store beside its calls: checks, backups, copies, histories, compaction.

use std::fs;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use larder::History;

use super::calls::{everything, wall};
use super::notes::{Note, Notes};
use super::{CHURN, Part, copies, open, quotas};
use crate::face::{Caller, Face, call};
use crate::moment;
use crate::neighbours::history::{Asked, Limit, Record, Told};
use crate::random::Random;

/// Keeps the store up until a moment.
pub fn keep_up(part: &Part, face: &Face, notes: &Notes, mut random: Random, ends: u64) {
    let caller = Caller::patient(face);
    while moment::now() < ends {
        sleep(Duration::from_millis(random.below(300)));
        // How it fails is noted.
        let _ = match random.below(10) {
            0 => notes.time("checking", &[], || call!(caller, |store| store.check())).map(|found| {
                for finding in found.iter().filter(|finding| finding.is_damage()) {
                    notes.wrong(format!("check: {finding}"));
                }
            }),
            1 | 2 => back_up(part, &caller, notes),
            3 | 4 => {
                let client = format!("copy of {}", part.name());
                (0..=random.below(20)).try_for_each(|_| copies::copy(&client, face, notes, &mut random))
            }
            5 => notes.time("compacting", &[], || call!(caller, |store| store.compact())).map(drop),
            6 => notes.time("purging", &[], || call!(caller, |store| store.purge_expired())).map(drop),
            7 => {
                let history = History { changes: 20 + random.below(100), ..History::default() };
                notes.time("setting a history", &[], || {
                    call!(caller, |store| store.set_history(CHURN, history))
                })
            }
            8 => notes
                .time("the history of a key", &[], || call!(caller, |store| store.history("plain", "k0")))
                .map(drop),
            _ => notes.time("statistics", &[], || call!(caller, |store| store.stats())).map(drop),
        };
    }
}

/// A backup is a read of everything: it shows one state of the time in which it was made.
fn back_up(part: &Part, caller: &Caller<'_>, notes: &Notes) -> larder::Result<()> {
    let path = part.folder.join(format!("{}{}.db", backups(part), part.life));
    let (invoked, before) = (moment::now(), wall());
    notes.time("backing up", &[], || call!(caller, |store| store.backup_to(&path)))?;
    let returned = moment::now();
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

/// How the names of its backups begin.
fn backups(part: &Part) -> String {
    format!("backup-{}-", part.number)
}

/// Removes the backups of a process, also what was left behind when it was killed.
pub fn clean_up(part: &Part) -> io::Result<()> {
    for entry in fs::read_dir(&part.folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().contains(&backups(part)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
