//! What an unfinished copy leaves in its target.

use std::sync::Arc;

use crate::data::{Error, LogPosition, Result, ResumeToken, Value};
use crate::engine::Mutation;
use crate::store::{Open, Store};

/// The group of the target, whichever part of it is copied into, that holds the notes.
pub(super) const NOTES: &str = "larder.copies";

/// The note of the copy from one source into one target: an entry whose key names both, and whose value is
/// the place in the source's change log from which on it has to be asked what it deleted. It is gone once a copy
/// is complete and verified.
pub(super) struct Note {
    pub target: Arc<Open>,
    pub key: String,
    /// The source's.
    identity: Arc<str>,
}

impl Note {
    pub fn between<S, T>(source: &Store<S>, target: &Store<T>) -> Result<Self> {
        let identity = Arc::clone(&source.shared().identity);
        let key = format!("{identity} {:?} {:?}", source.scope().prefix(), target.scope().prefix());
        Ok(Self { target: Arc::clone(target.shared()), key, identity })
    }

    /// How far an earlier copy has come, if there was one. What makes no sense is as good as none, but for
    /// the store that it is in.
    pub fn read(&self) -> Result<Option<LogPosition>> {
        let found = self.target.reader()?.get(NOTES, &self.key).wait()?;
        let Some(found) = found else { return Ok(None) };
        let token: ResumeToken = Value::from(found).parse()?;
        crate::data::Since::from(token).place_in(&self.identity).map(Some)
    }

    pub fn write(&self, place: LogPosition) -> Result<()> {
        self.target.apply(self.mutation(place)).map(drop)
    }

    /// What writes it.
    pub fn mutation(&self, place: LogPosition) -> Mutation {
        let token = ResumeToken::new(Arc::clone(&self.identity), place).to_string();
        let (group, key) = (NOTES.to_owned(), self.key.clone());
        Mutation::Set { group, key, value: token.into(), expires_at_ms: None }
    }

    pub fn remove(&self) -> Result<()> {
        self.target.apply(Mutation::Delete { group: NOTES.to_owned(), key: self.key.clone() }).map(drop)
    }

    /// Refuses a source in which the note is to be seen as well: following it, a store would hear of its own
    /// copies for ever.
    pub fn refuse_circle<S>(&self, source: &Store<S>) -> Result<()> {
        let same_identity = self.target.identity == source.shared().identity;
        let seen = source.shared().reader()?.get(NOTES, &self.key).wait()?;
        if same_identity && seen.is_some() { Err(Error::FollowsItself) } else { Ok(()) }
    }
}
