//! A value of the store, as a template sees it.

use minijinja::{ErrorKind, Value as Shown};

use crate::data::Value;

/// Returns the text of a value for a template.
///
/// # Errors
/// `BadSerialization` where the value is not UTF-8.
pub(super) fn shown(key: &str, value: &Value) -> Result<Shown, minijinja::Error> {
    match value.as_str() {
        Some(text) => Ok(Shown::from(text)),
        None => Err(minijinja::Error::new(
            ErrorKind::BadSerialization,
            format!("the value of {key:?} is not UTF-8, so a template cannot use it"),
        )),
    }
}
