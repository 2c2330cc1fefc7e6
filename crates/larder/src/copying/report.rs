//! What a copy reports: its progress, its result, and the differences that it found.

use std::fmt;

use crate::data::Revision;

/// How many differences are listed one by one.
const DIFFERENCES_MAX: usize = 100;

/// What a copy is doing: see [`Progress::stage`].
///
/// ```
/// # use larder::{Stage, Store};
/// # let (old, new) = (Store::in_memory()?, Store::in_memory()?);
/// let mut stages = Vec::new();
/// let copied = old.copy_to(&new).on_progress(|progress| stages.push(progress.stage)).run()?;
/// assert!(copied.is_exact());
/// stages.dedup();
/// assert_eq!(stages, [Stage::Copying, Stage::Verifying]);
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// It compares every entry of the source with the target, and writes those that the target lacks.
    Copying,
    /// It applies the changes of the source.
    Following,
    /// The target holds what the source held at [`Progress::revision`]. Now the copy reads both sides once more, as
    /// they were at this moment, and compares them.
    Verifying,
    /// A store cannot be reached, or accepts no writes; the copy will retry.
    Waiting,
}

/// The progress of a copy: see [`Copying::on_progress`](crate::Copying::on_progress).
///
/// ```
/// # use larder::Store;
/// # let (old, new) = (Store::in_memory()?, Store::in_memory()?);
/// # old.set("config", "colour", "blue")?;
/// let mut last = None;
/// let copied = old.copy_to(&new).on_progress(|progress| last = Some(progress.clone())).run()?;
/// assert!(copied.is_exact());
/// let last = last.unwrap();
/// assert_eq!((last.entries, last.entries_total, last.written), (1, 1, 1));
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Progress {
    /// What the copy is doing.
    pub stage: Stage,
    /// How many entries of the source it has looked at in this stage.
    pub entries: u64,
    /// How many entries the source holds.
    pub entries_total: u64,
    /// How many entries it has set or deleted in the target so far.
    pub written: u64,
    /// How many changes of the source it has applied so far.
    pub applied: u64,
    /// The revision up to which the target has followed the source.
    pub revision: Revision,
    /// The latest known revision of the source.
    pub latest: Revision,
    /// While it waits: what went wrong.
    pub trouble: Option<String>,
}

/// The result of a copy: see [`Copying::run`](crate::Copying::run).
///
/// ```
/// # use larder::Store;
/// # let (old, new) = (Store::in_memory()?, Store::in_memory()?);
/// old.set("config", "colour", "blue")?;
/// new.set("own", "key", "stays")?;
/// let copied = old.copy_to(&new).run()?;
/// assert_eq!((copied.entries, copied.written, copied.beside), (1, 1, 1));
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[must_use = "the target may differ from the source: see `is_exact`"]
pub struct Copied {
    /// The revision of the source whose entries the target holds.
    pub revision: Revision,
    /// How many entries of the source were verified.
    pub entries: u64,
    /// How many entries were set or deleted in the target.
    pub written: u64,
    /// How many changes of the source were applied while the copy followed it.
    pub applied: u64,
    /// How many entries the target holds that the source does not.
    pub beside: u64,
    /// How many differences the verification found: none, unless somebody else wrote to the target.
    pub differing: u64,
    /// The first hundred differences.
    pub differences: Vec<Difference>,
}

impl Copied {
    /// Returns whether the target holds everything that the source held, unchanged.
    ///
    /// ```
    /// # use larder::Store;
    /// # let (old, new) = (Store::in_memory()?, Store::in_memory()?);
    /// assert!(old.copy_to(&new).run()?.is_exact());
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn is_exact(&self) -> bool {
        self.differing == 0
    }
}

/// A difference between source and target: see [`Copied::differences`].
///
/// ```
/// # use larder::{Difference, Stage, Store};
/// # let (old, new) = (Store::in_memory()?, Store::in_memory()?);
/// old.set("config", "colour", "blue")?;
/// let copying = old.copy_to(&new).on_progress(|progress| {
///     if progress.stage == Stage::Copying && progress.entries == progress.entries_total {
///         new.set("config", "colour", "written by somebody else").unwrap();
///     }
/// });
/// let copied = copying.run()?;
/// let (group, key) = ("config".to_owned(), "colour".to_owned());
/// assert_eq!(copied.differences, [Difference::Value { group, key }]);
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Difference {
    /// The target lacks an entry.
    Missing {
        /// Its group.
        group: String,
        /// Its key.
        key: String,
    },
    /// An entry has another value in the target.
    Value {
        /// Its group.
        group: String,
        /// Its key.
        key: String,
    },
    /// An entry expires at another time in the target, or expires on one side only.
    Expiry {
        /// Its group.
        group: String,
        /// Its key.
        key: String,
    },
    /// The target has an entry that the source does not have, and the copy was to be exact.
    Extra {
        /// Its group.
        group: String,
        /// Its key.
        key: String,
    },
    /// A namespace has another quota in the target.
    Quota {
        /// The namespace.
        namespace: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { group, key } => write!(f, "the target lacks the entry {group:?} {key:?}"),
            Self::Value { group, key } => write!(f, "the entry {group:?} {key:?} has another value"),
            Self::Expiry { group, key } => write!(f, "the entry {group:?} {key:?} expires at another time"),
            Self::Extra { group, key } => write!(f, "the source has no entry {group:?} {key:?}"),
            Self::Quota { namespace } => write!(f, "the namespace {namespace:?} has another quota"),
        }
    }
}

/// The differences found so far.
#[derive(Default)]
pub(super) struct Findings {
    pub differing: u64,
    pub differences: Vec<Difference>,
    pub beside: u64,
}

impl Findings {
    pub fn push(&mut self, difference: Difference) {
        self.differing += 1;
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(difference);
        }
    }
}
