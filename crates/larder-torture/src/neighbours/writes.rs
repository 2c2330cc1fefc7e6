//! How the effects of a history become a batch, and an error what a client was told.

use larder::{Batch, ErrorKind, Store};

use crate::neighbours::history::{Effect, Told};

/// A batch of these effects. What expires is set otherwise.
pub fn batch<S>(store: &Store<S>, effects: &[Effect]) -> Batch {
    effects.iter().fold(store.batch(), |batch, effect| match effect {
        Effect::Set { group, key, value, .. } => batch.set(group, key, value.as_str()),
        Effect::Delete { group, key } => batch.delete(group, key),
        Effect::DeleteGroup { group } => batch.delete_group(group),
        Effect::DeletePrefix { prefix } => batch.delete_prefix(prefix),
        Effect::Increment { group, key, by, .. } => batch.increment(group, key, *by),
    })
}

/// What a result tells a client: a revision, where the call says one.
pub fn told(result: larder::Result<Option<u64>>) -> Told {
    match result {
        Ok(revision) => Told::Done(revision),
        Err(error) if error.kind() == ErrorKind::OutcomeUnknown => Told::Unknown(error.to_string()),
        Err(error) => Told::Refused(format!("{error:?}")),
    }
}
