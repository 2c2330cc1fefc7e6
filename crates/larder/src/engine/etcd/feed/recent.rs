//! The latest commits, as the feed has brought them.
//!
//! A reader that lags a little reads them here. Otherwise each would open a watch that begins in the past, which a
//! member serves ten times a second: two thousand watchers that lag would wait for minutes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::data::{Event, LogPosition, Revision, locked};
use crate::engine::Logged;

/// How many events are kept, and about how many bytes.
const EVENTS_MAX: usize = 10_000;
const BYTES_MAX: usize = 4 << 20;

/// About how many bytes an event takes besides its names and its value.
const EVENT_BYTES: usize = 160;

/// How long a reader waits for the feed to bring what is known to exist: about as long as a watch takes to begin.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// The commits that the feed has brought last.
#[derive(Default)]
pub struct RecentCommits {
    /// Held only to look and to store, never while waiting.
    state: Mutex<State>,
    /// Notified with each commit, and when the feed ends.
    moved: Notify,
}

#[derive(Default)]
struct State {
    /// Every commit after this one is kept; `None` while there is no feed, or nothing is known of what it has brought.
    after: Option<Revision>,
    /// Up to which commit the feed has come.
    newest: Revision,
    /// Whether the feed goes on, but has left out a commit.
    has_gap: bool,
    commits: VecDeque<Commit>,
    events: usize,
    bytes: usize,
}

struct Commit {
    revision: Revision,
    events: Vec<Arc<Event>>,
    bytes: usize,
}

/// Changes that were found.
pub struct RecentChanges {
    pub logged: Vec<Logged>,
    /// The position after them.
    pub next: LogPosition,
}

impl RecentCommits {
    /// Begins with the commits after a revision.
    pub fn begin(&self, after: Revision) {
        *locked(&self.state) = State { after: Some(after), newest: after, ..State::default() };
        self.moved.notify_waiters();
    }

    /// Forgets everything, and keeps nothing until the next beginning.
    pub fn end(&self) {
        *locked(&self.state) = State::default();
        self.moved.notify_waiters();
    }

    /// Forgets everything after the feed has brought a commit that cannot be read. The one after the next is kept again.
    pub fn interrupt(&self) {
        let mut state = locked(&self.state);
        let has_gap = state.has_gap || state.after.is_some();
        *state = State { has_gap, ..State::default() };
        drop(state);
        self.moved.notify_waiters();
    }

    /// Adds a commit.
    pub fn add(&self, revision: Revision, events: &[Arc<Event>]) {
        let mut state = locked(&self.state);
        if std::mem::take(&mut state.has_gap) {
            state.after = Some(revision);
        } else if state.after.is_some() {
            let bytes = events.iter().map(|event| bytes_of(event)).sum();
            state.events += events.len();
            state.bytes += bytes;
            state.commits.push_back(Commit { revision, events: events.to_vec(), bytes });
        }
        state.newest = revision;
        while (state.events > EVENTS_MAX || state.bytes > BYTES_MAX)
            && let Some(oldest) = state.commits.pop_front()
        {
            state.events -= oldest.events.len();
            state.bytes -= oldest.bytes;
            state.after = Some(oldest.revision);
        }
        drop(state);
        self.moved.notify_waiters();
    }

    /// Returns the changes after a position, at most `max` of them, once the feed has come up to `latest`. Returns
    /// `None` if it does not come that far soon, or has begun later.
    pub async fn read(&self, after: LogPosition, latest: Revision, max: usize) -> Option<RecentChanges> {
        let reading = async {
            loop {
                let moved = self.moved.notified();
                tokio::pin!(moved);
                // Before the look, so that no move in between is missed.
                moved.as_mut().enable();
                {
                    let state = locked(&self.state);
                    if state.after.is_none_or(|first| LogPosition::after(first) > after) {
                        return None;
                    }
                    if state.newest >= latest {
                        return Some(state.changes(after, max));
                    }
                }
                moved.await;
            }
        };
        timeout(WAIT_MAX, reading).await.ok()?
    }
}

impl State {
    fn changes(&self, after: LogPosition, max: usize) -> RecentChanges {
        let mut changes = RecentChanges { logged: Vec::new(), next: after };
        let begin = self.commits.partition_point(|commit| LogPosition::after(commit.revision) <= after);
        for commit in self.commits.range(begin..) {
            if !commit.add_to(&mut changes, after, max) {
                return changes;
            }
        }
        changes.next = changes.next.max(LogPosition::after(self.newest));
        changes
    }
}

impl Commit {
    /// Adds the changes after a position. Returns whether all of them fit.
    fn add_to(&self, changes: &mut RecentChanges, after: LogPosition, max: usize) -> bool {
        for (step, event) in (0..).zip(&self.events) {
            let position = LogPosition { revision: self.revision, step };
            if position <= after {
                continue;
            }
            if changes.logged.len() == max {
                return false;
            }
            changes.next = position;
            changes.logged.push(Logged { step, event: Arc::clone(event) });
        }
        changes.next = changes.next.max(LogPosition::after(self.revision));
        true
    }
}

fn bytes_of(event: &Event) -> usize {
    let value = event.value.as_ref().map_or(0, |value| value.len());
    EVENT_BYTES + event.group.len() + event.key.as_ref().map_or(0, String::len) + value
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::data::EventKind;
    use crate::engine::etcd::client::{EngineRuntime, block_on};

    fn event(revision: u64, value: usize) -> Arc<Event> {
        Arc::new(Event {
            revision: Revision(revision),
            kind: EventKind::Set,
            group: "g".into(),
            key: Some("k".into()),
            value: Some(vec![0; value].into()),
            expires_at: None,
            at: SystemTime::UNIX_EPOCH,
        })
    }

    /// The revisions of the changes after a position.
    fn read(recent: &RecentCommits, after: LogPosition, latest: u64, max: usize) -> Option<Vec<u64>> {
        let runtime = EngineRuntime::start().unwrap();
        let read = block_on(runtime.handle(), recent.read(after, Revision(latest), max))?;
        Some(read.logged.iter().map(|logged| logged.event.revision.0).collect())
    }

    fn after(revision: u64) -> LogPosition {
        LogPosition::after(Revision(revision))
    }

    #[test]
    fn what_came_after_a_position_is_read_and_nothing_from_before_the_beginning() {
        let recent = RecentCommits::default();
        assert_eq!(read(&recent, after(4), 0, 9), None, "no feed");
        recent.begin(Revision(4));
        recent.add(Revision(6), &[event(6, 1), event(6, 1)]);
        recent.add(Revision(9), &[event(9, 1)]);
        assert_eq!(read(&recent, after(3), 9, 9), None);
        assert_eq!(read(&recent, after(4), 9, 9), Some(vec![6, 6, 9]));
        assert_eq!(read(&recent, after(4), 9, 2), Some(vec![6, 6]));
        assert_eq!(read(&recent, LogPosition { revision: Revision(6), step: 0 }, 9, 9), Some(vec![6, 9]));
        assert_eq!(read(&recent, after(9), 9, 9), Some(vec![]));
        assert_eq!(read(&recent, after(4), 10, 9), None, "the feed lags");
        recent.end();
        assert_eq!(read(&recent, after(9), 9, 9), None);
    }

    #[test]
    fn after_a_gap_only_what_follows_it_is_read() {
        let recent = RecentCommits::default();
        recent.interrupt();
        recent.add(Revision(3), &[event(3, 1)]);
        assert_eq!(read(&recent, after(3), 3, 9), None, "no feed");
        recent.begin(Revision(4));
        recent.add(Revision(6), &[event(6, 1)]);
        recent.interrupt();
        assert_eq!(read(&recent, after(6), 6, 9), None);
        recent.add(Revision(8), &[event(8, 1)]);
        recent.add(Revision(9), &[event(9, 1)]);
        assert_eq!(read(&recent, after(6), 9, 9), None);
        assert_eq!(read(&recent, after(8), 9, 9), Some(vec![9]));
    }

    #[test]
    fn it_is_bounded_by_bytes_and_by_events() {
        let recent = RecentCommits::default();
        recent.begin(Revision(0));
        for revision in 1..=9 {
            recent.add(Revision(revision), &[event(revision, 1 << 20)]);
        }
        assert!(locked(&recent.state).bytes <= BYTES_MAX);
        assert_eq!(read(&recent, after(5), 9, 9), None);
        assert_eq!(read(&recent, after(6), 9, 9), Some(vec![7, 8, 9]));
        recent.add(Revision(10), &vec![event(10, 0); EVENTS_MAX + 1]);
        assert_eq!(read(&recent, after(9), 10, 9), None);
        assert_eq!(read(&recent, after(10), 10, 9), Some(vec![]));
    }
}
