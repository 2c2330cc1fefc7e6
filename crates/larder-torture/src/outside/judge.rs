//! Whether a disk has what was acknowledged before its power was cut, and no half of anything.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use larder::{Durability, Error, Pattern, Revision, Store};

use super::Work;
use super::answers::Numbered;
use super::worker::{BACKUPS, FILLED, HOLDER, KEPT_BACKUPS, OF_AN_EARLIER_VERSION, open};

type Complaints = Vec<String>;

/// Everything that is wrong with the disk. What was `acknowledged`, by thread and number, has to be there; the `late` ones that came after it,
/// and one that was under way, may be.
pub fn judge(
    work: Work,
    disk: &Path,
    acknowledged: &[Numbered],
    late: u64,
) -> Result<Complaints, Box<dyn std::error::Error>> {
    let numbers = acknowledged.iter().map(|(_, number)| *number);
    let last = numbers.clone().max().unwrap_or_default();
    if work == Work::BareFile {
        let there = std::fs::metadata(disk.join("bare"))?.len() / 100;
        return Ok(out_of(last, late, there, "appended").into_iter().collect());
    }
    let path = disk.join("store.db");
    if work == Work::Create && !path.exists() {
        let lost = (!acknowledged.is_empty())
            .then(|| format!("the file is gone, with {} writes", acknowledged.len()));
        return Ok(lost.into_iter().collect());
    }
    let store = open(&path, Durability::Full)?;
    let mut complaints = sound(&store)?;
    match work {
        Work::Create | Work::Commits | Work::Checkpoints | Work::Persevere | Work::Hold => {
            complaints.extend(writes(&store, acknowledged, late)?)
        }
        Work::Upgrade => {
            complaints.extend(upgraded(&store)?);
            complaints.extend(out_of(
                last,
                late,
                number_in(&store, "after", "the upgrade")?,
                "set after the upgrade",
            ));
        }
        Work::Reopen => {
            let found = number_in(&store, "after", "opening")?;
            complaints.extend(out_of(last, late, found, "set after opening"));
        }
        Work::Backup => {
            // The worker removes an older one after each that is acknowledged, and may have done so after the cut began.
            let kept = KEPT_BACKUPS.saturating_sub(usize::try_from(late)? + 1);
            for number in numbers.rev().take(kept) {
                complaints.extend(backup(disk, number)?);
            }
        }
        Work::Restore => {
            let found = number_in(&store, "which", "is")?;
            if !(last..=last + late + 1).any(|number| number % BACKUPS == found) {
                complaints.push(format!("restore {last} was acknowledged, the backup {found} is there"));
            }
            complaints.extend(filled(&store)?);
        }
        Work::BareFile => {}
    }
    // Whatever happened, the store takes writes again.
    store.set("after", "the cut", "x")?;
    store.close()?;
    Ok(complaints)
}

/// A complaint unless the number that is there is that of the last acknowledged write, or one that may have followed it.
fn out_of(acknowledged: u64, late: u64, there: u64, what: &str) -> Option<String> {
    let allowed = acknowledged..=acknowledged + late + 1;
    (!allowed.contains(&there)).then(|| format!("{what}: {acknowledged} was acknowledged, {there} is there"))
}

/// What `check` and the change log say.
fn sound(store: &Store) -> Result<Complaints, Error> {
    let mut complaints: Complaints =
        store.check()?.into_iter().map(|finding| format!("check: {finding}")).collect();
    let (latest, from) = (store.revision()?, store.stats()?.history_from);
    let watcher = store.watch_from(Pattern::all(), from)?;
    let mut expected = from.0;
    loop {
        match watcher.try_recv() {
            Ok(Some(event)) if event.revision.0 == expected => {}
            Ok(Some(event)) if event.revision.0 == expected + 1 => expected += 1,
            Ok(Some(event)) => {
                complaints.push(format!("the log goes from {expected} to {}", event.revision));
                expected = event.revision.0;
            }
            Ok(None) => break,
            Err(Error::Compacted { oldest }) => expected = oldest.0,
            Err(error) => return Err(error),
        }
    }
    if Revision(expected) < latest {
        complaints.push(format!("the log ends at {expected}, and the store is at {latest}"));
    }
    Ok(complaints)
}

fn number_in(store: &Store, group: &str, key: &str) -> Result<u64, Error> {
    Ok(store.get(group, key)?.and_then(|value| value.parse().ok()).unwrap_or_default())
}

fn writes(store: &Store, acknowledged: &[Numbered], late: u64) -> Result<Complaints, Error> {
    let mut complaints = Complaints::new();
    let mut sum = 0;
    for thread in 0..=HOLDER {
        let last = number_in(store, &format!("tenant-{thread}:numbers"), "last")?;
        sum += last;
        let own = acknowledged.iter().filter(|(writer, _)| *writer == thread);
        let acknowledged = own.map(|(_, number)| *number).max().unwrap_or_default();
        complaints.extend(out_of(acknowledged, late, last, &format!("thread {thread}")));
    }
    let all = number_in(store, "sum", "all")?;
    if all != sum {
        complaints.push(format!("half of a commit: the sum is {all}, the numbers add up to {sum}"));
    }
    Ok(complaints)
}

/// All entries of a store, but those that were written after its upgrade.
fn entries(store: &Store) -> Result<BTreeMap<(String, String), larder::Value>, Error> {
    let mut entries = BTreeMap::new();
    for group in store.groups("")?.into_iter().filter(|group| group.name != "after") {
        for (key, value) in store.get_all(&group.name)? {
            entries.insert((group.name.clone(), key), value);
        }
    }
    Ok(entries)
}

/// Compares with what the same upgrade makes where nothing is cut.
fn upgraded(store: &Store) -> io::Result<Complaints> {
    let mut complaints = Complaints::new();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store.db");
    std::fs::write(&path, OF_AN_EARLIER_VERSION)?;
    let whole = open(&path, Durability::Full).map_err(io::Error::other)?;
    if entries(store).map_err(io::Error::other)? != entries(&whole).map_err(io::Error::other)? {
        complaints.push("the upgraded file has other entries than before".into());
    }
    Ok(complaints)
}

/// A backup that was acknowledged is complete, and has what was written before it.
fn backup(disk: &Path, number: u64) -> Result<Complaints, Error> {
    let path = disk.join(format!("backup-{number}.db"));
    if !path.exists() {
        return Ok(vec![format!("backup {number} was acknowledged and is gone")]);
    }
    let store = Store::options().create(false).open(&path)?;
    let mut complaints = sound(&store)?;
    let next = number_in(&store, "backups", "next")?;
    if next != number {
        complaints.push(format!("backup {number} has the state of {next}"));
    }
    complaints.extend(filled(&store)?);
    Ok(complaints)
}

fn filled(store: &Store) -> Result<Complaints, Error> {
    let entries = store.count("filled")?;
    Ok((entries != FILLED).then(|| format!("{entries} entries instead of {FILLED}")).into_iter().collect())
}
