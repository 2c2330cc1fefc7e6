//! What a worker follows: watchers that go on where they were, a named cursor, a mirror.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use larder::{AsyncWatcher, ErrorKind, Event, Pattern, ResumeToken, Update, Watcher};
use tokio::runtime::Runtime;

use super::notes::{self, Note, Notes, Told};
use super::{BOUND, END, Part, Plant};
use crate::face::{Caller, Face, call};
use crate::moment;

/// How long a feed waits for a change before it looks whether it is to stop.
const WAIT: Duration = Duration::from_millis(50);

/// A watcher marks where it is after so many events: what it is told after its last mark before a kill comes again.
const MARKS_EVERY: u64 = 10;

/// The group that a mirror shows.
pub const MIRRORED: &str = "plain";

/// A watcher, a cursor or a mirror, on the face that its worker has open.
enum Feed<'a, B, A> {
    Blocking(B),
    Async(A, &'a Runtime),
}

/// Makes a feed on whichever face it is: `begin!(face, |store| store.mirror(pattern))`.
macro_rules! begin {
    ($face:expr, |$store:ident| $begin:expr) => {
        match $face {
            Face::Blocking($store) => $begin.map(Feed::Blocking),
            Face::Async($store, runtime) => {
                runtime.block_on(async { $begin.await }).map(|feed| Feed::Async(feed, runtime))
            }
        }
    };
}

/// Waits for what a feed tells next. On the asynchronous face, a future that has waited in vain is dropped.
macro_rules! receive {
    ($feed:expr) => {
        match &mut $feed {
            Feed::Blocking(feed) => feed.recv_timeout(WAIT),
            Feed::Async(feed, runtime) => runtime
                .block_on(async { tokio::time::timeout(WAIT, feed.recv()).await })
                .map_or(Ok(None), |received| received.map(Some)),
        }
    };
}

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
    /// Those of a process, which go on where it was before it was killed.
    pub fn new(part: &Part) -> io::Result<Self> {
        let number = part.number;
        let mut marks = BTreeMap::new();
        for file in (0..part.life).map(|life| part.notes(life)).filter(|file| file.exists()) {
            marks.extend(notes::marks(&file)?);
        }
        let watching = [("all", ""), ("some", "p")].map(|(name, prefix)| {
            let name = format!("watcher-{name}-{number}");
            Watching { resume: marks.remove(&name), name, prefix, is_done: false }
        });
        let longest = u64::try_from(BOUND.as_nanos()).unwrap_or(u64::MAX).saturating_mul(3);
        Ok(Self {
            watching: watching.into(),
            cursor: format!("cursor-{number}"),
            mirror: format!("mirror-{number}"),
            gives_up: part.until.saturating_add(longest),
            drops: part.plant == Some(Plant::EventDropped),
        })
    }

    /// Follows on threads of their own, until `stop` is set or the last change was told.
    pub fn follow<'scope, 'env: 'scope>(
        &'env mut self,
        threads: &'scope Scope<'scope, 'env>,
        face: &'env Face,
        notes: &'env Notes,
        stop: &'env AtomicBool,
    ) -> Vec<ScopedJoinHandle<'scope, ()>> {
        let gives_up = self.gives_up;
        let is_over = move || stop.load(Ordering::Relaxed) || moment::now() > gives_up;
        let (drops, cursor, mirror) = (self.drops, self.cursor.as_str(), self.mirror.as_str());
        let mut followers = Vec::new();
        for watching in &mut self.watching {
            followers.push(threads.spawn(move || watch(face, notes, watching, drops, &is_over)));
        }
        followers.push(threads.spawn(move || acknowledge(face, notes, cursor, &is_over)));
        followers.push(threads.spawn(move || mirror_it(face, notes, mirror, &is_over)));
        followers
    }
}

/// The pattern of a feed: all groups whose names begin so.
fn pattern(prefix: &str) -> Pattern {
    if prefix.is_empty() { Pattern::all() } else { Pattern::group_prefix(prefix) }
}

fn watch(face: &Face, notes: &Notes, watching: &mut Watching, drops: bool, is_over: &impl Fn() -> bool) {
    let Watching { name: feed, prefix, resume, is_done } = watching;
    let begun = match resume {
        Some(token) => {
            let begin = || begin!(face, |store| store.watch_from(pattern(prefix), token.clone()));
            let watcher = notes.time("watch_from", &[], begin);
            watcher.map(|watcher| (watcher, None))
        }
        None => {
            let caller = Caller::patient(face);
            let revision = notes.time("revision", &[], || call!(caller, |store| store.revision()));
            revision.and_then(|revision| {
                let begin = || begin!(face, |store| store.watch_from(pattern(prefix), revision));
                let watcher = notes.time("watch_from", &[], begin);
                watcher.map(|watcher| (watcher, Some(revision.0)))
            })
        }
    };
    let (mut watcher, after) = match begun {
        Ok(begun) => begun,
        Err(larder::Error::Compacted { oldest }) => {
            // What is gone is the churn's: the watcher of everything begins again where the log does.
            notes.write(&Note::Compacted { feed: feed.clone() });
            let begin = || begin!(face, |store| store.watch_from(pattern(prefix), oldest));
            match notes.time("watch_from", &[], begin) {
                Ok(watcher) => (watcher, Some(oldest.0)),
                Err(_) => return,
            }
        }
        Err(_) => return,
    };
    let feed = feed.clone();
    notes.write(&Note::Begun { feed: feed.clone(), prefix: (*prefix).to_owned(), after });
    let mark = |watcher: &Feed<'_, Watcher, AsyncWatcher>| {
        let token = match watcher {
            Feed::Blocking(watcher) => watcher.token(),
            Feed::Async(watcher, _) => watcher.token(),
        };
        notes.write(&Note::Marked { feed: feed.clone(), token: token.to_string() });
        Some(token)
    };
    mark(&watcher);
    let mut told = 0_u64;
    while !*is_done && !is_over() {
        match receive!(watcher) {
            Ok(None) => {}
            Ok(Some(event)) => {
                told += 1;
                if !(drops && told.is_multiple_of(100)) {
                    notes.write(&Note::Told { feed: feed.clone(), change: Told::from(&event) });
                }
                if told.is_multiple_of(MARKS_EVERY) {
                    mark(&watcher);
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
    *resume = mark(&watcher);
}

/// A cursor acknowledges every few events, and not the last ones before it is closed: those come again.
fn acknowledge(face: &Face, notes: &Notes, name: &str, is_over: &impl Fn() -> bool) {
    let begin = || begin!(face, |store| store.cursor_from(name, pattern("p"), 0));
    let Ok(mut cursor) = notes.time("cursor_from", &[], begin) else { return };
    let feed = name.to_owned();
    notes.write(&Note::Begun { feed: feed.clone(), prefix: "p".into(), after: None });
    let mut told = 0_u64;
    while !is_over() {
        match receive!(cursor) {
            Ok(None) => {}
            Ok(Some(event)) => {
                told += 1;
                notes.write(&Note::Told { feed: feed.clone(), change: Told::from(&event) });
                let is_end = is_end(&event);
                let acknowledge = || match &cursor {
                    Feed::Blocking(cursor) => cursor.ack(&event),
                    Feed::Async(cursor, runtime) => runtime.block_on(cursor.ack(&event)),
                };
                if is_end || told.is_multiple_of(7) {
                    notes.write(&Note::Acknowledging { feed: feed.clone() });
                    let is_done = notes.time("acknowledging", &[], acknowledge).is_ok();
                    notes.write(&Note::Acknowledged { feed: feed.clone(), is_done });
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

fn mirror_it(face: &Face, notes: &Notes, name: &str, is_over: &impl Fn() -> bool) {
    let begin = || begin!(face, |store| store.mirror(Pattern::group(MIRRORED)));
    let Ok(mut mirror) = notes.time("mirror", &[], begin) else { return };
    let feed = name.to_owned();
    let mut copy = BTreeMap::new();
    while !is_over() {
        let mut is_last = false;
        match receive!(mirror) {
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
