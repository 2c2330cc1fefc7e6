//! Which queued commits share one etcd transaction: a cohort.
//!
//! All commits of a cohort have one revision. A caller that is told the revision of its entry may make a later
//! write conditional on it, and that condition must fail once another caller has written the entry. So the
//! second write of an entry waits for the next cohort, and every commit that names the entry waits behind it.
//! All other commits overtake them.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};

use super::queue::QueuedCommit;
use crate::engine::{Commit, Mutation, Reply};

/// How many queued commits are looked at for each place in a cohort.
const LOOKED_AT: usize = 4;

/// Moves the commits of the next cohort, at most `most`, to the front of the queue. Returns how many they are.
pub fn form_cohort(waiting: &mut VecDeque<QueuedCommit>, most: usize) -> usize {
    let looked_at = waiting.len().min(most.saturating_mul(LOOKED_AT));
    let joins = joining(waiting.iter().take(looked_at).map(|queued| &queued.commit), most);
    let count = joins.iter().filter(|joins| **joins).count();
    if joins.iter().take(count).all(|joins| *joins) {
        return count;
    }
    let (mut joined, mut left) = (Vec::with_capacity(count), Vec::new());
    for (queued, joins) in waiting.drain(..joins.len()).zip(joins) {
        if joins { joined.push(queued) } else { left.push(queued) }
    }
    for queued in joined.into_iter().chain(left).rev() {
        waiting.push_front(queued);
    }
    count
}

/// Whether each commit joins the cohort. The result ends where the cohort is full, or where no later commit can
/// join.
fn joining<'a>(commits: impl Iterator<Item = &'a Commit>, most: usize) -> Vec<bool> {
    // The entries that the cohort writes, and whether a caller is told the revision of each.
    let mut written: HashMap<Entry<'_>, bool> = HashMap::new();
    let mut left: HashSet<Entry<'_>> = HashSet::new();
    let (mut joins, mut count) = (Vec::new(), 0);
    for commit in commits {
        if count == most || (!left.is_empty() && reaches_beyond_entries(commit)) {
            break;
        }
        let stays_behind = writes(commit).any(|entry| written.get(&entry).is_some_and(|told| *told))
            || requires(commit).any(|entry| written.contains_key(&entry))
            || (!left.is_empty() && names(commit).any(|entry| left.contains(&entry)));
        if stays_behind {
            if reaches_beyond_entries(commit) {
                break;
            }
            left.extend(names(commit));
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

/// The entries that exist after a commit because it writes them.
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

/// The entries that a commit names.
fn names(commit: &Commit) -> impl Iterator<Item = Entry<'_>> {
    let mutated = commit.mutations.iter().filter_map(Mutation::entry);
    mutated.chain(requires(commit))
}

/// Whether a commit may affect entries that it does not name. Such a commit keeps its place in the queue.
fn reaches_beyond_entries(commit: &Commit) -> bool {
    commit.mutations.iter().any(|mutation| mutation.entry().is_none())
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::data::Condition;
    use crate::engine::etcd::client::Asked;
    use crate::engine::{Requirement, Share};

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

    /// A commit of one mutation, or a batch.
    fn of(mut mutations: Vec<Mutation>) -> Commit {
        if mutations.len() > 1 { mutations.into() } else { mutations.remove(0).into() }
    }

    fn joins(commits: Vec<Vec<Mutation>>) -> Vec<bool> {
        let commits: Vec<_> = commits.into_iter().map(of).collect();
        joining(commits.iter(), usize::MAX)
    }

    #[test]
    fn a_second_write_of_an_entry_waits_and_so_does_what_names_the_entry_after_it() {
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
    fn increments_of_one_entry_share_a_cohort_unless_a_caller_is_told_the_revision() {
        let commits = vec![vec![increment("n")], vec![increment("n")], vec![set("n")], vec![increment("n")]];
        assert_eq!(joins(commits), [true, true, true, false]);
        let commits = [of(vec![increment("n")]), vec![increment("n")].into(), of(vec![increment("n")])];
        assert_eq!(joining(commits.iter(), usize::MAX), [true, true, false]);
    }

    #[test]
    fn a_condition_on_an_entry_that_the_cohort_writes_waits() {
        let mut conditional = of(vec![set("b")]);
        let condition = Condition::Absent;
        conditional.requirements.push(Requirement { group: "g".into(), key: "a".into(), condition });
        let commits = [of(vec![increment("a")]), conditional, of(vec![set("b")]), of(vec![delete("c")])];
        assert_eq!(joining(commits.iter(), usize::MAX), [true, false, false, true]);
    }

    #[test]
    fn nothing_overtakes_a_commit_that_affects_more_than_it_names() {
        let commits = vec![vec![set("a")], vec![delete_group()], vec![set("b")]];
        assert_eq!(joins(commits), [true, true, true]);
        let commits = vec![vec![set("a")], vec![set("a")], vec![delete_group()], vec![set("b")]];
        assert_eq!(joins(commits), [true, false]);
        let commits = vec![vec![set("a")], vec![delete_group(), set("a")], vec![set("b")]];
        assert_eq!(joins(commits), [true]);
    }

    #[test]
    fn waiting_commits_keep_their_order() {
        let mut waiting: VecDeque<_> = ["a", "a", "b", "a", "c"]
            .map(|key| {
                let (commit, reply) = (of(vec![set(key)]), oneshot::channel().0);
                let party = Share::of(&commit).party;
                QueuedCommit { commit, party, asked: Asked::default(), was_recovering: false, reply }
            })
            .into();
        assert_eq!(form_cohort(&mut waiting, 2), 2);
        let keys = |waiting: &VecDeque<QueuedCommit>| -> Vec<String> {
            let key = |queued: &QueuedCommit| names(&queued.commit).map(|(_, key)| key.to_owned()).collect();
            waiting.iter().map(key).collect()
        };
        assert_eq!(keys(&waiting), ["a", "b", "a", "a", "c"]);
        waiting.drain(..2);
        assert_eq!(form_cohort(&mut waiting, 9), 2);
        assert_eq!(keys(&waiting), ["a", "c", "a"]);
    }
}
