//! Keeps passwords out of messages.

/// Returns a location without what precedes its `@`, which may contain a password.
pub(crate) fn without_password(location: &str) -> String {
    match location.split_once(':') {
        Some((scheme, rest)) if rest.starts_with("//") => match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://…@{host}"),
            None => location.to_owned(),
        },
        _ => location.to_owned(),
    }
}
