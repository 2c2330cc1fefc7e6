//! Where group names cross the border of a namespace.

use std::borrow::Cow;
use std::sync::Arc;

use crate::data::namespace::{SEPARATOR, is_namespace};
use crate::data::{Error, Event, NamePattern, Pattern, Result};

/// The part of the store that a handle sees: all of it, or one namespace.
///
/// This is the one place where names cross the border: group names get the namespace's prefix on
/// the way in and lose it on the way out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// `""`, or the namespace and a colon.
    prefix: Option<Arc<str>>,
}

impl Scope {
    pub fn namespace(namespace: &str) -> Result<Self> {
        if !is_namespace(namespace) {
            return Err(Error::InvalidNamespace { namespace: namespace.to_owned() });
        }
        Ok(Self { prefix: Some(format!("{namespace}{SEPARATOR}").into()) })
    }

    /// How the engine knows a group, or a prefix of groups, that the handle calls `name`.
    pub fn group<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match &self.prefix {
            None => Cow::Borrowed(name),
            Some(prefix) => Cow::Owned(format!("{prefix}{name}")),
        }
    }

    /// What the handle calls a group of the engine's.
    pub fn strip(&self, mut group: String) -> String {
        let prefix = self.prefix();
        if group.starts_with(prefix) {
            group.drain(..prefix.len());
        }
        group
    }

    /// What every group of the scope starts with.
    pub fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    /// The handle's pattern as the engine's names have it.
    pub fn pattern(&self, pattern: Pattern) -> Pattern {
        let group = match pattern.group {
            NamePattern::Prefix(prefix) => NamePattern::Prefix(self.group(&prefix).into_owned()),
            NamePattern::Exact(group) => NamePattern::Exact(self.group(&group).into_owned()),
        };
        Pattern { group, key: pattern.key }
    }

    /// An error as the handle may see it.
    pub fn error(&self, mut error: Error) -> Error {
        if let Error::Conflict { group, .. }
        | Error::NotANumber { group, .. }
        | Error::Overflow { group, .. } = &mut error
        {
            *group = self.strip(std::mem::take(group));
        }
        if let Error::NoCursor { name } = &mut error {
            *name = self.strip(std::mem::take(name));
        }
        error
    }

    /// An event as the handle may see it.
    pub fn event(&self, event: Arc<Event>) -> Event {
        let mut event = Arc::unwrap_or_clone(event);
        event.group = self.strip(event.group);
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cross_the_border_and_come_back_the_same() {
        let scope = Scope::namespace("tenant-4").unwrap();
        for name in ["", "a", "tenant-4:", ":", "..", "%"] {
            assert_eq!(scope.strip(scope.group(name).into_owned()), name);
        }
    }
}
