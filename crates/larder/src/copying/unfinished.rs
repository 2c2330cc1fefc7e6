//! Copies into a store that are not complete, and giving them up.

use std::collections::BTreeMap;

use super::changed_quotas::{self, Changed};
use super::note::forget;
use crate::data::namespace::namespace_with_prefix;
use crate::data::{Quota, Result};
use crate::store::Store;

/// A copy into a store that is not complete: see [`Store::unfinished_copies`].
///
/// ```
/// # use larder::Store;
/// let store = Store::in_memory()?;
/// for copy in store.unfinished_copies()? {
///     println!("from the store {}, which lifted {} quotas", copy.source, copy.lifted.len());
/// }
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnfinishedCopy {
    /// The identity of the store that is copied: see [`ResumeToken::store`](crate::ResumeToken::store).
    pub source: String,
    /// The namespace that is copied; `None` if it is the whole store.
    pub from_namespace: Option<String>,
    /// The namespace that it is copied into; `None` if it is the whole store.
    pub into_namespace: Option<String>,
    /// The quotas that the copy has lifted, by namespace, and that the next run restores or replaces.
    pub lifted: BTreeMap<String, Quota>,
}

impl Store {
    /// Returns the copies into this store that run, or were interrupted before they were complete.
    ///
    /// ```
    /// # use larder::{Error, Store};
    /// let (old, new) = (Store::in_memory()?, Store::in_memory()?);
    /// old.set("config", "colour", "blue")?;
    /// old.copy_to(&new).on_progress(|_| assert_eq!(new.unfinished_copies().unwrap().len(), 1)).run()?;
    /// assert!(new.unfinished_copies()?.is_empty());
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`](crate::View).
    pub fn unfinished_copies(&self) -> Result<Vec<UnfinishedCopy>> {
        let mut copies: BTreeMap<String, UnfinishedCopy> = BTreeMap::new();
        for (name, content) in self.shared().engine()?.notes("").wait()? {
            let mut parts = name.split(' ');
            let (Some(source), Some(from), Some(into)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let copy = copies.entry(format!("{source} {from} {into}")).or_insert_with(|| UnfinishedCopy {
                source: source.to_owned(),
                from_namespace: namespace(from),
                into_namespace: namespace(into),
                lifted: BTreeMap::new(),
            });
            if let (Some(namespace), Some(Changed { former, set: None })) =
                (parts.next(), changed_quotas::read(&content))
            {
                copy.lifted.insert(namespace.to_owned(), former);
            }
        }
        Ok(copies.into_values().collect())
    }

    /// Gives up the copies into this store that are not complete, and returns how many they were. What they have
    /// written stays. The quotas that they have lifted are restored, except those of namespaces that were given
    /// another quota meanwhile. A copy that runs must be ended first.
    ///
    /// ```
    /// # use larder::Store;
    /// let store = Store::in_memory()?;
    /// assert_eq!(store.abandon_copies()?, 0);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write: see [`Store`]. What was restored by then stays so, and the next call continues.
    pub fn abandon_copies(&self) -> Result<u64> {
        let copies = self.unfinished_copies()?;
        for (namespace, quota) in copies.iter().flat_map(|copy| &copy.lifted) {
            if self.scoped(namespace)?.quota()?.is_unlimited() {
                self.set_quota(namespace, *quota)?;
            }
        }
        let notes = self.shared().engine()?.notes("").wait()?;
        forget(self.shared(), notes.into_iter().map(|(name, _)| name).collect())?;
        Ok(copies.len() as u64)
    }
}

/// The namespace in a part of a note's name: a prefix in quotation marks.
fn namespace(part: &str) -> Option<String> {
    namespace_with_prefix(part.trim_matches('"')).map(str::to_owned)
}
