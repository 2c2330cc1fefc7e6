//! The note that an unfinished copy leaves in its target.

use std::sync::Arc;

use crate::data::{Error, LogPosition, Result, ResumeToken};
use crate::engine::{Commit, Mutation};
use crate::store::{Open, Store};

/// The note of the copy from one source into one target. Its name begins with the identity of the source and names both
/// sides, and it says the position in the source's change log from which to look for deletions. It is removed once the
/// copy is complete and verified. No call of a user reaches it.
pub(super) struct Note {
    pub target: Arc<Open>,
    pub name: String,
    /// The source's identity.
    identity: Arc<str>,
}

impl Note {
    pub fn between<S, T>(source: &Store<S>, target: &Store<T>) -> Self {
        let identity = source.shared().identity();
        let name = format!("{identity} {:?} {:?}", source.scope().prefix(), target.scope().prefix());
        Self { target: Arc::clone(target.shared()), name, identity }
    }

    /// How far an earlier run of the copy came, if there was one.
    pub fn read(&self) -> Result<Option<LogPosition>> {
        let Some(found) = self.find_in(&self.target)? else { return Ok(None) };
        let token: ResumeToken = found.parse()?;
        crate::data::Since::from(token).place_in(&self.identity).map(Some)
    }

    fn find_in(&self, store: &Open) -> Result<Option<String>> {
        let notes = store.engine()?.notes(&self.name).wait()?;
        Ok(notes.into_iter().find(|(name, _)| *name == self.name).map(|(_, content)| content))
    }

    pub fn write(&self, position: LogPosition) -> Result<()> {
        self.target.apply(self.mutation(position)).map(drop)
    }

    /// The mutation that writes the note.
    pub fn mutation(&self, position: LogPosition) -> Mutation {
        let token = ResumeToken::new(Arc::clone(&self.identity), position).to_string();
        Mutation::SetNote { name: self.name.clone(), content: Some(token) }
    }

    /// Removes the note, after those about quotas.
    pub fn remove(&self) -> Result<()> {
        let of_quotas = self.target.engine()?.notes(&self.name_for("")).wait()?;
        let mut names: Vec<String> = of_quotas.into_iter().map(|(name, _)| name).collect();
        names.push(self.name.clone());
        forget(&self.target, names)
    }

    /// Fails if the source has the note, too: a store that followed itself would copy its own copies forever.
    pub fn refuse_circle<S>(&self, source: &Store<S>) -> Result<()> {
        let same_identity = self.target.identity() == source.shared().identity();
        let is_there = same_identity && self.find_in(source.shared())?.is_some();
        if is_there { Err(Error::FollowsItself) } else { Ok(()) }
    }
}

/// How many notes one commit removes.
const REMOVED_AT_ONCE: usize = 50;

/// Removes notes, in this order.
pub(super) fn forget(store: &Arc<Open>, names: Vec<String>) -> Result<()> {
    let removals: Vec<_> = names.into_iter().map(|name| Mutation::SetNote { name, content: None }).collect();
    for some in removals.chunks(REMOVED_AT_ONCE) {
        store.commit(Commit::from(some.to_vec()))?;
    }
    Ok(())
}
