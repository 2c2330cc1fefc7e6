//! The operations of a sequence, and the strategies that generate them.

use std::time::Duration;

use larder::{History, Pattern};
use proptest::prelude::*;
use proptest::{collection, sample};

pub const GROUPS: [&str; 5] = ["", "s:", "s:1", "s:12", "t-1:é"];
pub const KEYS: [&str; 2] = ["k", "ö"];
pub const PREFIXES: [&str; 5] = ["", "s", "s:1", "s:12", "t-1:"];
pub const CURSORS: [&str; 2] = ["mailer", "indexer"];

/// What a watcher wants, as the model matches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    All,
    Groups(&'static str),
    Group(&'static str),
    Key(&'static str, &'static str),
}

/// What a sequence begins with.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub changes: u64,
    pub cursor_bytes_max: u64,
}

/// One operation of a sequence. Each writer is the first handle, or another one of the same store.
#[derive(Clone, Debug)]
pub enum Operation {
    Set {
        foreign: bool,
        group: &'static str,
        key: &'static str,
        bytes: usize,
    },
    Delete {
        group: &'static str,
        key: &'static str,
    },
    DeleteGroup {
        group: &'static str,
    },
    /// Sets, together.
    Batch {
        groups: Vec<(&'static str, usize)>,
    },
    /// Sets, one after another.
    Burst {
        foreign: bool,
        group: &'static str,
        count: usize,
    },
    SetHistory {
        foreign: bool,
        prefix: &'static str,
        history: History,
    },
    RemoveHistory {
        foreign: bool,
        prefix: &'static str,
    },
    Cursor {
        name: &'static str,
        wanted: Wanted,
    },
    /// Receives all, and acknowledges the event that comes `back` before the last one.
    Acknowledge {
        name: &'static str,
        back: usize,
    },
    DeleteCursor {
        name: &'static str,
    },
    Watch {
        wanted: Wanted,
    },
    /// Lets a watcher receive all that there is.
    Receive,
    Advance {
        ms: u64,
    },
    Purge,
    Reopen,
}

impl Wanted {
    pub fn matches(self, group: &str, key: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Groups(prefix) => group.starts_with(prefix),
            Self::Group(name) => group == name,
            // The deletion of a group concerns each of its keys.
            Self::Key(name, own) => group == name && key.is_none_or(|key| key == own),
        }
    }

    /// Names of groups that it selects: among them one for each history that may hold such a group.
    pub fn examples(self) -> Vec<String> {
        let prefix = match self {
            Self::All => "",
            Self::Groups(prefix) => prefix,
            Self::Group(name) | Self::Key(name, _) => return vec![name.to_owned()],
        };
        let more = PREFIXES.iter().filter(|other| other.starts_with(prefix));
        let more = more.flat_map(|other| [(*other).to_owned(), format!("{other}~")]);
        [prefix.to_owned(), format!("{prefix}~")].into_iter().chain(more).collect()
    }
}

impl From<Wanted> for Pattern {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::All => Self::all(),
            Wanted::Groups(prefix) => Self::group_prefix(prefix),
            Wanted::Group(name) => Self::group(name),
            Wanted::Key(name, key) => Self::key(name, key),
        }
    }
}

fn group() -> impl Strategy<Value = &'static str> + Clone {
    sample::select(&GROUPS)
}

pub fn wanted() -> impl Strategy<Value = Wanted> + Clone {
    prop_oneof![
        2 => Just(Wanted::All),
        3 => sample::select(&PREFIXES).prop_map(Wanted::Groups),
        3 => group().prop_map(Wanted::Group),
        1 => (group(), sample::select(&KEYS)).prop_map(|(group, key)| Wanted::Key(group, key)),
    ]
}

fn history() -> impl Strategy<Value = History> + Clone {
    let changes = sample::select(&[1, 3, 10, 63, 200, 100_000]);
    let bytes = prop_oneof![3 => Just(1_u64 << 20), 1 => sample::select(&[1, 300, 1000])];
    let age = prop_oneof![4 => Just(None), 1 => sample::select(&[1, 20, 50]).prop_map(Some)];
    let bounds = (changes, bytes, age).prop_map(|(changes, bytes, age)| History {
        changes,
        bytes,
        age: age.map(Duration::from_millis),
    });
    prop_oneof![1 => Just(History::NONE), 3 => bounds]
}

/// The sequences to run.
pub fn sequences() -> impl Strategy<Value = (Settings, Vec<Operation>)> {
    let prefix = || sample::select(&PREFIXES);
    let name = || sample::select(&CURSORS);
    let key = || sample::select(&KEYS);
    let foreign = || prop::bool::weighted(0.2);
    let operation = prop_oneof![
        8 => (foreign(), group(), key(), 0..80_usize)
            .prop_map(|(foreign, group, key, bytes)| Operation::Set { foreign, group, key, bytes }),
        2 => (group(), key()).prop_map(|(group, key)| Operation::Delete { group, key }),
        1 => group().prop_map(|group| Operation::DeleteGroup { group }),
        3 => collection::vec((group(), 0..80_usize), 1..6).prop_map(|groups| Operation::Batch { groups }),
        3 => (foreign(), group(), 1..30_usize)
            .prop_map(|(foreign, group, count)| Operation::Burst { foreign, group, count }),
        6 => (foreign(), prefix(), history())
            .prop_map(|(foreign, prefix, history)| Operation::SetHistory { foreign, prefix, history }),
        4 => (foreign(), prefix()).prop_map(|(foreign, prefix)| Operation::RemoveHistory { foreign, prefix }),
        2 => (name(), wanted()).prop_map(|(name, wanted)| Operation::Cursor { name, wanted }),
        2 => (name(), 0..4_usize).prop_map(|(name, back)| Operation::Acknowledge { name, back }),
        1 => name().prop_map(|name| Operation::DeleteCursor { name }),
        2 => wanted().prop_map(|wanted| Operation::Watch { wanted }),
        2 => Just(Operation::Receive),
        2 => (1..40_u64).prop_map(|ms| Operation::Advance { ms }),
        1 => Just(Operation::Purge),
        2 => Just(Operation::Reopen),
    ];
    let settings = (sample::select(&[5, 30, 100_000]), sample::select(&[0, 500, 1 << 20]))
        .prop_map(|(changes, cursor_bytes_max)| Settings { changes, cursor_bytes_max });
    (settings, collection::vec(operation, 1..60))
}
