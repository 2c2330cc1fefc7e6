//! What the trial waits for: that the listeners of the living clients were told of something.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::record::{Journal, Record, read};

/// How long listeners may take to be told, once the cluster serves.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What a listener may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Restored,
    Refused,
}

/// The journal of those records alone, which is small enough to be read again and again.
pub fn open(folder: &Path, client: u64, life: u64) -> Journal {
    Journal::open(&path(folder, client, life))
}

fn path(folder: &Path, client: u64, life: u64) -> PathBuf {
    folder.join(format!("signs-{client}-life-{life}"))
}

/// Waits until every listener that was there at a moment was told since. Returns who was not.
pub fn wait(folder: &Path, lives: &[(u64, u64)], told: Told, since_ns: u64) -> Vec<String> {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let deaf: Vec<String> =
            lives.iter().flat_map(|(client, life)| untold(folder, *client, *life, told, since_ns)).collect();
        if deaf.is_empty() || Instant::now() > deadline {
            return deaf;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until the cursors of these clients exist: a store that is restored to a time before does not know them.
pub fn wait_for_cursors(folder: &Path, lives: &[(u64, u64)]) {
    let deadline = Instant::now() + WAIT_MAX;
    let has_begun = |(client, life): &(u64, u64)| {
        let signs = read(&path(folder, *client, *life));
        signs.iter().any(|record| matches!(record, Record::ListenerBegan { after: None, .. }))
    };
    while !lives.iter().all(has_begun) {
        assert!(Instant::now() < deadline, "a client has no cursor");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn untold(folder: &Path, client: u64, life: u64, told: Told, since_ns: u64) -> Vec<String> {
    let mut waiting = BTreeMap::new();
    for record in read(&path(folder, client, life)) {
        match record {
            Record::ListenerBegan { listener, at_ns, .. } if at_ns < since_ns => {
                waiting.insert(listener, ());
            }
            Record::Restored { listener, at_ns, .. } if told == Told::Restored && at_ns > since_ns => {
                waiting.remove(&listener);
            }
            Record::Refused { listener, at_ns } if told == Told::Refused && at_ns > since_ns => {
                waiting.remove(&listener);
            }
            _ => {}
        }
    }
    waiting
        .into_keys()
        .map(|listener| format!("{listener} of {client}.{life} was not told: {told:?}"))
        .collect()
}
