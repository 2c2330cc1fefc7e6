//! The border that a copy out of a namespace does not cross: no name that a tenant has chosen becomes the name of
//! something in another namespace.

use super::{Copying, is_whole};
use crate::data::namespace::namespace_of;
use crate::data::{Error, Result};
use crate::store::Snapshot;

impl<S, T> Copying<'_, S, T> {
    /// The namespace of the target that a group of the source would belong to, if it is one that the source does not
    /// have itself. A tenant names its groups as it likes; without the prefix of its namespace, such a name may be that
    /// of a group in another one.
    fn intrudes_on<'g>(&self, group: &'g str) -> Option<&'g str> {
        let leaves = !is_whole(self.source) && is_whole(self.target);
        leaves.then(|| namespace_of(group)).flatten()
    }

    /// Whether the target has no copy of a group, since it would belong to another namespace there.
    pub(super) fn is_intruder(&self, group: &str) -> bool {
        self.intrudes_on(group).is_some()
    }

    pub(super) fn refuse_intruder(&self, group: &str) -> Result<()> {
        match self.intrudes_on(group) {
            None => Ok(()),
            Some(namespace) => {
                Err(Error::LeavesNamespace { group: group.to_owned(), namespace: namespace.to_owned() })
            }
        }
    }

    /// Refuses a copy before anything is written.
    pub(super) fn refuse_intruders(&self, snapshot: &Snapshot) -> Result<()> {
        if is_whole(self.source) || !is_whole(self.target) {
            return Ok(());
        }
        snapshot.groups("")?.iter().try_for_each(|group| self.refuse_intruder(&group.name))
    }
}
