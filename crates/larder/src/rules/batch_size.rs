//! How large a batch or transaction of one namespace may be.

use crate::data::{Error, Resource, Result};
use crate::engine::{Commit, Mutation, Outcome, Room};

/// How many steps the deletion of a group, or of all with a prefix, counts as: it may look at any number of entries.
const STEPS_OF_DELETION: u64 = 64;

/// How large a batch or transaction of one namespace may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchMax {
    pub steps: u64,
    pub bytes: u64,
}

/// The size of a batch or transaction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BatchSize {
    steps: u64,
    bytes: u64,
    /// Whether it has one step. That step has limits of its own.
    is_single: bool,
}

impl BatchSize {
    /// The size with one more step.
    pub fn with(self, step: &Commit) -> Self {
        let (steps, bytes) = match &*step.mutations {
            [] => (1, step.requirements.iter().map(|required| size_of(&required.group, &required.key)).sum()),
            mutations => mutations
                .iter()
                .map(size_of_mutation)
                .fold((0, 0), |(steps, bytes), (more, size)| (steps + more, bytes + size)),
        };
        Self { steps: self.steps + steps, bytes: self.bytes + bytes, is_single: self.steps == 0 }
    }

    /// The size with what a step wrote that it does not name: a touch writes the value to the log again.
    pub fn with_touched(self, outcomes: &[Outcome]) -> Self {
        let touched = outcomes.iter().map(|outcome| match outcome {
            Outcome::Touched(size) => size.unwrap_or_default(),
            _ => 0,
        });
        Self { bytes: self.bytes + touched.sum::<u64>(), ..self }
    }

    /// The room that is left for the touches of a batch.
    pub fn room(self, namespace: &str, max: BatchMax) -> Room {
        Room { namespace: namespace.to_owned(), limit: max.bytes, used: self.bytes }
    }

    /// Refuses what is too large for a namespace. A single step never is.
    pub fn check(self, namespace: &str, max: BatchMax) -> Result<()> {
        let sizes =
            [(Resource::BatchSteps, self.steps, max.steps), (Resource::BatchBytes, self.bytes, max.bytes)];
        let excess = sizes.into_iter().find(|(_, size, limit)| size > limit && !self.is_single);
        excess.map_or(Ok(()), |(resource, wanted, limit)| {
            Err(Error::QuotaExceeded { namespace: namespace.to_owned(), resource, limit, wanted })
        })
    }
}

/// Takes the room of a batch for what a mutation wrote that the batch does not name. Refuses the batch if there is none.
pub(crate) fn take_room(room: &mut Option<Room>, outcome: Outcome) -> Result<()> {
    let (Some(room), Outcome::Touched(Some(bytes))) = (room, outcome) else { return Ok(()) };
    room.used += bytes;
    if room.used <= room.limit {
        return Ok(());
    }
    let (namespace, limit, wanted) = (room.namespace.clone(), room.limit, room.used);
    Err(Error::QuotaExceeded { namespace, resource: Resource::BatchBytes, limit, wanted })
}

fn size_of_mutation(mutation: &Mutation) -> (u64, u64) {
    match mutation {
        Mutation::Set { group, key, value, .. } => (1, size_of(group, key) + value.len() as u64),
        Mutation::DeleteGroup { group } => (STEPS_OF_DELETION, size_of(group, "")),
        Mutation::DeletePrefix { prefix } => (STEPS_OF_DELETION, size_of(prefix, "")),
        other => (1, other.entry().map_or(0, |(group, key)| size_of(group, key))),
    }
}

fn size_of(group: &str, key: &str) -> u64 {
    (group.len() + key.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: BatchMax = BatchMax { steps: 100, bytes: 1000 };

    fn set(value: usize) -> Commit {
        let (group, key) = ("t:g".into(), "key".into());
        Mutation::Set { group, key, value: vec![0; value].into(), expires_at_ms: None }.into()
    }

    fn size(steps: impl IntoIterator<Item = Commit>) -> BatchSize {
        steps.into_iter().fold(BatchSize::default(), |size, step| size.with(&step))
    }

    fn excess(size: BatchSize) -> Option<(Resource, u64)> {
        match size.check("t", MAX).err()? {
            Error::QuotaExceeded { resource, wanted, .. } => Some((resource, wanted)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_batch_may_have_as_many_steps_and_bytes_as_the_limits_say_and_no_more() {
        assert_eq!(excess(size((0..100).map(|_| set(4)))), None);
        assert_eq!(excess(size((0..101).map(|_| set(0)))), Some((Resource::BatchSteps, 101)));
        assert_eq!(excess(size([set(494), set(494)])), None);
        assert_eq!(excess(size([set(494), set(495)])), Some((Resource::BatchBytes, 1001)));
    }

    #[test]
    fn one_step_alone_is_never_too_large() {
        assert_eq!(excess(size([set(5000)])), None);
        assert_eq!(excess(size([set(5000), set(0)])), Some((Resource::BatchBytes, 5012)));
    }

    #[test]
    fn a_deletion_of_groups_counts_as_many_steps() {
        let delete = || Commit::from(Mutation::DeleteGroup { group: "t:g".into() });
        assert_eq!(excess(size([delete()])), None);
        assert_eq!(excess(size([delete(), delete()])), Some((Resource::BatchSteps, 128)));
    }
}
