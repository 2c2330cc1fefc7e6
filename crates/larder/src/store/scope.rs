//! Translates group names between a handle and the engine.

use std::borrow::Cow;
use std::sync::Arc;

use crate::data::namespace::{SEPARATOR, is_namespace, namespace_with_prefix};
use crate::data::{Error, Event, NamePattern, Pattern, Result};

/// The part of the store that a handle sees: all of it, or one namespace.
///
/// Only this type translates names: a group gets the namespace's prefix on its way to the engine, and loses it on
/// its way back.
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

    /// The engine's name of a group, or of a prefix of groups, that the handle calls `name`.
    pub fn group<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match &self.prefix {
            None => Cow::Borrowed(name),
            Some(prefix) => Cow::Owned(format!("{prefix}{name}")),
        }
    }

    /// The handle's name of a group, given the engine's.
    pub fn strip(&self, mut group: String) -> String {
        let prefix = self.prefix();
        if group.starts_with(prefix) {
            group.drain(..prefix.len());
        }
        group
    }

    /// The prefix of every group in the scope, for the engine.
    pub fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    /// The namespace that it is, unless it is the whole store.
    pub fn name(&self) -> Option<&str> {
        namespace_with_prefix(self.prefix())
    }

    /// The engine's form of the handle's pattern.
    pub fn pattern(&self, pattern: Pattern) -> Pattern {
        let group = match pattern.group {
            NamePattern::Prefix(prefix) => NamePattern::Prefix(self.group(&prefix).into_owned()),
            NamePattern::Exact(group) => NamePattern::Exact(self.group(&group).into_owned()),
        };
        Pattern { group, key: pattern.key }
    }

    /// The handle's form of the engine's pattern.
    pub fn strip_pattern(&self, pattern: Pattern) -> Pattern {
        let group = match pattern.group {
            NamePattern::Prefix(prefix) => NamePattern::Prefix(self.strip(prefix)),
            NamePattern::Exact(group) => NamePattern::Exact(self.strip(group)),
        };
        Pattern { group, key: pattern.key }
    }

    /// The handle's form of an error.
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

    /// The handle's form of an event.
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
    fn a_group_name_is_the_same_after_both_translations() {
        let scope = Scope::namespace("tenant-4").unwrap();
        for name in ["", "a", "tenant-4:", ":", "..", "%"] {
            assert_eq!(scope.strip(scope.group(name).into_owned()), name);
        }
    }
}
