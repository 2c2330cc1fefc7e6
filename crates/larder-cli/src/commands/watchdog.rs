//! `--fail-after`: ends a command that has been without changes from its cluster for too long.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use humantime::format_duration;
use larder::{Feed, Health, Store};

use crate::failure::Failure;

/// How often the feed is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How far a feed may lag that works. A client asks each second whether something is missing.
const LAG_MAX: Duration = Duration::from_secs(3);

/// Looks after the feed of a command, and remembers why it has ended the command.
#[derive(Clone, Default)]
pub struct Watchdog {
    verdict: Arc<Mutex<Option<String>>>,
}

impl Watchdog {
    /// Calls `end` once `trouble` has found something for longer than `fail_after`. Without a time, it never does.
    pub fn start(
        fail_after: Option<Duration>,
        mut trouble: impl FnMut() -> Option<Trouble> + Send + 'static,
        end: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Failure> {
        let watchdog = Self::default();
        let Some(fail_after) = fail_after else { return Ok(watchdog) };
        let verdict = Arc::clone(&watchdog.verdict);
        let look = move || {
            let mut well_at = Instant::now();
            loop {
                match trouble() {
                    None => well_at = Instant::now(),
                    Some(Trouble { lasted, reason }) => {
                        if lasted.max(well_at.elapsed()) >= fail_after {
                            let waited = format_duration(fail_after);
                            let message = format!("changes could not be followed for {waited}: {reason}");
                            *verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
                            return end();
                        }
                    }
                }
                thread::sleep(LOOK_EVERY.min(fail_after));
            }
        };
        let thread = thread::Builder::new().name("larder-watchdog".into()).spawn(look);
        thread.map_err(|error| {
            Failure::Broken("there is no thread for --fail-after".into()).because(&error).advise("Try again.")
        })?;
        Ok(watchdog)
    }

    /// Looks after the feed of a store. That of a file needs no looking after: it is the file.
    pub fn of_feed(
        store: &Store,
        fail_after: Option<Duration>,
        end: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Failure> {
        let store = store.clone();
        Self::start(fail_after, move || trouble_of(&store), end)
    }

    /// Returns an error if the command was ended.
    pub fn verdict(&self) -> Result<(), Failure> {
        match self.verdict.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None => Ok(()),
            Some(message) => Err(Failure::Unreachable(message)
                .advise("Check the network and the members with `larder stats`, and run the command again.")),
        }
    }
}

/// Why there are no changes.
pub struct Trouble {
    /// For how long there have been none at least.
    pub lasted: Duration,
    pub reason: String,
}

/// What is wrong with the feed of a store, if anything is.
pub fn trouble_of(store: &Store) -> Option<Trouble> {
    // A closed store is no trouble: the command ends by itself.
    trouble_in(&store.health().ok()?)
}

fn trouble_in(health: &Health) -> Option<Trouble> {
    // Only a cluster has members.
    health.member.as_ref()?;
    let Some(feed) = &health.feed else {
        return Some(Trouble { lasted: Duration::ZERO, reason: "the feed has not begun".into() });
    };
    let Feed { connected_since, lag, refusal, .. } = feed;
    let lasted = lag.unwrap_or_default();
    let reason = match (refusal, connected_since) {
        (Some(refusal), _) => refusal.clone(),
        (None, None) => "no member of the cluster sends them".into(),
        (None, Some(_)) if lasted > LAG_MAX => "the cluster does not answer".into(),
        (None, Some(_)) => return None,
    };
    Some(Trouble { lasted, reason })
}
