//! How the name of a group shows which namespace it belongs to.

/// Separates the namespace from the rest of a group's name. No namespace contains it, so a group of one
/// namespace is never mistaken for a group of another.
pub(crate) const SEPARATOR: char = ':';

/// Returns whether a text is a valid namespace: `^[a-zA-Z0-9-]+$`.
pub(crate) fn is_namespace(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Returns the namespace that a group belongs to, if any.
pub(crate) fn namespace_of(group: &str) -> Option<&str> {
    let (namespace, _) = group.split_once(SEPARATOR)?;
    is_namespace(namespace).then_some(namespace)
}

/// What the groups of a namespace start with.
pub(crate) fn prefix_of(namespace: &str) -> String {
    format!("{namespace}{SEPARATOR}")
}

/// Returns the namespace whose groups are exactly those with this prefix, if there is one.
pub(crate) fn namespace_with_prefix(prefix: &str) -> Option<&str> {
    let namespace = prefix.strip_suffix(SEPARATOR)?;
    is_namespace(namespace).then_some(namespace)
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
}
