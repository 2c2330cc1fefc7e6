//! What a check of a store finds, and what a repair does about it.

use std::fmt;

/// How many examples a finding names.
pub(crate) const EXAMPLES_MAX: usize = 5;

/// One kind of thing that [`Store::check`](crate::Store::check) found: how many there are, and the first few by name.
/// `Display` says it in words.
///
/// ```
/// # let store = larder::Store::in_memory()?;
/// for finding in store.check()? {
///     println!("{finding}. {}", finding.advice());
/// }
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Finding {
    /// What was found.
    pub kind: FindingKind,
    /// How many there are; at least 1.
    pub count: u64,
    /// The first few of them, each named and described in words.
    pub examples: Vec<String>,
}

/// What a [`Finding`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum FindingKind {
    /// SQLite's own check found damage in the file. Nothing else was checked then.
    File,
    /// A table of larder is missing.
    MissingTable,
    /// A table of larder has another definition than the one that larder gave it.
    ChangedTable,
    /// The index of expiries is missing, has another definition, or does not match the entries.
    ExpiryIndex,
    /// The stored count of a group differs from a recount.
    GroupTally,
    /// The stored count of a namespace differs from a recount.
    NamespaceTally,
    /// Changes are missing in the middle of the change log.
    LogGap,
    /// The sizes that the change log adds up are wrong.
    LogTotals,
    /// A change in the log cannot be read, or is of a kind that this larder does not know.
    UnknownChange,
    /// An entry is not what the latest change of its key says.
    LogMismatch,
    /// An entry has a later revision than the store.
    EntryAhead,
    /// A named cursor has a later revision than the store.
    CursorAhead,
    /// What is stored under a key cannot be read.
    Unreadable,
    /// A large value of an entry or a change is missing, is no value, or is that of another one, too.
    MissingValue,
    /// A large value takes room, and no entry or change has it.
    UnusedValue,
    /// A namespace or a cursor has a name that larder gives none.
    InvalidName,
    /// An index of another program on one of larder's tables can refuse writes.
    ForeignConstraint,
    /// Another program has put an index on one of larder's tables.
    ForeignIndex,
    /// Another program has put a trigger on one of larder's tables.
    ForeignTrigger,
    /// The file has a table or view of another program.
    ForeignTable,
    /// Below the store's name in a cluster there is a key that larder does not write.
    ForeignKey,
    /// An entry of a store in a cluster holds what larder does not write.
    ForeignEntry,
    /// A file was left beside the store by a process that ended before it was done.
    Leftover,
    /// Another program has changed the file with a version of SQLite that can damage a file that others use.
    UnsafeSqlite,
}

impl FindingKind {
    /// Returns the name that `larder --json` prints, such as `group_tally`.
    ///
    /// ```
    /// assert_eq!(larder::FindingKind::GroupTally.as_str(), "group_tally");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::MissingTable => "missing_table",
            Self::ChangedTable => "changed_table",
            Self::ExpiryIndex => "expiry_index",
            Self::GroupTally => "group_tally",
            Self::NamespaceTally => "namespace_tally",
            Self::LogGap => "log_gap",
            Self::LogTotals => "log_totals",
            Self::UnknownChange => "unknown_change",
            Self::LogMismatch => "log_mismatch",
            Self::EntryAhead => "entry_ahead",
            Self::CursorAhead => "cursor_ahead",
            Self::Unreadable => "unreadable",
            Self::MissingValue => "missing_value",
            Self::UnusedValue => "unused_value",
            Self::InvalidName => "invalid_name",
            Self::ForeignConstraint => "foreign_constraint",
            Self::ForeignIndex => "foreign_index",
            Self::ForeignTrigger => "foreign_trigger",
            Self::ForeignTable => "foreign_table",
            Self::ForeignKey => "foreign_key",
            Self::ForeignEntry => "foreign_entry",
            Self::Leftover => "leftover",
            Self::UnsafeSqlite => "unsafe_sqlite",
        }
    }

    /// What one and several of them are called.
    fn nouns(self) -> (&'static str, &'static str) {
        match self {
            Self::File => ("damaged place in the file", "damaged places in the file"),
            Self::MissingTable => ("missing table", "missing tables"),
            Self::ChangedTable => ("table with a changed definition", "tables with a changed definition"),
            Self::ExpiryIndex => ("fault of the expiry index", "faults of the expiry index"),
            Self::GroupTally => {
                ("group whose tally differs from a recount", "groups whose tally differs from a recount")
            }
            Self::NamespaceTally => (
                "namespace whose tally differs from a recount",
                "namespaces whose tally differs from a recount",
            ),
            Self::LogGap => ("gap in the change log", "gaps in the change log"),
            Self::LogTotals => {
                ("change whose running total is wrong", "changes whose running total is wrong")
            }
            Self::UnknownChange => ("change that cannot be read", "changes that cannot be read"),
            Self::LogMismatch => {
                ("entry that differs from the change log", "entries that differ from the change log")
            }
            Self::EntryAhead => {
                ("entry of a later revision than the store's", "entries of a later revision than the store's")
            }
            Self::CursorAhead => (
                "cursor of a later revision than the store's",
                "cursors of a later revision than the store's",
            ),
            Self::Unreadable => ("entry that cannot be read", "entries that cannot be read"),
            Self::MissingValue => ("large value that is missing", "large values that are missing"),
            Self::UnusedValue => ("large value that nothing uses", "large values that nothing uses"),
            Self::InvalidName => ("invalid name", "invalid names"),
            Self::ForeignConstraint => {
                ("foreign index that can refuse writes", "foreign indexes that can refuse writes")
            }
            Self::ForeignIndex => ("foreign index on larder's tables", "foreign indexes on larder's tables"),
            Self::ForeignTrigger => {
                ("foreign trigger on larder's tables", "foreign triggers on larder's tables")
            }
            Self::ForeignTable => ("table or view of another program", "tables or views of other programs"),
            Self::ForeignKey => ("key that larder does not write", "keys that larder does not write"),
            Self::ForeignEntry => (
                "entry that holds what larder does not write",
                "entries that hold what larder does not write",
            ),
            Self::UnsafeSqlite => ("unsafe version of SQLite", "unsafe versions of SQLite"),
            Self::Leftover => ("file left by an ended process", "files left by ended processes"),
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Finding {
    pub(crate) fn new(kind: FindingKind, count: u64, examples: Vec<String>) -> Self {
        Self { kind, count, examples }
    }

    /// Adds more of the same kind.
    pub(crate) fn add(&mut self, more: Self) {
        self.count += more.count;
        self.examples.extend(more.examples);
        self.examples.truncate(EXAMPLES_MAX);
    }

    /// Collects examples, and counts those that are not named. `None` where there are none.
    pub(crate) fn of(kind: FindingKind, all: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut all = all.into_iter();
        let examples: Vec<String> = all.by_ref().take(EXAMPLES_MAX).collect();
        let count = examples.len() + all.count();
        (count > 0).then(|| Self::new(kind, count as u64, examples))
    }

    /// Returns whether the store is damaged by it: answers are wrong, or calls fail. What is no damage is worth
    /// knowing, such as a table of another program.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// assert!(!store.check()?.iter().any(|finding| finding.is_damage()));
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn is_damage(&self) -> bool {
        use FindingKind as K;
        !matches!(
            self.kind,
            K::ForeignIndex | K::ForeignTrigger | K::ForeignTable | K::Leftover | K::UnsafeSqlite
        )
    }

    /// Returns whether [`Store::repair`](crate::Store::repair) can correct it: it is derived from the entries, or
    /// empty without them. What belongs to another program is dropped only with
    /// [`Repair::drop_foreign`], and entries that cannot be read are deleted only with [`Repair::delete_unreadable`].
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// assert!(store.check()?.iter().all(|finding| finding.is_repairable()));
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn is_repairable(&self) -> bool {
        Repair::default().covers(self.kind) || self.is_droppable()
    }

    /// Returns whether [`Repair::drop_foreign`] drops it, or [`Repair::delete_unreadable`] deletes it.
    fn is_droppable(&self) -> bool {
        Repair::default().drop_foreign(true).delete_unreadable(true).covers(self.kind)
    }

    /// Returns what to do about it: sentences in the imperative.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// # store.check()?.iter().for_each(|finding| println!("{}", finding.advice()));
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn advice(&self) -> &'static str {
        use FindingKind as K;
        match self.kind {
            K::File => {
                "Restore a backup. If there is none, save what is readable with `larder export` or with `.recover` of \
                 the sqlite3 shell, and check the disk."
            }
            K::ExpiryIndex | K::GroupTally | K::NamespaceTally | K::UnusedValue => {
                "Run `larder check --repair`, which changes no entry."
            }
            K::MissingTable | K::ChangedTable => {
                "Restore a backup, or save what is readable with `larder export`."
            }
            K::LogGap | K::LogTotals | K::LogMismatch | K::EntryAhead => {
                "Compare the entries with a backup. Then begin a new change log with `larder copy` to a new store, or \
                 restore the backup."
            }
            K::UnknownChange => {
                "Open the store with a newer larder if one wrote to it. If not, begin a new change log with `larder \
                 copy` to a new store."
            }
            K::CursorAhead => "Set each to a position that the store has, with `larder cursor seek`.",
            K::MissingValue => "Set or delete the entry of each, or restore it from a backup.",
            K::Unreadable => {
                "Delete or correct each with the program that wrote it, or restore it from a backup."
            }
            K::InvalidName => "Rename or remove each with the program that wrote it.",
            K::ForeignConstraint => "Drop each, or run `larder check --repair --drop-foreign`.",
            K::ForeignIndex | K::ForeignTrigger => {
                "Drop each unless another program needs it, or run `larder check --repair --drop-foreign`. larder \
                 itself uses none of them, and runs no trigger."
            }
            K::ForeignTable => "Nothing needs to be done: larder leaves it alone.",
            K::ForeignKey => "Delete each with the program that wrote it.",
            K::ForeignEntry => {
                "Set or delete each, or correct it with the program that wrote it. `larder check --repair \
                 --delete-unreadable` deletes all of them, and nothing that can be read."
            }
            K::Leftover => "Delete each.",
            K::UnsafeSqlite => {
                "Use SQLite 3.51.3 or later (or 3.44.6, or 3.50.7) in every program that writes to the file, also to \
                 look into it: the last to close it copies its log. Until then, check the file often and keep backups."
            }
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, many) = self.kind.nouns();
        write!(f, "{} {}", self.count, if self.count == 1 { one } else { many })?;
        for (number, example) in self.examples.iter().enumerate() {
            write!(f, "{}{example}", if number == 0 { ": " } else { "; " })?;
        }
        match self.count.saturating_sub(self.examples.len() as u64) {
            more if more > 0 && !self.examples.is_empty() => write!(f, "; and {more} more"),
            _ => Ok(()),
        }
    }
}

/// A number and what it counts: `1 key`, `2 keys`.
pub(crate) fn counted(number: impl fmt::Display, what: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// What [`Store::repair`](crate::Store::repair) may do. By default it rebuilds what is derived from the entries.
///
/// ```
/// use larder::Repair;
/// let repair = Repair::default().drop_foreign(true);
/// # assert_ne!(repair, Repair::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct Repair {
    drops_foreign: bool,
    deletes_unreadable: bool,
}

impl Repair {
    /// Sets whether indexes and triggers of other programs on larder's tables are dropped. Their tables and views
    /// never are.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.repair(larder::Repair::default().drop_foreign(true))?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn drop_foreign(mut self, yes: bool) -> Self {
        self.drops_foreign = yes;
        self
    }

    /// Sets whether entries of a store in a cluster are deleted that hold what larder does not write
    /// ([`FindingKind::ForeignEntry`]). Each is deleted only while it cannot be read: what somebody sets meanwhile stays,
    /// and no entry that can be read is ever deleted. Watchers receive the deletion.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.repair(larder::Repair::default().delete_unreadable(true))?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn delete_unreadable(mut self, yes: bool) -> Self {
        self.deletes_unreadable = yes;
        self
    }

    /// Whether it corrects findings of a kind.
    pub(crate) fn covers(self, kind: FindingKind) -> bool {
        use FindingKind as K;
        match kind {
            K::ExpiryIndex | K::GroupTally | K::NamespaceTally | K::UnusedValue => true,
            K::ForeignConstraint | K::ForeignIndex | K::ForeignTrigger => self.drops_foreign,
            K::ForeignEntry => self.deletes_unreadable,
            _ => false,
        }
    }
}

/// What a [repair](crate::Store::repair) has done.
///
/// ```
/// # let store = larder::Store::in_memory()?;
/// let done = store.repair(larder::Repair::default())?;
/// assert!(done.repaired.is_empty() && done.left.is_empty());
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Repaired {
    /// What was found and is corrected now.
    pub repaired: Vec<Finding>,
    /// What is still there.
    pub left: Vec<Finding>,
}

impl Repaired {
    pub(crate) fn new(repaired: Vec<Finding>, left: Vec<Finding>) -> Self {
        Self { repaired, left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_how_many_there_are_and_names_the_first_few() {
        let finding = |count: usize| {
            Finding::of(FindingKind::GroupTally, (0..count).map(|number| format!("group {number}")))
        };
        let words = |count| finding(count).unwrap().to_string();
        assert_eq!(finding(0), None);
        assert_eq!(words(1), "1 group whose tally differs from a recount: group 0");
        assert_eq!(words(2), "2 groups whose tally differs from a recount: group 0; group 1");
        assert!(words(7).starts_with("7 groups"), "{}", words(7));
        assert!(words(7).ends_with("group 4; and 2 more"), "{}", words(7));
    }
}
