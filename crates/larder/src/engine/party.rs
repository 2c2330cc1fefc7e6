//! Whose turn a commit waits for, and how much of a turn it takes.

use std::hash::BuildHasher;
use std::hash::RandomState;
use std::sync::LazyLock;

use super::commit::{Commit, Mutation};
use crate::data::namespace::{SEPARATOR, namespace_of};

/// What one mutation weighs beside its bytes: the time for a small write is about that for so many bytes.
pub(crate) const MUTATION_WEIGHT: u64 = 2 << 10;

/// What a mutation weighs that may change any number of entries.
const SWEEP_WEIGHT: u64 = 128 << 10;

/// Whose turn something waits for. Commits of one party keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Party {
    /// The groups that belong to no namespace.
    Plain,
    /// The namespace whose name has this hash. Two that share a hash share their turns.
    Namespace(u64),
    /// The expiry timer of the whole store. What it removes no call sees, so it needs no place among the others.
    Expiry,
    /// Several namespaces at once, which only the owner's handles reach. It keeps its place: nothing overtakes it.
    Several,
}

impl Party {
    /// The party of a group, or of a cursor.
    fn of_name(name: &str) -> Self {
        namespace_of(name).map_or(Self::Plain, Self::of_namespace)
    }

    fn of_namespace(namespace: &str) -> Self {
        // Seeded at random, so that nobody can choose a name that shares another's turns.
        static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self::Namespace(SEED.hash_one(namespace))
    }

    /// The party of all groups whose names start with a prefix.
    fn of_prefix(prefix: &str) -> Self {
        if prefix.contains(SEPARATOR) { Self::of_name(prefix) } else { Self::Several }
    }

    /// The party of a handle whose groups start with a prefix. That of the whole store waits for its turn beside the
    /// namespaces.
    pub fn of_handle(prefix: &str) -> Self {
        Self::of_name(prefix)
    }
}

/// What a commit takes of the writer's time, and whose share that is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub party: Party,
    pub weight: u64,
}

impl Share {
    pub fn of(commit: &Commit) -> Self {
        let mut parties = Joined::default();
        let mut weight = 0;
        for requirement in &commit.requirements {
            parties.add_name(&requirement.group);
        }
        for mutation in &commit.mutations {
            weight += MUTATION_WEIGHT;
            match mutation {
                Mutation::Set { group, key, value, .. } => {
                    parties.add_name(group);
                    weight += (group.len() + key.len() + value.len()) as u64;
                }
                Mutation::Touch { group, .. }
                | Mutation::Increment { group, .. }
                | Mutation::Delete { group, .. } => parties.add_name(group),
                Mutation::DeleteGroup { group } => {
                    parties.add_name(group);
                    weight += SWEEP_WEIGHT;
                }
                Mutation::DeletePrefix { prefix } => {
                    parties.add(Party::of_prefix(prefix));
                    weight += SWEEP_WEIGHT;
                }
                Mutation::Purge { prefix, .. } if prefix.is_empty() => parties.add(Party::Expiry),
                Mutation::Purge { prefix, .. } => parties.add(Party::of_prefix(prefix)),
                Mutation::SetQuota { namespace, .. } => parties.add(Party::of_namespace(namespace)),
                Mutation::MoveCursor { name, .. } => parties.add_name(name),
                // A note says how far a copy came, so it must not overtake the entries that it speaks of. Those are in
                // the same commit, or were acknowledged before.
                Mutation::SetNote { .. } => {}
                Mutation::SetHistory { prefix, .. } => {
                    parties.add(Party::of_prefix(prefix));
                    weight += SWEEP_WEIGHT;
                }
            }
        }
        Self {
            party: parties.0.map_or(Party::Plain, |(party, _)| party),
            weight: weight.max(MUTATION_WEIGHT),
        }
    }
}

/// The party of several names, and the name that it was last made from: most commits name one group again and again.
#[derive(Default)]
struct Joined<'a>(Option<(Party, &'a str)>);

impl<'a> Joined<'a> {
    fn add_name(&mut self, name: &'a str) {
        if self.0.is_none_or(|(_, last)| last != name) {
            self.join(Party::of_name(name), name);
        }
    }

    fn add(&mut self, party: Party) {
        self.join(party, "");
    }

    fn join(&mut self, party: Party, name: &'a str) {
        let joined = match self.0 {
            Some((before, _)) if before != party => Party::Several,
            _ => party,
        };
        self.0 = Some((joined, name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(mutations: Vec<Mutation>) -> Party {
        Share::of(&mutations.into()).party
    }

    fn set(group: &str) -> Mutation {
        Mutation::Set { group: group.into(), key: "k".into(), value: "v".into(), expires_at_ms: None }
    }

    #[test]
    fn a_commit_belongs_to_the_one_namespace_that_it_names_or_to_several() {
        let of_a = party(vec![set("a:x")]);
        assert_eq!(party(vec![set("a:y"), set("a:z")]), of_a);
        assert_eq!(party(vec![Mutation::DeletePrefix { prefix: "a:x".into() }]), of_a);
        assert_eq!(Party::of_handle("a:"), of_a);
        assert_ne!(party(vec![set("b:x")]), of_a);
        assert_eq!(party(vec![set("x"), set("y")]), Party::Plain);
        assert_eq!(party(vec![set("a:x"), set("b:x"), set("a:x")]), Party::Several);
        assert_eq!(party(vec![set("a:x"), set("x")]), Party::Several);
        assert_eq!(party(vec![Mutation::DeletePrefix { prefix: "a".into() }]), Party::Several);
        assert_eq!(party(vec![Mutation::DeletePrefix { prefix: "".into() }]), Party::Several);
        assert_eq!(party(vec![Mutation::Purge { prefix: "".into(), max: 1 }]), Party::Expiry);
    }

    #[test]
    fn a_large_value_weighs_what_it_holds() {
        let large = Mutation::Set {
            group: "g".into(),
            key: "k".into(),
            value: vec![b'v'; 1 << 20].into(),
            expires_at_ms: None,
        };
        assert!(Share::of(&large.into()).weight > 1 << 20);
        assert_eq!(Share::of(&Commit::default()).weight, MUTATION_WEIGHT);
    }
}
