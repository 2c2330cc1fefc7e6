use std::borrow::Cow;
use std::sync::Arc;

use crate::engine::Extent;
use crate::request::Request;
use crate::store::Tenant;
use crate::{Error, Event, Pattern, Quota, Result, ScopedStore, Usage, event::NamePattern};

/// The part of the store that a handle sees: all of it, or one namespace.
///
/// This is the one place where names cross the border: group names get the namespace's prefix on
/// the way in and lose it on the way out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// `""`, or the namespace and a colon.
    prefix: Option<Arc<str>>,
}

/// What separates a namespace from the rest of a group's name. No namespace has it in its name,
/// so no namespace's groups can be taken for another's.
const SEPARATOR: char = ':';

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

/// Whether a text can be a namespace: `^[a-zA-Z0-9-]+$`.
fn is_namespace(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The namespace that a group belongs to, if it belongs to one.
pub(crate) fn namespace_of(group: &str) -> Option<&str> {
    let (namespace, _) = group.split_once(SEPARATOR)?;
    is_namespace(namespace).then_some(namespace)
}

/// The namespace that has just the groups with this prefix, if it is one's.
pub(crate) fn namespace_with_prefix(prefix: &str) -> Option<&str> {
    let namespace = prefix.strip_suffix(SEPARATOR)?;
    is_namespace(namespace).then_some(namespace)
}

impl ScopedStore {
    /// The name of the namespace.
    pub fn namespace(&self) -> &str {
        namespace_with_prefix(self.scope().prefix()).unwrap_or_default()
    }

    /// What the namespace may hold.
    ///
    /// # Errors
    /// As any read.
    pub fn quota(&self) -> Result<Quota> {
        let namespaces = self.shared().reader()?.namespaces(Some(self.namespace())).wait()?;
        Ok(namespaces.first().map(|info| info.quota).unwrap_or_default())
    }

    /// What the namespace holds now.
    ///
    /// # Errors
    /// As any read.
    pub fn usage(&self) -> Result<Usage> {
        self.shared().reader()?.usage(Extent::Prefix(self.scope().prefix())).wait()
    }

    /// Sets what the namespace may hold, from now on and for every handle and process. A quota
    /// below what it holds already deletes nothing; it refuses what would take more.
    ///
    /// A quota is no entry: setting it has no revision and no event.
    ///
    /// ```
    /// # use larder::{Error, Quota, Store};
    /// # let store = Store::in_memory()?;
    /// let tenant = store.scoped("tenant-42")?;
    /// tenant.set_quota(Quota { max_bytes: Some(10), ..Quota::default() })?;
    /// let refused = tenant.set("preferences", "motto", "rather too long").unwrap_err();
    /// assert!(matches!(refused, Error::QuotaExceeded { limit: 10, wanted: 20, .. }));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write.
    pub fn set_quota(&self, quota: Quota) -> Result<()> {
        self.now(Request::set_quota(self.namespace(), quota))
    }
}

/// A tenant's handle is a store with the tenant's scope; the type says which methods it has.
pub(crate) fn open(store: &crate::Store, namespace: &str) -> Result<ScopedStore> {
    Ok(store.with_scope::<Tenant>(Scope::namespace(namespace)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_letters_digits_and_hyphens() {
        for good in ["a", "tenant-42", "-", "ABC09"] {
            assert!(is_namespace(good), "{good}");
        }
        for bad in ["", "a:b", "a b", "..", "*", "é", "a\n", "a_b", "a\0"] {
            assert!(!is_namespace(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_group_belongs_to_the_namespace_before_its_first_colon() {
        assert_eq!(namespace_of("tenant-42:a:b"), Some("tenant-42"));
        assert_eq!(namespace_of("tenant-42"), None);
        assert_eq!(namespace_of(":a"), None);
        assert_eq!(namespace_of("a.b:c"), None);
    }

    #[test]
    fn names_cross_the_border_and_come_back_the_same() {
        let scope = Scope::namespace("tenant-4").unwrap();
        for name in ["", "a", "tenant-4:", ":", "..", "%"] {
            assert_eq!(scope.strip(scope.group(name).into_owned()), name);
        }
    }
}
