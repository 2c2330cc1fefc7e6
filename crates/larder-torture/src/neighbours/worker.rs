//! A process that uses the store with larder: it opens it, calls, follows, keeps it up, closes it, and begins again.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use larder::ErrorKind;

use super::calls::Caller;
use super::feeds::Feeds;
use super::notes::Notes;
use super::{Part, backups, options, upkeep};
use crate::face::{self, Face};
use crate::moment;
use crate::random::Random;

/// How many threads of a worker call.
const CALLERS: u64 = 2;

/// What a worker says once it calls no more.
pub const SILENT: &str = "silent";

/// Works until the time is over; follows until the last change was told.
pub fn work(part: &Part) -> io::Result<()> {
    let notes = Notes::new(&part.notes(part.life))?;
    backups::clean_up(part)?;
    let mut random = Random::new(part.seed);
    let mut feeds = Feeds::new(part)?;
    let mut calls = 0;
    let mut is_last = false;
    while !is_last {
        let life = Duration::from_millis(500 + random.below(4_000)).as_nanos();
        let ends = moment::now().saturating_add(u64::try_from(life).unwrap_or(u64::MAX)).min(part.until);
        is_last = ends >= part.until;
        let opened = notes.time("opening", &[], || Face::open(options(), &part.store(), part.is_async()));
        let face = match opened {
            Ok(face) => face,
            // The judge knows whether it may be busy.
            Err(error) if error.kind() == ErrorKind::Busy => {
                is_last = false;
                continue;
            }
            Err(error) => return Err(io::Error::other(error)),
        };
        calls = live(part, &face, &notes, &mut feeds, &mut random, ends, calls, is_last)?;
        let _ = notes.time("closing", &[], || face.close());
    }
    Ok(())
}

/// One life of the store in this process. Returns how many calls its threads have made since the beginning.
#[expect(clippy::too_many_arguments, reason = "what a life needs, of which nothing belongs together")]
fn live(
    part: &Part,
    face: &Face,
    notes: &Notes,
    feeds: &mut Feeds,
    random: &mut Random,
    ends: u64,
    calls: u64,
    is_last: bool,
) -> io::Result<u64> {
    let stop = AtomicBool::new(false);
    // The first thread of callers uses the blocking face of the same store.
    let blocking = Face::Blocking(face.blocking().clone());
    scope(|threads| {
        let followers = feeds.follow(threads, face, notes, &stop);
        let callers: Vec<_> = (0..CALLERS)
            .map(|number| {
                let name = format!("{}t{number}", part.name());
                let (plant, random) = (part.plant, random.split());
                let face = if number == 0 { &blocking } else { face };
                let calling = face::Caller::patient(face);
                threads.spawn(move || {
                    let mut caller =
                        Caller { face, calling, notes, random, name, begun: (0, 0), calls, plant };
                    while moment::now() < ends {
                        caller.call();
                        if caller.random.one_in(2) {
                            sleep(Duration::from_micros(caller.random.below(4_000)));
                        }
                    }
                    caller.calls
                })
            })
            .collect();
        let upkeep = random.split();
        let upkeep = threads.spawn(move || upkeep::keep_up(part, face, notes, upkeep, ends));
        let panicked = || io::Error::other("a thread panicked");
        let mut most = calls;
        for caller in callers {
            most = most.max(caller.join().map_err(|_| panicked())?);
        }
        upkeep.join().map_err(|_| panicked())?;
        if is_last {
            let mut output = io::stdout().lock();
            writeln!(output, "{SILENT}")?;
            output.flush()?;
        } else {
            stop.store(true, Ordering::Relaxed);
        }
        for follower in followers {
            follower.join().map_err(|_| panicked())?;
        }
        Ok(most)
    })
}
