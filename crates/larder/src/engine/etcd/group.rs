//! Which of those that wait go into one transaction.
//!
//! All that is in it shares a revision. Who is told that of an entry may make a condition of it, which must not
//! hold where somebody else has written the entry since; so a second write of one entry waits for the next
//! transaction, and whatever concerns the same entry waits behind it, while all others go on.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::data::Result;
use crate::engine::{Commit, Committed, Mutation, Reply};

/// How many are looked at for each that a group may have.
const LOOKED_AT: usize = 4;

/// For how long those who were just answered are waited for.
const GATHERING_MAX: Duration = Duration::from_millis(1);
const LOOKING_EVERY: Duration = Duration::from_micros(20);

/// For how many rounds nobody is waited for at the most, where that was in vain.
const WITHOUT_MAX: u32 = 63;

/// A batch, and who waits for it.
pub(super) struct Ticket {
    pub commit: Commit,
    pub reply: oneshot::Sender<Result<Committed>>,
}

/// What waits to be committed, in the order in which it is.
pub(super) struct Queue {
    incoming: mpsc::UnboundedReceiver<Ticket>,
    pub waiting: VecDeque<Ticket>,
    /// How many were there when the last ones were answered, with these.
    expected: usize,
    /// Who waits in vain does without for some rounds, each time for longer: how many it was the last time, and
    /// how many it still is.
    rounds_without: (u32, u32),
}

impl Queue {
    pub fn new(incoming: mpsc::UnboundedReceiver<Ticket>) -> Self {
        Self { incoming, waiting: VecDeque::new(), expected: 0, rounds_without: (0, 0) }
    }

    /// Waits until something waits; `false` where nobody can send anything any more.
    pub async fn is_wanted(&mut self) -> bool {
        if self.waiting.is_empty() {
            let Some(ticket) = self.incoming.recv().await else { return false };
            self.waiting.push_back(ticket);
        }
        self.take_in();
        // Who has given up before it was begun with wants it no more.
        self.waiting.retain(|ticket| !ticket.reply.is_closed());
        true
    }

    /// Takes out the first so many, which are about to be answered.
    pub fn take(&mut self, count: usize) -> Vec<Ticket> {
        self.take_in();
        self.expected = self.waiting.len();
        self.waiting.drain(..count).collect()
    }

    /// Waits a little for those who were just answered: often they come back at once, and together with those
    /// who wait they take hardly longer than half of them would.
    pub async fn gather(&mut self, patience: Duration) {
        let expected = std::mem::take(&mut self.expected);
        self.take_in();
        let missing = expected.saturating_sub(self.waiting.len());
        if expected <= 1 || missing == 0 {
            return;
        }
        let (last, left) = &mut self.rounds_without;
        if *left > 0 {
            *left -= 1;
            return;
        }
        let last = *last;
        let until = Instant::now() + patience.min(GATHERING_MAX);
        while self.waiting.len() < expected && Instant::now() < until {
            // The runtime's timers are too coarse for this, and who spins keeps the callers from a core.
            std::thread::sleep(LOOKING_EVERY);
            yield_now().await;
            self.take_in();
        }
        let in_vain = expected.saturating_sub(self.waiting.len()) > missing / 2;
        let without = if in_vain { (2 * last + 1).min(WITHOUT_MAX) } else { 0 };
        self.rounds_without = (without, without);
    }

    fn take_in(&mut self) {
        while let Ok(ticket) = self.incoming.try_recv() {
            self.waiting.push_back(ticket);
        }
    }
}

/// Brings to the front those that may share a transaction, not more than `most`; how many they are.
pub(super) fn together(waiting: &mut VecDeque<Ticket>, most: usize) -> usize {
    let looked_at = waiting.len().min(most.saturating_mul(LOOKED_AT));
    let joins = joining(waiting.iter().take(looked_at).map(|ticket| &ticket.commit), most);
    let count = joins.iter().filter(|joins| **joins).count();
    if joins.iter().take(count).all(|joins| *joins) {
        return count;
    }
    let (mut joined, mut left) = (Vec::with_capacity(count), Vec::new());
    for (ticket, joins) in waiting.drain(..joins.len()).zip(joins) {
        if joins { joined.push(ticket) } else { left.push(ticket) }
    }
    for ticket in joined.into_iter().chain(left).rev() {
        waiting.push_front(ticket);
    }
    count
}

/// Which of some commits go into one transaction, as far as they were looked at.
fn joining<'a>(commits: impl Iterator<Item = &'a Commit>, most: usize) -> Vec<bool> {
    // What is written, and whether somebody is told the revision of that.
    let mut written: HashMap<Entry<'_>, bool> = HashMap::new();
    let mut left: HashSet<Entry<'_>> = HashSet::new();
    let (mut joins, mut count) = (Vec::new(), 0);
    for commit in commits {
        if count == most || (!left.is_empty() && reaches_beyond_entries(commit)) {
            break;
        }
        let stays_behind = writes(commit).any(|entry| written.get(&entry).is_some_and(|told| *told))
            || requires(commit).any(|entry| written.contains_key(&entry))
            || (!left.is_empty() && concerns(commit).any(|entry| left.contains(&entry)));
        if stays_behind {
            if reaches_beyond_entries(commit) {
                break;
            }
            left.extend(concerns(commit));
        } else {
            let told = commit.reply == Reply::Revision;
            for entry in writes(commit) {
                *written.entry(entry).or_default() |= told;
            }
            count += 1;
        }
        joins.push(!stays_behind);
    }
    joins
}

type Entry<'a> = (&'a str, &'a str);

/// The entries that are there after a batch because it has written them.
fn writes(commit: &Commit) -> impl Iterator<Item = Entry<'_>> {
    commit.mutations.iter().filter_map(|mutation| match mutation {
        Mutation::Set { group, key, .. }
        | Mutation::Touch { group, key, .. }
        | Mutation::Increment { group, key, .. } => Some((&**group, &**key)),
        _ => None,
    })
}

fn requires(commit: &Commit) -> impl Iterator<Item = Entry<'_>> {
    commit.requirements.iter().map(|requirement| (&*requirement.group, &*requirement.key))
}

/// The entries that a batch names.
fn concerns(commit: &Commit) -> impl Iterator<Item = Entry<'_>> {
    let deletes = commit.mutations.iter().filter_map(|mutation| match mutation {
        Mutation::Delete { group, key } => Some((&**group, &**key)),
        _ => None,
    });
    writes(commit).chain(deletes).chain(requires(commit))
}

/// Whether a batch concerns what it does not name: it stays in its place.
fn reaches_beyond_entries(commit: &Commit) -> bool {
    !commit.mutations.iter().all(|mutation| {
        matches!(
            mutation,
            Mutation::Set { .. }
                | Mutation::Touch { .. }
                | Mutation::Increment { .. }
                | Mutation::Delete { .. }
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Condition;
    use crate::engine::Requirement;

    fn set(key: &str) -> Mutation {
        Mutation::Set { group: "g".into(), key: key.into(), value: "v".into(), expires_at_ms: None }
    }

    fn increment(key: &str) -> Mutation {
        Mutation::Increment { group: "g".into(), key: key.into(), by: 1 }
    }

    fn delete(key: &str) -> Mutation {
        Mutation::Delete { group: "g".into(), key: key.into() }
    }

    fn delete_group() -> Mutation {
        Mutation::DeleteGroup { group: "g".into() }
    }

    /// A call of its own, or a batch.
    fn of(mut mutations: Vec<Mutation>) -> Commit {
        if mutations.len() > 1 { mutations.into() } else { mutations.remove(0).into() }
    }

    fn joins(commits: Vec<Vec<Mutation>>) -> Vec<bool> {
        let commits: Vec<_> = commits.into_iter().map(of).collect();
        joining(commits.iter(), usize::MAX)
    }

    #[test]
    fn a_second_write_of_an_entry_waits_and_what_concerns_the_entry_behind_it() {
        let commits = vec![
            vec![set("a")],
            vec![set("a")],
            vec![set("b")],
            vec![delete("a")],
            vec![set("c"), increment("a")],
            vec![set("c")],
            vec![set("d")],
        ];
        assert_eq!(joins(commits), [true, false, true, false, false, false, true]);
    }

    #[test]
    fn increments_of_one_entry_share_a_transaction_unless_somebody_is_told_the_revision() {
        let commits = vec![vec![increment("n")], vec![increment("n")], vec![set("n")], vec![increment("n")]];
        assert_eq!(joins(commits), [true, true, true, false]);
        let commits = [of(vec![increment("n")]), vec![increment("n")].into(), of(vec![increment("n")])];
        assert_eq!(joining(commits.iter(), usize::MAX), [true, true, false]);
    }

    #[test]
    fn a_condition_on_an_entry_that_is_written_waits() {
        let mut conditional = of(vec![set("b")]);
        let condition = Condition::Absent;
        conditional.requirements.push(Requirement { group: "g".into(), key: "a".into(), condition });
        let commits = [of(vec![increment("a")]), conditional, of(vec![set("b")]), of(vec![delete("c")])];
        assert_eq!(joining(commits.iter(), usize::MAX), [true, false, false, true]);
    }

    #[test]
    fn nothing_is_put_before_or_after_what_concerns_more_than_it_names() {
        let commits = vec![vec![set("a")], vec![delete_group()], vec![set("b")]];
        assert_eq!(joins(commits), [true, true, true]);
        let commits = vec![vec![set("a")], vec![set("a")], vec![delete_group()], vec![set("b")]];
        assert_eq!(joins(commits), [true, false]);
        let commits = vec![vec![set("a")], vec![delete_group(), set("a")], vec![set("b")]];
        assert_eq!(joins(commits), [true]);
    }

    #[test]
    fn those_who_wait_keep_their_order() {
        let mut waiting: VecDeque<_> = ["a", "a", "b", "a", "c"]
            .map(|key| Ticket { commit: of(vec![set(key)]), reply: oneshot::channel().0 })
            .into();
        assert_eq!(together(&mut waiting, 2), 2);
        let keys = |waiting: &VecDeque<Ticket>| -> Vec<String> {
            let key = |ticket: &Ticket| concerns(&ticket.commit).map(|(_, key)| key.to_owned()).collect();
            waiting.iter().map(key).collect()
        };
        assert_eq!(keys(&waiting), ["a", "b", "a", "a", "c"]);
        waiting.drain(..2);
        assert_eq!(together(&mut waiting, 9), 2);
        assert_eq!(keys(&waiting), ["a", "c", "a"]);
    }
}
