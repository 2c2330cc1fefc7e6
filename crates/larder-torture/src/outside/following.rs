//! The watcher of a process that writes: it prints the number of each write that it receives.

use std::thread::sleep;
use std::time::Duration;

use larder::{Error, Event, Pattern, Store, Watcher};

use super::Plant;
use super::lines::say;
use super::persevering::REST;
use super::worker::FOLLOWER;

/// How often it looks whether it is to go on.
const LOOKS_EVERY: Duration = Duration::from_millis(20);

/// Begins to watch the numbers of all threads.
pub fn watch(store: &Store) -> larder::Result<Watcher> {
    store.watch(Pattern::group_prefix("tenant-"))
}

/// Prints what the watcher is told until it is closed, or until nothing comes and it is not to go on.
pub fn follow(watcher: &Watcher, plant: Option<Plant>, goes_on: impl Fn() -> bool) {
    loop {
        match watcher.recv_timeout(LOOKS_EVERY) {
            Ok(None) if goes_on() => {}
            Ok(None) => return,
            Ok(Some(_)) if plant == Some(Plant::Deaf) => {}
            Ok(Some(event)) => {
                if let Some((thread, number)) = number_of(&event) {
                    say("told", FOLLOWER, &format!("{thread} {number}"));
                }
            }
            Err(Error::Closed) => return,
            Err(error) => {
                say("untold", FOLLOWER, error.kind().as_str());
                sleep(REST);
            }
        }
    }
}

/// The thread that wrote, and the number that it wrote.
fn number_of(event: &Event) -> Option<(u64, u64)> {
    let thread = event.group.strip_prefix("tenant-")?.strip_suffix(":numbers")?.parse().ok()?;
    Some((thread, event.value.as_ref()?.parse().ok()?))
}
