//! `.env`: one `KEY=value` a line, which shells and the dotenv packages of most languages read.
//!
//! They do not agree on quotes, backslashes, `$` and `#`. So a value is written in a form that all of them read
//! alike, or in base64, and a line that they read differently is refused.

mod reading;
mod writing;

pub use reading::read;
pub use writing::{EnvWriter, check_name};

/// What a value in base64 begins with. A text that happens to begin with it is written in base64 too, so
/// it never means anything else.
const MARK: &str = "larder-base64:";

/// Whether a shell takes a name for a variable's.
fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// White space within a line, as a shell sees it.
fn is_blank(character: char) -> bool {
    character == ' ' || character == '\t'
}
