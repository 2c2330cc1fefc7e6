//! The names that sequences use: few, so that calls meet, and some that are hard to tell apart.

pub const GROUPS: [&str; 8] = ["", "a", "g", "a:", "a:x", "a:y", "a-b:x", "b:\0"];
pub const KEYS: [&str; 4] = ["", "k", "é", "k\0"];
pub const PREFIXES: [&str; 7] = ["", "a", "a:", "a-", "a:x", "b:", "z"];
pub const NAMESPACES: [&str; 3] = ["a", "a-b", "b"];
pub const CURSORS: [&str; 2] = ["mailer", "indexer"];

/// The namespace that a group belongs to: the part before the first colon, if it consists of letters, digits
/// and hyphens.
pub fn namespace_of(group: &str) -> Option<&str> {
    let (namespace, _) = group.split_once(':')?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (!namespace.is_empty() && namespace.bytes().all(fits)).then_some(namespace)
}
