//! The note that an unfinished copy leaves in its target.

use std::sync::Arc;

use crate::data::{Error, LogPosition, Result, ResumeToken, Value};
use crate::engine::Mutation;
use crate::store::{Open, Store};

/// The group that holds the notes: a group of the whole target, even if the copy goes into a namespace.
pub(super) const NOTES: &str = "larder.copies";

/// The note of the copy from one source into one target: an entry whose key names both, and whose value is the
/// position in the source's change log from which to look for deletions. It is removed once the copy is complete
/// and verified.
pub(super) struct Note {
    pub target: Arc<Open>,
    pub key: String,
    /// The source's identity.
    identity: Arc<str>,
}

impl Note {
    pub fn between<S, T>(source: &Store<S>, target: &Store<T>) -> Result<Self> {
        let identity = Arc::clone(&source.shared().identity);
        let key = format!("{identity} {:?} {:?}", source.scope().prefix(), target.scope().prefix());
        Ok(Self { target: Arc::clone(target.shared()), key, identity })
    }

    /// How far an earlier run of the copy came, if there was one.
    pub fn read(&self) -> Result<Option<LogPosition>> {
        let found = self.target.reader()?.get(NOTES, &self.key)?;
        let Some(found) = found else { return Ok(None) };
        let token: ResumeToken = Value::from(found).parse()?;
        crate::data::Since::from(token).place_in(&self.identity).map(Some)
    }

    pub fn write(&self, position: LogPosition) -> Result<()> {
        self.target.apply(self.mutation(position)).map(drop)
    }

    /// The mutation that writes the note.
    pub fn mutation(&self, position: LogPosition) -> Mutation {
        let token = ResumeToken::new(Arc::clone(&self.identity), position).to_string();
        let (group, key) = (NOTES.to_owned(), self.key.clone());
        Mutation::Set { group, key, value: token.into(), expires_at_ms: None }
    }

    pub fn remove(&self) -> Result<()> {
        self.target.apply(Mutation::Delete { group: NOTES.to_owned(), key: self.key.clone() }).map(drop)
    }

    /// Fails if the source shows the note, too: a store that followed itself would copy its own copies forever.
    pub fn refuse_circle<S>(&self, source: &Store<S>) -> Result<()> {
        let same_identity = self.target.identity == source.shared().identity;
        let seen = source.shared().reader()?.get(NOTES, &self.key)?;
        if same_identity && seen.is_some() { Err(Error::FollowsItself) } else { Ok(()) }
    }
}
