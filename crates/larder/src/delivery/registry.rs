//! Who receives changes: the mailboxes of watchers, found by pattern, and the callbacks.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::callbacks::Callbacks;
use super::index::Index;
use super::mailbox::Mailbox;
use crate::data::{Event, LogPosition, Pattern, Result, Revision, locked};
use crate::engine::{Interest, Logged};

/// Who wants to hear of changes.
#[derive(Default)]
pub(crate) struct Registry {
    /// The watchers. Taken for a moment by each commit while there are any.
    index: Mutex<Index>,
    /// How many watchers there are, so that a commit without any takes no lock.
    watchers: AtomicUsize,
    /// The last commit that was published.
    published: AtomicU64,
    /// How often commits of others were heard of.
    heard: AtomicU64,
    pub callbacks: Callbacks,
    closed: AtomicBool,
}

impl Registry {
    /// Adds a watcher for what comes after the position that `from` says. It is asked only once
    /// commits know that somebody listens, so that none falls in between.
    pub fn add(&self, pattern: Pattern, from: impl FnOnce() -> Result<LogPosition>) -> Result<Arc<Mailbox>> {
        // SeqCst, with the load in `interest`: see `publish` for a commit that looked too early.
        self.watchers.fetch_add(1, Ordering::SeqCst);
        let mailbox = match from() {
            Ok(position) => Arc::new(Mailbox::new(pattern, position)),
            Err(error) => {
                self.watchers.fetch_sub(1, Ordering::SeqCst);
                return Err(error);
            }
        };
        let mut index = self.lock();
        // Checked under the lock that `close` takes after it has set the flag.
        if self.closed.load(Ordering::SeqCst) {
            mailbox.close();
        }
        index.insert(Arc::clone(&mailbox));
        Ok(mailbox)
    }

    pub fn remove(&self, mailbox: &Arc<Mailbox>) {
        self.lock().remove(mailbox);
        self.watchers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether anybody listens.
    pub fn has_watchers(&self) -> bool {
        self.watchers.load(Ordering::SeqCst) > 0
    }

    /// To be noted before a watcher reads the log, for `go_live`.
    pub fn heard(&self) -> u64 {
        self.heard.load(Ordering::SeqCst)
    }

    /// Lets a watcher that has read the whole log up to its position go over to live delivery, unless
    /// there was a commit since, or commits of others were heard of since `heard` was noted; whether it
    /// is live.
    pub fn go_live(&self, mailbox: &Mailbox, heard: u64) -> bool {
        let mut letters = mailbox.lock();
        // `publish` stores the revision before it takes a mailbox's lock. So either it is seen here,
        // and the watcher reads on in the log; or `publish` comes for this lock later, finds the
        // watcher live, and delivers.
        // `others_committed` counts before it takes a mailbox's lock, to the same end.
        letters.live = !letters.closed
            && self.published.load(Ordering::SeqCst) <= letters.position.revision.0
            && self.heard.load(Ordering::SeqCst) == heard;
        letters.live
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.lock().all().for_each(|mailbox| mailbox.close());
        self.callbacks.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        locked(&self.index)
    }

    pub fn callback_depth(&self) -> Result<usize> {
        self.callbacks.depth()
    }

    /// Runs the callbacks for the changes of a commit, on the thread whose commit it was.
    pub fn call_back(&self, events: &[Arc<Event>], depth: usize) {
        self.callbacks.run(events, depth);
    }
}

/// What the engine tells: see [`Sink`](crate::engine::Sink).
impl Registry {
    pub fn interest(&self) -> Interest {
        if !self.callbacks.is_empty() {
            Interest::Every
        } else if self.watchers.load(Ordering::SeqCst) > 0 {
            Interest::Some
        } else {
            Interest::None
        }
    }

    pub fn others_committed(&self) {
        self.heard.fetch_add(1, Ordering::SeqCst);
        let index = self.lock();
        let previous = Revision(self.published.load(Ordering::SeqCst));
        index.all().for_each(|mailbox| mailbox.send_to_log(previous));
    }

    pub fn publish(&self, before: Revision, revision: Revision, events: Option<&[Arc<Event>]>) {
        let previous = Revision(self.published.swap(revision.0, Ordering::SeqCst));
        if self.watchers.load(Ordering::SeqCst) == 0 {
            return;
        }
        let index = self.lock();
        // Without the events (too many, or nobody listened when the commit began), or after commits
        // of other processes, only the log has all of it.
        let Some(events) = events.filter(|_| previous == before) else {
            index.all().for_each(|mailbox| mailbox.send_to_log(previous));
            return;
        };
        if let [event] = events {
            let logged = [Logged { step: 0, event: Arc::clone(event) }];
            index.find(event, |mailbox| mailbox.deliver(revision, previous, &logged));
            return;
        }
        // A watcher gets all that it wants of a commit at once.
        let mut wanted: Vec<(&Arc<Mailbox>, Vec<Logged>)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for (step, event) in (0..).zip(events) {
            index.find(event, |mailbox| {
                let place = *places.entry(Arc::as_ptr(mailbox)).or_insert_with(|| {
                    wanted.push((mailbox, Vec::new()));
                    wanted.len() - 1
                });
                wanted[place].1.push(Logged { step, event: Arc::clone(event) });
            });
        }
        for (mailbox, events) in wanted {
            mailbox.deliver(revision, previous, &events);
        }
    }
}
