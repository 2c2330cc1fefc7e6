//! Values that are not text, as base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Mistake;

/// Encodes the bytes of a value.
pub fn encoded(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Decodes a text that should be base64, and that `what` names for a mistake.
pub fn decoded(text: &str, line: usize, what: &str) -> Result<Vec<u8>, Mistake> {
    BASE64.decode(text).map_err(|error| {
        Mistake::at(line, format!("{what} is not base64"))
            .because(error)
            .advise("Use the standard alphabet, with padding.")
    })
}
