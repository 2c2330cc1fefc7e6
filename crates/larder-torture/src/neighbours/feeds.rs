//! What a worker follows: watchers that go on where they were, a named cursor, a mirror.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use larder::{ErrorKind, Event, Pattern, ResumeToken, Store, Update};

use super::notes::{Note, Notes, Told};
use super::{BOUND, END, Part, Plant};
use crate::moment;

/// How long a feed waits for a change before it looks whether it is to stop.
const WAIT: Duration = Duration::from_millis(50);

/// The group that a mirror shows.
pub const MIRRORED: &str = "plain";

/// A watcher, and where it goes on in the next life.
struct Watching {
    name: String,
    prefix: &'static str,
    resume: Option<ResumeToken>,
    is_done: bool,
}

pub struct Feeds {
    watching: Vec<Watching>,
    cursor: String,
    mirror: String,
    /// When a feed that has not come to its end gives up.
    gives_up: u64,
    drops: bool,
}

fn is_end(event: &Event) -> bool {
    event.group == END.0 && event.key.as_deref() == Some(END.1)
}

impl Feeds {
    pub fn new(part: &Part) -> Self {
        let number = part.number;
        let watching = [("all", ""), ("some", "p")].map(|(name, prefix)| Watching {
            name: format!("watcher-{name}-{number}"),
            prefix,
            resume: None,
            is_done: false,
        });
        let longest = u64::try_from(BOUND.as_nanos()).unwrap_or(u64::MAX).saturating_mul(3);
        Self {
            watching: watching.into(),
            cursor: format!("cursor-{number}"),
            mirror: format!("mirror-{number}"),
            gives_up: part.until.saturating_add(longest),
            drops: part.plant == Some(Plant::EventDropped),
        }
    }

    /// Follows on threads of their own, until `stop` is set or the last change was told.
    pub fn follow<'scope, 'env: 'scope>(
        &'env mut self,
        threads: &'scope Scope<'scope, 'env>,
        store: &'env Store,
        notes: &'env Notes,
        stop: &'env AtomicBool,
    ) -> Vec<ScopedJoinHandle<'scope, ()>> {
        let gives_up = self.gives_up;
        let is_over = move || stop.load(Ordering::Relaxed) || moment::now() > gives_up;
        let (drops, cursor, mirror) = (self.drops, self.cursor.as_str(), self.mirror.as_str());
        let mut followers = Vec::new();
        for watching in &mut self.watching {
            followers.push(threads.spawn(move || watch(store, notes, watching, drops, &is_over)));
        }
        followers.push(threads.spawn(move || acknowledge(store, notes, cursor, &is_over)));
        followers.push(threads.spawn(move || mirror_it(store, notes, mirror, &is_over)));
        followers
    }
}

/// The pattern of a feed: all groups whose names begin so.
fn pattern(prefix: &str) -> Pattern {
    if prefix.is_empty() { Pattern::all() } else { Pattern::group_prefix(prefix) }
}

fn watch(store: &Store, notes: &Notes, watching: &mut Watching, drops: bool, is_over: &impl Fn() -> bool) {
    let Watching { name: feed, prefix, resume, is_done } = watching;
    let begun = match resume {
        Some(token) => {
            let watcher = notes.time("watch_from", &[], || store.watch_from(pattern(prefix), token.clone()));
            watcher.map(|watcher| (watcher, None))
        }
        None => notes.time("revision", &[], || store.revision()).and_then(|revision| {
            let watcher = notes.time("watch_from", &[], || store.watch_from(pattern(prefix), revision));
            watcher.map(|watcher| (watcher, Some(revision.0)))
        }),
    };
    let (watcher, after) = match begun {
        Ok(begun) => begun,
        Err(larder::Error::Compacted { oldest }) => {
            // What is gone is the churn's: the watcher of everything begins again where the log does.
            notes.write(&Note::Compacted { feed: feed.clone() });
            match notes.time("watch_from", &[], || store.watch_from(pattern(prefix), oldest)) {
                Ok(watcher) => (watcher, Some(oldest.0)),
                Err(_) => return,
            }
        }
        Err(_) => return,
    };
    let (feed, is_cursor) = (feed.clone(), false);
    notes.write(&Note::Begun { feed: feed.clone(), is_cursor, prefix: (*prefix).to_owned(), after });
    let mut told = 0_u64;
    while !*is_done && !is_over() {
        match watcher.recv_timeout(WAIT) {
            Ok(None) => {}
            Ok(Some(event)) => {
                told += 1;
                if !(drops && told.is_multiple_of(100)) {
                    notes.write(&Note::Told { feed: feed.clone(), change: Told::from(&event) });
                }
                if is_end(&event) {
                    notes.write(&Note::Ended { feed: feed.clone(), at: moment::now() });
                    *is_done = true;
                }
            }
            Err(error) if error.kind() == ErrorKind::Stale => {
                notes.write(&Note::Compacted { feed: feed.clone() });
            }
            Err(error) => {
                notes.wrong(format!("{feed} failed: {error:?}"));
                break;
            }
        }
    }
    *resume = Some(watcher.token());
}

/// A cursor acknowledges every few events, and not the last ones before it is closed: those come again.
fn acknowledge(store: &Store, notes: &Notes, name: &str, is_over: &impl Fn() -> bool) {
    let begun = notes.time("cursor_from", &[], || store.cursor_from(name, pattern("p"), 0));
    let Ok(cursor) = begun else { return };
    let feed = name.to_owned();
    notes.write(&Note::Begun { feed: feed.clone(), is_cursor: true, prefix: "p".into(), after: None });
    let mut told = 0_u64;
    while !is_over() {
        match cursor.recv_timeout(WAIT) {
            Ok(None) => {}
            Ok(Some(event)) => {
                told += 1;
                notes.write(&Note::Told { feed: feed.clone(), change: Told::from(&event) });
                let is_end = is_end(&event);
                if (is_end || told.is_multiple_of(7))
                    && notes.time("acknowledging", &[], || cursor.ack(&event)).is_ok()
                {
                    notes.write(&Note::Acknowledged { feed: feed.clone() });
                }
                if is_end {
                    notes.write(&Note::Ended { feed, at: moment::now() });
                    return;
                }
            }
            Err(error) => {
                notes.wrong(format!("{feed} failed: {error:?}"));
                return;
            }
        }
    }
}

fn mirror_it(store: &Store, notes: &Notes, name: &str, is_over: &impl Fn() -> bool) {
    let made = notes.time("mirror", &[], || store.mirror(Pattern::group(MIRRORED)));
    let Ok(mut mirror) = made else { return };
    let feed = name.to_owned();
    let mut copy = BTreeMap::new();
    while !is_over() {
        let mut is_last = false;
        match mirror.recv_timeout(WAIT) {
            Ok(None | Some(Update::Current(_))) => {}
            Ok(Some(Update::Entry(_, entry))) => {
                is_last = entry.key == END.1;
                copy.insert(entry.key, entry.value.to_string_lossy().into_owned());
            }
            Ok(Some(Update::Change(event))) => {
                is_last = is_end(&event);
                match (event.key, event.value) {
                    (Some(key), Some(value)) => drop(copy.insert(key, value.to_string_lossy().into_owned())),
                    (Some(key), None) => drop(copy.remove(&key)),
                    (None, _) => copy.clear(),
                }
            }
            Err(error) => {
                notes.wrong(format!("{feed} failed: {error:?}"));
                return;
            }
        }
        if is_last {
            let entries = std::mem::take(&mut copy).into_iter().collect();
            notes.write(&Note::Mirrored { feed: feed.clone(), group: MIRRORED.into(), entries });
            notes.write(&Note::Ended { feed, at: moment::now() });
            return;
        }
    }
}
