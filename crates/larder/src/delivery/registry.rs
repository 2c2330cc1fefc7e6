//! Who receives changes: the mailboxes of watchers, found by pattern, and the callbacks.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::account::Accounts;
use super::callbacks::Callbacks;
use super::grouped::Grouped;
use super::index::{Index, Part};
use super::mailbox::{Mailbox, Woken};
use crate::data::{Error, Event, LogPosition, Pattern, Result, Revision, locked};
use crate::engine::{Interest, Logged};

/// Who wants to hear of changes.
#[derive(Default)]
pub(crate) struct Registry {
    /// The watchers. Taken for a moment by each commit while there are any.
    index: Mutex<Index>,
    /// How many watchers there are, so that a commit without any takes no lock.
    watchers: AtomicUsize,
    /// The last commit that was published, or is being published.
    published: AtomicU64,
    /// The last commit whose events every live mailbox has, as far as it wants them. Changed under the lock of `index`.
    delivered: AtomicU64,
    /// How often commits of others were heard of.
    heard: AtomicU64,
    /// Which history the published revisions are of. Taken after `index` where both are.
    history: Mutex<History>,
    pub callbacks: Callbacks,
    accounts: Accounts,
    closed: AtomicBool,
}

/// The history of revisions that a store is on: see [`Sink::restored`](crate::engine::Sink::restored).
#[derive(Clone)]
struct History {
    /// The store's identity, which names the history.
    identity: Arc<str>,
    /// The latest commit when this history was found.
    begins_after: Revision,
}

impl Default for History {
    fn default() -> Self {
        Self { identity: Arc::from(""), begins_after: Revision(0) }
    }
}

impl Registry {
    /// Returns the store's identity.
    pub fn identity(&self) -> Arc<str> {
        Arc::clone(&locked(&self.history).identity)
    }

    /// Notes the identity of a store that was just opened, unless the engine has told a later one already.
    pub fn set_identity(&self, identity: Arc<str>) {
        let mut history = locked(&self.history);
        if history.identity.is_empty() {
            history.identity = identity;
        }
    }

    /// Notes up to which commit the store had got when it was opened.
    pub fn opened_at(&self, revision: Revision) {
        self.published.fetch_max(revision.0, Ordering::SeqCst);
    }

    /// Adds a watcher for what comes after the position that `from` says. It is asked only once
    /// commits know that somebody listens, so that none falls in between. The groups of its handle start with `prefix`.
    ///
    /// # Errors
    /// `QuotaExceeded` if that is a namespace with `watchers_max` watchers, and those of `from`.
    pub fn add(
        &self,
        prefix: &str,
        watchers_max: u64,
        pattern: Pattern,
        from: impl FnOnce(&Pattern) -> Result<LogPosition>,
    ) -> Result<Arc<Mailbox>> {
        let account = self.accounts.add(prefix, watchers_max)?;
        // SeqCst, with the load in `interest`: see `publish` for a commit that looked too early.
        self.watchers.fetch_add(1, Ordering::SeqCst);
        // It collects what is published from here on, so it goes live whatever the log has lost since.
        let identity = self.identity();
        let mailbox = Arc::new(Mailbox::new(pattern, prefix, account, Arc::clone(&identity)));
        mailbox.lock().begin_to_join(|| self.published());
        {
            let mut index = self.lock();
            // Checked under the lock that `close` takes after it has set the flag.
            if self.closed.load(Ordering::SeqCst) {
                // It is new, so no task waits at it.
                drop(mailbox.close());
            }
            // `restored` sets another history under the lock of the index.
            let history = locked(&self.history).clone();
            if history.identity != identity {
                drop(mailbox.start_over(&history.identity, history.begins_after));
            }
            index.insert(Arc::clone(&mailbox));
        }
        match from(&mailbox.pattern) {
            Ok(position) => {
                let mut letters = mailbox.lock();
                // If the store was restored meanwhile, the position may be of the history before.
                if letters.moves == 0 {
                    letters.begin_at(position);
                }
            }
            Err(error) => {
                self.remove(&mailbox);
                return Err(error);
            }
        }
        Ok(mailbox)
    }

    pub fn remove(&self, mailbox: &Arc<Mailbox>) {
        self.lock().remove(mailbox);
        self.watchers.fetch_sub(1, Ordering::SeqCst);
        self.accounts.remove(&mailbox.prefix);
    }

    /// Whether anybody listens.
    pub fn has_watchers(&self) -> bool {
        self.watchers.load(Ordering::SeqCst) > 0
    }

    /// To be noted before a watcher reads the log, for `go_live`.
    pub fn heard(&self) -> u64 {
        self.heard.load(Ordering::SeqCst)
    }

    /// The last commit of this process that was published.
    pub fn published(&self) -> Revision {
        Revision(self.published.load(Ordering::SeqCst))
    }

    /// Lets a watcher that has read the whole log up to `position` go over to live delivery, unless commits of others
    /// were heard of since `heard` was noted, or more was published meanwhile than it can hold; whether it is live.
    pub fn go_live(&self, mailbox: &Mailbox, position: LogPosition, heard: u64) -> bool {
        let mut letters = mailbox.lock();
        // What was published since the watcher began to join is at hand, and what was published before is in the log
        // that it has read: a commit is in the log before it is published. `others_committed` counts before it
        // takes a mailbox's lock. So commits of others are noticed here, or send the watcher to the log again.
        self.heard.load(Ordering::SeqCst) == heard && letters.join(position)
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let woken: Vec<_> = self.lock().all().filter_map(|mailbox| mailbox.close()).collect();
        drop(woken);
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
        // Not `published`: a commit that another thread is about to deliver would be skipped.
        let previous = Revision(self.delivered.load(Ordering::SeqCst));
        let woken: Vec<_> = index.all().filter_map(|mailbox| mailbox.send_to_log(previous)).collect();
        drop(index);
        drop(woken);
    }

    #[cfg_attr(not(feature = "etcd"), allow(dead_code, reason = "only a cluster tells of it"))]
    pub fn restored(&self, identity: &Arc<str>, latest: Revision) {
        let index = self.lock();
        *locked(&self.history) = History { identity: Arc::clone(identity), begins_after: latest };
        self.published.store(latest.0, Ordering::SeqCst);
        self.delivered.store(latest.0, Ordering::SeqCst);
        // Keeps a watcher that is reading the log from going live at a position of the history before.
        self.heard.fetch_add(1, Ordering::SeqCst);
        let woken: Vec<_> = index.all().filter_map(|mailbox| mailbox.start_over(identity, latest)).collect();
        drop(index);
        drop(woken);
    }

    #[cfg_attr(not(feature = "etcd"), allow(dead_code, reason = "only a cluster tells of it"))]
    pub fn feed_refused(&self, error: &Error) {
        let woken: Vec<_> = self.lock().all().filter_map(|mailbox| mailbox.refuse(error.clone())).collect();
        drop(woken);
    }

    pub fn publish(&self, before: Revision, revision: Revision, events: Option<&[Arc<Event>]>) {
        let previous = Revision(self.published.swap(revision.0, Ordering::SeqCst));
        if self.watchers.load(Ordering::SeqCst) == 0 {
            return;
        }
        // Declared before the lock, so dropped after it.
        let mut woken = Vec::new();
        let index = self.lock();
        // Without the events (too many, or nobody listened when the commit began), or after commits
        // of other processes, only the log has all of it.
        match events.filter(|_| previous == before) {
            Some(events) => Self::deliver(&index, previous, revision, events, &mut woken),
            None => woken.extend(index.all().filter_map(|mailbox| mailbox.send_to_log(previous))),
        }
        // Only now: if this has panicked, `others_committed` sends the watchers to the log for this commit too.
        self.delivered.store(revision.0, Ordering::SeqCst);
    }

    fn deliver(
        index: &Index,
        previous: Revision,
        revision: Revision,
        events: &[Arc<Event>],
        woken: &mut Vec<Woken>,
    ) {
        if let [event] = events {
            let logged = [Logged { step: 0, event: Arc::clone(event) }];
            for part in index.of(&event.group) {
                part.find(event, |mailbox| woken.extend(mailbox.deliver(revision, previous, &logged)));
            }
            return;
        }
        let mut parts: Grouped<&Part, Logged> = Grouped::default();
        for (step, event) in (0..).zip(events) {
            for part in index.of(&event.group) {
                parts.push(std::ptr::from_ref(part), part, Logged { step, event: Arc::clone(event) });
            }
        }
        for (part, events) in parts.all {
            if part.wants_too_much(&events) {
                woken.extend(part.all().filter_map(|mailbox| mailbox.send_to_log(previous)));
                continue;
            }
            // A watcher gets all that it wants of a commit at once.
            let mut wanted: Grouped<&Arc<Mailbox>, Logged> = Grouped::default();
            for logged in &events {
                part.find(&logged.event, |mailbox| {
                    wanted.push(Arc::as_ptr(mailbox), mailbox, logged.clone())
                });
            }
            for (mailbox, events) in wanted.all {
                woken.extend(mailbox.deliver(revision, previous, &events));
            }
        }
    }

    /// To how many watchers of their own namespaces events are offered, all together.
    pub fn offers(&self, events: &[Arc<Event>]) -> u64 {
        if self.watchers.load(Ordering::SeqCst) == 0 { 0 } else { self.lock().offers(events) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::index::OFFERS_MAX;
    use super::*;
    use crate::data::{EventKind, NamePattern};

    const MIB: usize = 1 << 20;

    fn watcher(registry: &Registry, prefix: &str) -> Arc<Mailbox> {
        let pattern = Pattern {
            group: NamePattern::Prefix(prefix.to_owned()),
            key: NamePattern::Prefix(String::new()),
        };
        let start = |_: &Pattern| Ok(LogPosition::after(Revision(0)));
        let mailbox = registry.add(prefix, 1000, pattern, start).unwrap();
        assert!(registry.go_live(&mailbox, LogPosition::after(Revision(0)), registry.heard()));
        mailbox
    }

    fn publish(registry: &Registry, group: &str, revision: u64, bytes: usize) {
        let event = Event {
            revision: Revision(revision),
            kind: EventKind::Set,
            group: group.to_owned(),
            key: Some("k".into()),
            value: Some(vec![0; bytes].into()),
            expires_at: None,
            at: std::time::SystemTime::UNIX_EPOCH,
        };
        registry.publish(Revision(revision - 1), Revision(revision), Some(&[Arc::new(event)]));
    }

    fn small(group: &str, revision: u64) -> Arc<Event> {
        Arc::new(Event {
            revision: Revision(revision),
            kind: EventKind::Set,
            group: group.to_owned(),
            key: Some("k".into()),
            value: Some("v".into()),
            expires_at: None,
            at: std::time::SystemTime::UNIX_EPOCH,
        })
    }

    #[test]
    fn a_commit_that_too_many_watchers_of_a_namespace_want_is_left_to_the_log_for_them_alone() {
        let registry = Registry::default();
        let hostile: Vec<_> = (0..1000).map(|_| watcher(&registry, "hostile:")).collect();
        let (quiet, whole) = (watcher(&registry, "quiet:"), watcher(&registry, ""));
        let commit = |revision: u64, of_hostile: u64| {
            let mut events: Vec<_> = (0..of_hostile).map(|_| small("hostile:g", revision)).collect();
            events.push(small("quiet:g", revision));
            registry.publish(Revision(revision - 1), Revision(revision), Some(&events));
            registry.offers(&events)
        };
        let (fit, most) = (200, OFFERS_MAX / 1000);
        assert_eq!(commit(1, fit), fit * 1000 + 1);
        assert!(hostile.iter().all(|mailbox| mailbox.lock().live && waiting(mailbox) as u64 == fit));
        commit(2, most + 1);
        assert!(hostile.iter().all(|mailbox| !mailbox.lock().live && waiting(mailbox) == 0));
        // They read on after the commit before.
        let position = hostile.first().unwrap().lock().position;
        assert_eq!(position, LogPosition::after(Revision(1)));
        assert_eq!((waiting(&quiet), quiet.lock().live), (2, true));
        assert_eq!((waiting(&whole) as u64, whole.lock().live), (fit + most + 3, true));
    }

    #[test]
    fn events_of_one_namespace_are_offered_to_no_watcher_of_another() {
        let registry = Registry::default();
        let hostile = watcher(&registry, "hostile:");
        let (quiet, whole) = (watcher(&registry, "quiet:"), watcher(&registry, ""));
        let groups = ["hostile:g", "quiet:g", "hostile", "other:g", "g", ":g", ""];
        let parts =
            |group: &str| registry.lock().of(group).map(|part| part.all().count()).collect::<Vec<_>>();
        assert_eq!(groups.map(|group| parts(group).len()), [2, 2, 1, 1, 1, 1, 1]);
        for (group, revision) in groups.into_iter().zip(1..) {
            let event = small(group, revision);
            registry.publish(Revision(revision - 1), Revision(revision), Some(&[event]));
        }
        assert_eq!([&hostile, &quiet, &whole].map(|mailbox| waiting(mailbox)), [1, 1, groups.len()]);
        registry.remove(&hostile);
        assert_eq!(parts("hostile:g"), [1]);
    }

    fn waiting(mailbox: &Mailbox) -> usize {
        let mut letters = mailbox.lock();
        std::iter::from_fn(|| letters.queue.pop()).count()
    }

    #[test]
    fn what_waits_for_the_watchers_of_one_namespace_is_bounded_for_all_of_them_together() {
        let registry = Registry::default();
        let hostile: Vec<_> = (0..10).map(|_| watcher(&registry, "hostile:")).collect();
        let (quiet, whole) = (watcher(&registry, "quiet:"), watcher(&registry, ""));
        for revision in 1..=100 {
            publish(&registry, "hostile:g", revision, MIB);
        }
        publish(&registry, "quiet:g", 101, MIB);
        // Those who have no room go on with the change log.
        assert!(hostile.iter().all(|mailbox| !mailbox.lock().live));
        let held: usize = hostile.iter().map(|mailbox| waiting(mailbox)).sum();
        assert!((50..=64).contains(&held), "{held} MiB wait");
        assert_eq!((waiting(&quiet), quiet.lock().live), (1, true));
        assert_eq!((waiting(&whole), whole.lock().live), (101, true));
        // What was taken leaves room.
        let late = watcher(&registry, "hostile:");
        publish(&registry, "hostile:g", 102, MIB);
        assert_eq!((waiting(&late), late.lock().live), (1, true));
    }

    #[test]
    fn a_watcher_that_is_sent_to_the_log_reads_what_was_not_delivered_to_it() {
        let registry = Registry::default();
        let mailbox = watcher(&registry, "");
        publish(&registry, "g", 1, 1);
        // As `publish` does before it takes the lock of the index.
        registry.published.store(2, Ordering::SeqCst);
        registry.others_committed();
        let letters = mailbox.lock();
        assert_eq!((letters.live, letters.position), (false, LogPosition::after(Revision(1))));
    }

    #[test]
    fn a_commit_that_is_published_while_others_are_noticed_is_delivered_or_left_to_the_log() {
        const ROUNDS: u64 = if cfg!(miri) { 100 } else { 60_000 };
        let (registry, is_over) = (Registry::default(), AtomicBool::new(false));
        let mailbox = watcher(&registry, "");
        std::thread::scope(|threads| {
            threads.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    registry.others_committed();
                }
            });
            let lost = (1..=ROUNDS).find(|round| {
                let revision = Revision(*round);
                publish(&registry, "g", *round, 1);
                let mut letters = mailbox.lock();
                let taken = std::iter::from_fn(|| letters.queue.pop());
                let is_delivered = taken.map(|logged| logged.event.revision).eq([revision]);
                // Whoever is behind reads the log after its position.
                let is_left_to_the_log = !letters.live && letters.position.revision < revision;
                letters.begin_to_join(|| revision);
                drop(letters);
                registry.go_live(&mailbox, LogPosition::after(revision), registry.heard());
                !is_delivered && !is_left_to_the_log
            });
            is_over.store(true, Ordering::Relaxed);
            assert_eq!(lost, None, "no watcher receives this commit");
        });
    }

    #[test]
    fn a_watcher_that_is_dropped_gives_back_what_it_held() {
        let registry = Registry::default();
        for round in 0..100 {
            let mailbox = watcher(&registry, "hostile:");
            publish(&registry, "hostile:g", round + 1, MIB);
            assert!(mailbox.lock().live, "in round {round}");
            registry.remove(&mailbox);
        }
    }
}
