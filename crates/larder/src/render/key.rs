//! The name of a member of a map.

use std::cmp::Ordering;
use std::sync::Arc;

use super::number;

/// Text, a number, a boolean or none: what can be compared at once, however it was made.
#[derive(Clone, Debug)]
pub(super) enum Key {
    None,
    Number(number::Number),
    Text(Arc<str>),
}

impl Key {
    pub fn of_text(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |key: &Self| match key {
            Self::None => 0,
            Self::Number(_) => 1,
            Self::Text(_) => 2,
        };
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => left.cmp(right),
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}
