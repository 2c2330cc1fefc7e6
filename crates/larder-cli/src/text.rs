//! Escapes names and values, so that they stay on one line and cannot send control codes to a terminal.

use std::fmt::Write;

/// The most characters of a value in a table cell; a narrow terminal truncates further.
const SHOWN_MAX: usize = 400;

/// The most characters of a value inside a line of text.
const BRIEF_MAX: usize = 60;

/// The most items of a list in a line of text.
const LISTED_MAX: usize = 10;

/// Escapes for a program that reads lines: reversibly, with `\t`, `\n`, `\\` and the like.
pub fn escaped(bytes: &[u8]) -> String {
    escape(bytes, true, usize::MAX)
}

/// Escapes for a table: like [`escaped`], but keeps backslashes and truncates long text.
pub fn shown(bytes: &[u8]) -> String {
    escape(bytes, false, SHOWN_MAX)
}

/// Escapes for the middle of a line, and truncates long text.
pub fn brief(bytes: &[u8]) -> String {
    escape(bytes, false, BRIEF_MAX)
}

/// Escapes a message to fit on one line.
pub fn one_line(message: &str) -> String {
    escape(message.as_bytes(), false, usize::MAX)
}

fn escape(bytes: &[u8], backslashes: bool, characters_max: usize) -> String {
    let mut text = String::new();
    let mut characters = 0;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if characters == characters_max {
                text.push('…');
                return text;
            }
            characters += 1;
            push(&mut text, character, backslashes);
        }
        for byte in chunk.invalid() {
            if characters == characters_max {
                text.push('…');
                return text;
            }
            characters += 1;
            // Writing to a String does not fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

fn push(text: &mut String, character: char, backslashes: bool) {
    match character {
        '\n' => text.push_str("\\n"),
        '\t' => text.push_str("\\t"),
        '\r' => text.push_str("\\r"),
        '\\' if backslashes => text.push_str("\\\\"),
        _ if character.is_control() || misleads(character) => {
            let _ = write!(text, "\\u{{{:x}}}", u32::from(character));
        }
        _ => text.push(character),
    }
}

/// Returns whether a character is invisible but changes how others appear: line separators and bidirectional
/// controls.
fn misleads(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Formats a number of bytes with a unit.
pub fn size(bytes: u64) -> String {
    let mut amount = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if amount < 1024.0 {
            break;
        }
        amount /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{amount:.1} {unit}") }
}

/// Formats a number and the noun it counts: `1 key`, `2 keys`, `2 entries`.
pub fn counted(number: u64, one: &str) -> String {
    match one.strip_suffix('y').filter(|stem| !stem.ends_with('e')) {
        _ if number == 1 => format!("1 {one}"),
        Some(stem) => format!("{number} {stem}ies"),
        None => format!("{number} {one}s"),
    }
}

/// The first few of many: `a, b, c and 7 more`.
pub fn listed<T: ToString>(items: &[T]) -> String {
    let shown: Vec<String> = items.iter().take(LISTED_MAX).map(ToString::to_string).collect();
    match items.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_text_stays_on_its_line_and_sends_no_control_codes() {
        assert_eq!(escaped(b"a\tb\nc\\d\r"), "a\\tb\\nc\\\\d\\r");
        assert_eq!(escaped(b"\x1b[31m\0\x7f"), "\\u{1b}[31m\\u{0}\\u{7f}");
        assert_eq!(escaped("\u{9b}31m \u{202e}x".as_bytes()), "\\u{9b}31m \\u{202e}x");
        assert_eq!(escaped(b"caf\xc3\xa9 \xff\xfe"), "café \\xff\\xfe");
        assert_eq!(shown(br"C:\new"), r"C:\new");
    }

    #[test]
    fn a_long_value_is_truncated() {
        assert_eq!(shown("é".repeat(1000).as_bytes()).chars().count(), SHOWN_MAX + 1);
        assert_eq!(shown("é".repeat(SHOWN_MAX).as_bytes()).chars().count(), SHOWN_MAX);
    }

    #[test]
    fn sizes_have_units_and_counts_have_plurals() {
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(counted(1, "entry"), "1 entry");
        assert_eq!(counted(2, "entry"), "2 entries");
        assert_eq!(counted(0, "key"), "0 keys");
        assert_eq!(listed(&[1, 2, 3]), "1, 2, 3");
        assert_eq!(listed(&(1..=12).collect::<Vec<_>>()), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more");
    }
}
