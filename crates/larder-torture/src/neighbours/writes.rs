//! How the effects of a history become a batch, and an error what a client was told.

use larder::{Batch, ErrorKind};

use crate::face::dropped_after;
use crate::neighbours::history::{Effect, Told};

/// Adds these effects to a batch. What expires is set otherwise.
pub fn filled<F>(batch: Batch<F>, effects: &[Effect]) -> Batch<F> {
    effects.iter().fold(batch, |batch, effect| match effect {
        Effect::Set { group, key, value, .. } => batch.set(group, key, value.as_str()),
        Effect::Delete { group, key } => batch.delete(group, key),
        Effect::DeleteGroup { group } => batch.delete_group(group),
        Effect::DeletePrefix { prefix } => batch.delete_prefix(prefix),
        Effect::Increment { group, key, by, .. } => batch.increment(group, key, *by),
    })
}

/// What a result tells a client: a revision, where the call says one. What runs on is made at some time once its future
/// was polled.
pub fn told(result: larder::Result<Option<u64>>, runs_on: bool) -> Told {
    let error = match result {
        Ok(revision) => return Told::Done(revision),
        Err(error) => error,
    };
    match dropped_after(&error) {
        Some(0) => Told::Refused("its future was never polled".into()),
        Some(_) if runs_on => Told::Unknown("its future was dropped".into()),
        Some(_) => Told::Dropped,
        None if error.kind() == ErrorKind::OutcomeUnknown => Told::Unknown(error.to_string()),
        None => Told::Refused(format!("{error:?}")),
    }
}
