//! Reading values back from the text that `Display` writes.

/// The error of a text that cannot be parsed as a value of the wanted type.
///
/// The message names the type, repeats the text and says what is accepted. `?` turns it into
/// [`Error::InvalidText`](crate::Error::InvalidText).
///
/// ```
/// let error = "eventual".parse::<larder::Consistency>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#""eventual" is not a valid consistency: expected linearizable or cached"#
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{text:?} is not a valid {what}: expected {expected}")]
pub struct ParseError {
    /// The wanted type, such as `pattern`.
    what: &'static str,
    text: String,
    /// What would be accepted.
    expected: &'static str,
}

impl ParseError {
    pub(crate) fn new(what: &'static str, text: &str, expected: &'static str) -> Self {
        Self { what, text: text.to_owned(), expected }
    }
}

/// Returns the number that `text` writes in decimal digits alone. `u64::from_str` would also accept a sign.
pub(crate) fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
