//! What each engine promises where engines differ: one value per engine.
//!
//! `docs/guarantees.md` has these values as a table and the reasons as prose; `tests/promises.rs` keeps the
//! table in step.

/// Declares [`Promises`], and [`Promises::rows`] from the same lines.
macro_rules! promises {
    ($($(#[doc = $promise:literal])+ $name:ident: $type:ty,)*) => {
        /// What one engine promises where engines differ.
        #[derive(Debug)]
        pub struct Promises {
            $($(#[doc = $promise])+ pub $name: $type,)*
        }

        impl Promises {
            /// Each promise in words, and what the engine makes of it.
            pub fn rows(&self) -> Vec<(&'static str, String)> {
                vec![$((concat!($($promise),+).trim(), self.$name.in_words())),*]
            }
        }
    };
}

promises! {
    /// A second handle can open the store, beside the first or after it was closed, and finds the same
    /// entries.
    can_be_opened_again: bool,
    /// The store is a file; after it was closed, nothing else is left in its folder.
    is_a_file: bool,
    /// A call needs no network.
    answers_locally: bool,
    /// The first commit has revision 1, and each later one adds 1.
    revisions_are_consecutive: bool,
    /// Concurrent writes may share a commit and its revision.
    concurrent_writes_share_commits: bool,
    /// Deleting a group also removes its expired entries, in the same commit; otherwise the next purge
    /// removes them.
    deleting_a_group_purges_it: bool,
    /// The option `history` limits the change log; otherwise the log lasts until the cluster is compacted.
    prunes_its_log: bool,
    /// Pruning may remove the first changes of a commit and keep its last; otherwise whole commits go.
    pruning_splits_commits: bool,
    /// A backup keeps the revisions and the change log; otherwise it is a new store with the
    /// same entries.
    backups_keep_the_history: bool,
    /// Deleted entries keep their room until new ones take it or the store is compacted; otherwise it is given back
    /// at once.
    keeps_what_is_free: bool,
    /// One commit takes at least this many small entries.
    entries_per_commit_min: usize,
    /// The largest value, in bytes, unless the option `max_value_bytes` says less.
    value_bytes_max: usize,
    /// The option `max_value_bytes` can also raise that limit.
    larger_values_can_be_allowed: bool,
}

impl Promises {
    /// A SQLite file.
    pub const FILE: Self = Self {
        can_be_opened_again: true,
        is_a_file: true,
        answers_locally: true,
        revisions_are_consecutive: true,
        concurrent_writes_share_commits: false,
        deleting_a_group_purges_it: false,
        prunes_its_log: true,
        pruning_splits_commits: true,
        backups_keep_the_history: true,
        keeps_what_is_free: true,
        entries_per_commit_min: 20_000,
        value_bytes_max: 64 << 20,
        larger_values_can_be_allowed: true,
    };

    /// A store in memory.
    pub const MEMORY: Self =
        Self { can_be_opened_again: false, is_a_file: false, keeps_what_is_free: false, ..Self::FILE };

    /// An etcd cluster. Its revisions are shared by all stores in it, and a request has at most 1.5 MiB.
    pub const CLUSTER: Self = Self {
        can_be_opened_again: true,
        is_a_file: false,
        answers_locally: false,
        revisions_are_consecutive: false,
        concurrent_writes_share_commits: true,
        deleting_a_group_purges_it: true,
        prunes_its_log: false,
        pruning_splits_commits: false,
        backups_keep_the_history: false,
        keeps_what_is_free: true,
        entries_per_commit_min: 8_000,
        value_bytes_max: 1 << 20,
        larger_values_can_be_allowed: false,
    };

    /// All three as a Markdown table.
    pub fn table() -> String {
        let mut table =
            "| promise | SQLite file | in memory | etcd cluster |\n|---|---|---|---|\n".to_owned();
        let [file, memory, cluster] =
            [Self::FILE, Self::MEMORY, Self::CLUSTER].map(|promises| promises.rows());
        for (((promise, file), (_, memory)), (_, cluster)) in file.iter().zip(&memory).zip(&cluster) {
            table += &format!("| {promise} | {file} | {memory} | {cluster} |\n");
        }
        table
    }
}

/// A value as the table shows it.
trait InWords {
    fn in_words(&self) -> String;
}

impl InWords for bool {
    fn in_words(&self) -> String {
        (if *self { "yes" } else { "no" }).to_owned()
    }
}

impl InWords for usize {
    fn in_words(&self) -> String {
        match self.to_string() {
            small if small.len() < 4 => small,
            digits => {
                let groups: Vec<_> =
                    digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
                groups.join(",")
            }
        }
    }
}
