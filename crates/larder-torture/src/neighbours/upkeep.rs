//! What a worker does for the whole store beside its calls: checks, repairs, backups, copies, histories, compaction.

use std::thread::sleep;
use std::time::Duration;

use larder::{History, Repair};

use super::notes::{Note, Notes};
use super::{CHURN, Part, backups, copies};
use crate::face::{Caller, Face, call};
use crate::moment;
use crate::random::Random;

/// Keeps the store up until a moment.
pub fn keep_up(part: &Part, face: &Face, notes: &Notes, mut random: Random, ends: u64) {
    let caller = Caller::patient(face);
    while moment::now() < ends {
        sleep(Duration::from_millis(random.below(300)));
        // How it fails is noted.
        let _ = match random.below(12) {
            0 => notes.time("checking", &[], || call!(caller, |store| store.check())).map(|found| {
                for finding in found.iter().filter(|finding| finding.is_damage()) {
                    notes.wrong(format!("check: {finding}"));
                }
            }),
            1 | 2 => backups::back_up(part, &caller, notes, random.one_in(2)),
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
            9 | 10 => repair(&caller, notes),
            _ => notes.time("statistics", &[], || call!(caller, |store| store.stats())).map(drop),
        };
    }
}

/// What a neighbour has put on larder's tables goes. There is nothing else to correct.
fn repair(caller: &Caller<'_>, notes: &Notes) -> larder::Result<()> {
    let repair = Repair::default().drop_foreign(true);
    let done = notes.time("repairing", &[], || call!(caller, |store| store.repair(repair)))?;
    for finding in done.repaired.iter().chain(&done.left).filter(|finding| finding.is_damage()) {
        notes.wrong(format!("a repair found {finding}"));
    }
    if !done.repaired.is_empty() {
        notes.write(&Note::Repaired);
    }
    Ok(())
}
