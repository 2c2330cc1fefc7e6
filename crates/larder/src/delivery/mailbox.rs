//! Where events wait for one watcher.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::Waker;
use std::time::Instant;

use super::account::Account;
use super::pile::Pile;
use crate::data::{Error, Event, LogPosition, Pattern, Revision, contained, locked, unpoisoned};
use crate::engine::Logged;

/// Where events wait for one watcher.
pub(crate) struct Mailbox {
    pub pattern: Pattern,
    /// What the groups of its handle start with.
    pub prefix: String,
    /// Where what waits for it is counted; `None` for a handle to the whole store.
    account: Option<Arc<Account>>,
    /// The commit path takes this lock for a moment and never waits on anything while it has it.
    state: Mutex<Letters>,
    arrived: Condvar,
}

pub(crate) struct Letters {
    pub queue: Pile,
    /// Whether commits put their events into the queue. Where not, the watcher is behind and reads
    /// on from the change log by itself.
    pub live: bool,
    /// While the watcher reads what may be the end of the log: what commits deliver meanwhile. `None` where it does
    /// not, and once something did not fit.
    joining: Option<Joining>,
    /// The watcher was told that changes up to here may be missing.
    pub told: LogPosition,
    /// Everything up to here is in the queue, was taken from it, or is not wanted. While live, so
    /// is all that was published since.
    pub position: LogPosition,
    /// The place after the last event that was taken.
    pub taken: LogPosition,
    /// The identity of the store whose history the positions are of.
    pub identity: Arc<str>,
    /// The store was restored from a snapshot: its identity since, and the revision that it has gone back to. The
    /// watcher has yet to be told.
    restored: Option<(Arc<str>, Revision)>,
    /// Why the feed is refused, which the watcher has yet to be told.
    refused: Option<Error>,
    /// Whether a cursor's watcher has to look up where the store remembers it.
    pub begins_at_cursor: bool,
    /// How often the positions were moved by something else than events.
    pub moves: u64,
    pub closed: bool,
    /// How many threads wait: to wake nobody would cost each commit a call of the system.
    waiting: usize,
    /// The task that waits, if an async watcher does.
    pub waker: Option<Waker>,
}

/// What commits deliver to a watcher that reads what may be the end of the log.
struct Joining {
    /// Everything that this process has published after this revision and that the watcher wants is here.
    since: Revision,
    letters: Pile,
}

/// What a watcher finds in its mailbox.
pub(crate) enum Delivery {
    /// An event, and the position after it.
    Event(Arc<Event>, LogPosition),
    /// Nothing yet: a commit will deliver it.
    Empty,
    /// The watcher has to read on from the change log.
    Behind,
    /// The store was restored to this revision. The watcher goes on after it.
    Restored(Revision),
    /// Nothing comes at present, since the cluster refuses the feed.
    Refused(Error),
    Closed,
}

impl Mailbox {
    /// A mailbox that [begins](Letters::begin_at) somewhere soon. It starts behind: its watcher finds out whether
    /// there is something in the log before it goes live.
    pub fn new(pattern: Pattern, prefix: &str, account: Option<Arc<Account>>, identity: Arc<str>) -> Self {
        let position = LogPosition::after(Revision(0));
        let letters = Letters {
            queue: Pile::new(account.clone()),
            live: false,
            joining: None,
            told: position,
            position,
            taken: position,
            identity,
            restored: None,
            refused: None,
            begins_at_cursor: false,
            moves: 0,
            closed: false,
            waiting: 0,
            waker: None,
        };
        let (prefix, arrived) = (prefix.to_owned(), Condvar::new());
        Self { pattern, prefix, account, state: Mutex::new(letters), arrived }
    }

    pub fn lock(&self) -> MutexGuard<'_, Letters> {
        locked(&self.state)
    }

    /// Takes the wanted events of a commit, all or none: where they do not fit, the watcher is
    /// behind from here on.
    pub fn deliver(&self, revision: Revision, previous: Revision, events: &[Logged]) -> Option<Woken> {
        let mut letters = self.lock();
        if let Some(joining) = &mut letters.joining {
            if joining.letters.has_room_for(events) {
                events.iter().cloned().for_each(|logged| joining.letters.push(logged));
            } else {
                letters.joining = None;
            }
        } else if letters.live && revision > letters.position.revision {
            if letters.queue.has_room_for(events) {
                events.iter().cloned().for_each(|logged| letters.queue.push(logged));
                letters.position = LogPosition::after(revision);
            } else {
                letters.fall_behind(previous);
            }
        }
        self.tell(letters)
    }

    /// Whether the watchers of its namespace have so much in memory that it should read no more than its next event.
    pub fn is_short_of_room(&self) -> bool {
        self.account.as_ref().is_some_and(|account| account.is_half_full())
    }

    /// Sends the watcher to the log for all that came after `previous`.
    pub fn send_to_log(&self, previous: Revision) -> Option<Woken> {
        let mut letters = self.lock();
        letters.fall_behind(previous);
        self.tell(letters)
    }

    /// Forgets what is there, since the store was restored to a revision, and has the watcher go on after it.
    pub fn start_over(&self, identity: &Arc<str>, restored_to: Revision) -> Option<Woken> {
        let mut letters = self.lock();
        letters.queue.clear();
        letters.live = false;
        letters.moves += 1;
        letters.begins_at_cursor = true;
        letters.joining = None;
        letters.position = LogPosition::after(restored_to);
        letters.told = letters.position;
        letters.restored = Some((Arc::clone(identity), restored_to));
        self.tell(letters)
    }

    /// Forgets what is there, and has the watcher read on after another place.
    pub fn restart(&self, place: LogPosition) -> Option<Woken> {
        let mut letters = self.lock();
        letters.queue.clear();
        letters.live = false;
        letters.moves += 1;
        letters.begins_at_cursor = false;
        letters.joining = None;
        letters.begin_at(place);
        self.tell(letters)
    }

    /// Tells the watcher that the cluster refuses the feed.
    #[cfg_attr(not(feature = "etcd"), allow(dead_code, reason = "only a cluster tells of it"))]
    pub fn refuse(&self, error: Error) -> Option<Woken> {
        let mut letters = self.lock();
        letters.refused = Some(error);
        self.tell(letters)
    }

    pub fn close(&self) -> Option<Woken> {
        let mut letters = self.lock();
        letters.closed = true;
        // No commit puts anything in any more, and a closed one does not go live again.
        letters.live = false;
        letters.joining = None;
        self.tell(letters)
    }

    /// Wakes the threads that wait. The task that waits is woken when the returned value is dropped.
    fn tell(&self, mut letters: MutexGuard<'_, Letters>) -> Option<Woken> {
        let waker = letters.waker.take();
        let anybody_waits = letters.waiting > 0;
        drop(letters);
        if anybody_waits {
            self.arrived.notify_all();
        }
        waker.map(|waker| Woken(Some(waker)))
    }

    /// Waits until something arrives or the deadline passes; whether it may be worth a look.
    pub fn wait<'a>(
        &self,
        mut letters: MutexGuard<'a, Letters>,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'a, Letters>, bool) {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return (letters, false);
        }
        letters.waiting += 1;
        let mut letters = match left {
            None => unpoisoned(self.arrived.wait(letters)),
            Some(left) => unpoisoned(self.arrived.wait_timeout(letters, left)).0,
        };
        letters.waiting -= 1;
        (letters, true)
    }
}

/// A task to wake. That happens when this is dropped, which must be without a lock held: a waker may do anything,
/// panic included.
#[must_use = "the task is woken when this is dropped"]
pub(crate) struct Woken(Option<Waker>);

impl Drop for Woken {
    fn drop(&mut self) {
        if let Some(waker) = self.0.take() {
            contained("the waker of a task that waits for events", || waker.wake());
        }
    }
}

impl Letters {
    /// What comes after a position is wanted.
    pub fn begin_at(&mut self, position: LogPosition) {
        (self.position, self.taken, self.told) = (position, position, position);
    }

    /// Whether what was taken is of the history before a restore, of which the watcher has yet to be told.
    pub fn is_of_the_past(&self) -> bool {
        self.restored.is_some()
    }

    /// What comes next.
    pub fn next(&mut self) -> Delivery {
        if let Some((identity, revision)) = self.restored.take() {
            self.identity = identity;
            self.taken = LogPosition::after(revision);
            return Delivery::Restored(revision);
        }
        match self.take() {
            Some((event, position)) => Delivery::Event(event, position),
            None if self.closed => Delivery::Closed,
            None => match self.refused.take() {
                Some(error) => Delivery::Refused(error),
                None if self.live => Delivery::Empty,
                None => Delivery::Behind,
            },
        }
    }

    /// Takes the next event, and the place after it: where nothing more of its revision comes, that is the
    /// place after the whole revision.
    fn take(&mut self) -> Option<(Arc<Event>, LogPosition)> {
        let Logged { step, event } = self.queue.pop()?;
        let whole = LogPosition::after(event.revision);
        let more = self.queue.front().is_some_and(|next| next.event.revision == event.revision);
        let place = if !more && self.position >= whole {
            whole
        } else {
            LogPosition { revision: event.revision, step }
        };
        self.taken = place;
        Some((event, place))
    }

    /// The watcher is about to read the log from its position on. From now on nothing that this process publishes is
    /// lost on it, until there is too much. `published` reads the last commit that was published.
    pub fn begin_to_join(&mut self, published: impl FnOnce() -> Revision) {
        self.joining.get_or_insert_with(|| Joining { since: published(), letters: self.queue.beside() });
    }

    /// The position after which the watcher has everything at hand that this process has published.
    pub fn at_hand_after(&self) -> Option<LogPosition> {
        self.joining.as_ref().map(|joining| LogPosition::after(joining.since))
    }

    /// The watcher has read the log up to `next`.
    pub fn read_page(&mut self, page: impl Iterator<Item = Logged>, next: LogPosition) {
        page.for_each(|logged| self.queue.push(logged));
        self.position = self.position.max(next);
    }

    /// The watcher has read the whole log up to `position`. It is live from here on, if everything since is at hand;
    /// returns whether it is.
    pub fn join(&mut self, position: LogPosition) -> bool {
        self.position = self.position.max(position);
        let Some(mut joining) = self.joining.take().filter(|_| !self.closed) else { return false };
        while let Some(logged) = joining.letters.pop() {
            let revision = logged.event.revision;
            if revision > position.revision {
                self.queue.push(logged);
                self.position = self.position.max(LogPosition::after(revision));
            }
        }
        self.live = true;
        true
    }

    fn fall_behind(&mut self, previous: Revision) {
        self.joining = None;
        // While it was live nothing up to `previous` was missed, whatever its last event was.
        if self.live {
            self.live = false;
            self.position = self.position.max(LogPosition::after(previous));
        }
    }
}
