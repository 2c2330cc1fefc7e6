//! What a watcher wants, as a model matches it.

use larder::Pattern;

/// A pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    All,
    Groups(&'static str),
    Group(&'static str),
    Key(&'static str, &'static str),
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
