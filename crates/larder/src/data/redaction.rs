//! Keeping passwords out of messages.

/// A location as messages may show it: what stands before an `@` may be a password.
pub(crate) fn without_password(location: &str) -> String {
    match location.split_once(':') {
        Some((scheme, rest)) if rest.starts_with("//") => match rest.rsplit_once('@') {
            Some((_, behind)) => format!("{scheme}://…@{behind}"),
            None => location.to_owned(),
        },
        _ => location.to_owned(),
    }
}
