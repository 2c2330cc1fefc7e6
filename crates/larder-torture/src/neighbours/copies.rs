//! Copies of the store while others write: whole, in one transaction, following, and interrupted and made again.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, SystemTime};

use larder::{AsyncStore, Copied, Entry, Error, ErrorKind, Store};

use super::calls::{everything, wall};
use super::notes::{Note, Notes};
use super::quotas;
use crate::face::{Caller, Face, dropped_after};
use crate::moment;
use crate::neighbours::history::{Asked, Limit, Record, Told};
use crate::random::Random;

/// How a copy is made.
#[derive(Clone, Copy)]
enum Way {
    Whole,
    Exactly,
    InOneTransaction,
    /// It cuts over when it asks the so-many-th time.
    Following(u64),
}

impl Way {
    /// Whether a copy that was interrupted may fail so when it is made again.
    fn may_fail_with(self, error: &Error) -> bool {
        match self {
            // What was deleted meanwhile may not be in the log any more, since that of the churn is short.
            Self::Whole => matches!(error, Error::CopyTooOld { .. }),
            // The target has the quotas that the interrupted copy has set, and those of the source have changed.
            Self::InOneTransaction => matches!(error, Error::QuotaExceeded { .. }),
            Self::Exactly | Self::Following(_) => false,
        }
    }
}

/// Makes a copy in some way, on whichever face its builder belongs to.
macro_rules! copying {
    ($copying:expr, $way:expr) => {{
        let copying = $copying;
        match $way {
            Way::Whole => copying,
            Way::Exactly => copying.exactly(),
            Way::InOneTransaction => copying.exactly().in_one_transaction(),
            Way::Following(looks) => {
                let mut left = looks;
                copying.exactly().follow_until(move || {
                    left = left.saturating_sub(1);
                    left == 0
                })
            }
        }
    }};
}

/// Copies the store into one in memory. The copy shows the state of one revision, which it tells.
pub fn copy(client: &str, face: &Face, notes: &Notes, random: &mut Random) -> larder::Result<()> {
    let way = match random.below(8) {
        0 | 1 => Way::InOneTransaction,
        2 => Way::Following(1 + random.below(3)),
        3..6 => Way::Exactly,
        _ => Way::Whole,
    };
    let interrupted = random.one_in(2).then(|| random.below(5));
    let pause = Duration::from_micros(50 << random.below(7));
    match face {
        Face::Blocking(store) => {
            let target = Store::in_memory()?;
            let run = |way, left| run_blocking(store, &target, way, left);
            make(client, notes, &target, [way, way], interrupted, run)?;
            target.close()
        }
        Face::Async(store, runtime) => {
            let target = runtime.block_on(AsyncStore::in_memory())?;
            let run = |way, polls: Option<u64>| {
                let caller = match polls {
                    Some(polls) => Caller::dropping(face, polls).pausing(pause),
                    None => Caller::patient(face),
                };
                match caller.wait(runtime, copying!(store.copy_to(&target), way).run()) {
                    Err(error) if dropped_after(&error).is_some() => Ok(None),
                    copied => copied.map(Some),
                }
            };
            // What a dropped future had begun may be complete by now. Then a copy that is not exact begins anew, and keeps what
            // the source has lost since.
            let again = if matches!(way, Way::Whole) { Way::Exactly } else { way };
            make(client, notes, target.blocking(), [way, again], interrupted, run)?;
            runtime.block_on(target.close())
        }
    }
}

/// Makes a copy, and ends it when it tells its progress once more, as if it were killed. Then there is no result.
fn run_blocking(
    store: &Store,
    target: &Store,
    way: Way,
    left: Option<u64>,
) -> larder::Result<Option<Copied>> {
    let copying = copying!(store.copy_to(target), way);
    let Some(mut left) = left else { return copying.run().map(Some) };
    let copying = copying.on_progress(move |_| match left.checked_sub(1) {
        Some(fewer) => left = fewer,
        None => resume_unwind(Box::new(())),
    });
    catch_unwind(AssertUnwindSafe(|| copying.run())).map_or(Ok(None), |copied| copied.map(Some))
}

/// Makes a copy with or without an interruption, after which it is made in another way, and notes what it holds.
fn make(
    client: &str,
    notes: &Notes,
    target: &Store,
    [way, after_interruption]: [Way; 2],
    interrupted: Option<u64>,
    run: impl Fn(Way, Option<u64>) -> larder::Result<Option<Copied>>,
) -> larder::Result<()> {
    let mut begun = (moment::now(), wall());
    let mut copied = notes.time("copying", &[], || run(way, interrupted))?;
    if copied.is_none() {
        notes.write(&Note::Interrupted);
        let way = after_interruption;
        begun = (moment::now(), wall());
        let again = || notes.time("copying", &[ErrorKind::Stale, ErrorKind::Refused], || run(way, None));
        let mut made = again();
        if let (Way::InOneTransaction, Err(_)) = (way, &made) {
            // The interrupted one has ended by now, so nobody else writes to the target.
            let before = contents(target)?;
            begun = (moment::now(), wall());
            made = again();
            if let (Err(error), Some(change)) =
                (&made, written(&before, &contents(target)?, SystemTime::now()))
            {
                notes.wrong(format!("a refused copy has written something: {change}; {error}"));
            }
        }
        copied = match made {
            Err(error) if way.may_fail_with(&error) => {
                begun = (moment::now(), wall());
                notes.time("copying", &[], || run(Way::Exactly, None))?
            }
            Err(error) => {
                notes.wrong(format!("a copy that was made again failed: {error:?}"));
                return Err(error);
            }
            copied => copied?,
        };
    }
    let (invoked, before) = begun;
    let returned = moment::now();
    let Some(copied) = copied else { return Ok(()) };
    if !copied.is_exact() {
        notes.wrong(format!("a copy that nobody else wrote to differs: {copied:?}"));
    }
    for finding in target.check()? {
        notes.wrong(format!("check of a copy: {finding}"));
    }
    for unfinished in target.unfinished_copies()? {
        notes.wrong(format!("a copy that was made is not complete: {unfinished:?}"));
    }
    let mut shown = vec![Asked::Copy { revision: copied.revision.0, found: everything(target)? }];
    for Limit { namespace, .. } in quotas::first() {
        shown.push(Asked::Quota(Limit::of(&namespace, target.scoped(&namespace)?.quota()?)));
    }
    // What has expired since is gone from the copy, too.
    let wall = (before, wall());
    for asked in shown {
        let (client, told) = (client.to_owned(), Told::Done(None));
        notes.write(&Note::Call(Record { client, invoked, returned, wall, asked, told }));
    }
    Ok(())
}

/// All entries of a store, by group and key.
type Contents = BTreeMap<(String, String), Entry>;

fn contents(store: &Store) -> larder::Result<Contents> {
    let mut contents = Contents::new();
    for group in store.groups("")? {
        for entry in store.entries(&group.name)? {
            let entry = entry?;
            contents.insert((group.name.clone(), entry.key.clone()), entry);
        }
    }
    Ok(contents)
}

/// A change that somebody has written. An entry that has expired goes by itself.
fn written(before: &Contents, after: &Contents, now: SystemTime) -> Option<String> {
    let gone = before
        .iter()
        .filter(|(name, entry)| !after.contains_key(name) && entry.expires_at.is_none_or(|at| at > now))
        .map(|(name, _)| format!("{name:?} is gone"));
    let set = after
        .iter()
        .filter(|(name, entry)| before.get(name).is_none_or(|there| there.revision != entry.revision))
        .map(|(name, _)| format!("{name:?} is set"));
    gone.chain(set).next()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn all_that_is_written_is_seen_and_what_expires_is_not() {
        let store = Store::in_memory().unwrap();
        let minute = Duration::from_secs(60);
        store.set("a", "kept", "1").unwrap();
        store.set_until("a", "passing", "1", Some(SystemTime::now() + minute)).unwrap();
        let later = SystemTime::now() + 2 * minute;
        let before = contents(&store).unwrap();
        assert_eq!(written(&before, &contents(&store).unwrap(), SystemTime::now()), None);

        let mut without = before.clone();
        without.remove(&("a".to_owned(), "passing".to_owned()));
        assert_eq!(written(&before, &without, later), None);
        assert!(written(&before, &without, SystemTime::now()).is_some());

        store.set("a", "kept", "1").unwrap();
        assert!(written(&before, &contents(&store).unwrap(), later).is_some());
        store.delete("a", "kept").unwrap();
        assert!(written(&before, &contents(&store).unwrap(), later).is_some());
    }
}
