//! Values as text: as a template prints them, and as they stand within a printed list.

use std::fmt::Write;

use super::fault::Outcome;
use super::meter::{Draft, Meter};
use super::value::Shown;

/// Writes a value as a template prints it.
pub(super) fn print(value: &Shown, draft: &mut Draft<'_>) -> Outcome<()> {
    match value {
        Shown::Undefined | Shown::Names(_) => Ok(()),
        Shown::Text(text) => draft.push(text),
        Shown::Fraction(value) => draft.push(&fraction(*value)),
        value => quote(value, draft, None),
    }
}

/// The text of a value, as a template prints it.
pub(super) fn printed(meter: &Meter, value: &Shown) -> Outcome<String> {
    let mut draft = Draft::new(meter);
    print(value, &mut draft)?;
    Ok(draft.finish())
}

/// A value for people to look at, over several lines.
pub(super) fn pretty(meter: &Meter, value: &Shown) -> Outcome<String> {
    let mut draft = Draft::new(meter);
    quote(value, &mut draft, Some(0))?;
    Ok(draft.finish())
}

fn fraction(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-inf".into() } else { "inf".into() };
    }
    let mut text = value.to_string();
    if !text.contains('.') {
        text.push_str(".0");
    }
    text
}

/// Writes a value as it stands within a list; `depth` is that of the lines, if it is to have several.
fn quote(value: &Shown, draft: &mut Draft<'_>, depth: Option<usize>) -> Outcome<()> {
    match value {
        Shown::Undefined => draft.push("undefined"),
        Shown::None => draft.push("None"),
        Shown::Bool(true) => draft.push("True"),
        Shown::Bool(false) => draft.push("False"),
        Shown::Integer(value) => draft.push(&value.to_string()),
        Shown::Fraction(value) => draft.push(&format!("{value:?}")),
        Shown::Text(text) => quote_text(text, draft),
        Shown::List(list) => {
            let (open, close) = if list.is_tuple { ("(", ")") } else { ("[", "]") };
            let comma = if list.is_tuple && list.items.len() == 1 && depth.is_none() { "," } else { "" };
            let items = list.items.iter().map(|item| (None, item.clone()));
            quote_all([open, close], comma, items, draft, depth)
        }
        Shown::Range(range) => {
            let items = (0..range.length).map(|index| (None, range.at(index)));
            quote_all(["[", "]"], "", items, draft, depth)
        }
        Shown::Map(map) => {
            let members = map.members.iter().map(|(key, member)| (Some(Shown::of_key(key)), member.clone()));
            quote_all(["{", "}"], "", members, draft, depth)
        }
        Shown::Names(_) => Ok(()),
        Shown::Namespace(members) => {
            let members = members.borrow();
            let members =
                members.iter().map(|(name, member)| (Some(Shown::Text((&**name).into())), member.clone()));
            quote_all(["{", "}"], "", members, draft, depth)
        }
        Shown::Macro(closure) => draft.push(&format!("<macro {}>", closure.definition.name)),
        Shown::Loop(looped) => draft.push(&format!("<loop {}/{}>", looped.index.get(), looped.length)),
        Shown::Function(name) => draft.push(&format!("<function {name}>")),
    }
}

fn quote_all(
    [open, close]: [&str; 2],
    last_comma: &str,
    items: impl ExactSizeIterator<Item = (Option<Shown>, Shown)>,
    draft: &mut Draft<'_>,
    depth: Option<usize>,
) -> Outcome<()> {
    draft.push(open)?;
    let (count, within) = (items.len(), depth.map(|depth| depth + 1));
    for (index, (key, item)) in items.enumerate() {
        draft.count(1)?;
        match within {
            Some(within) => {
                draft.push("\n")?;
                draft.repeat("    ", within)?;
            }
            None if index > 0 => draft.push(", ")?,
            None => {}
        }
        if let Some(key) = key {
            quote(&key, draft, within)?;
            draft.push(": ")?;
        }
        quote(&item, draft, within)?;
        if within.is_some() {
            draft.push(",")?;
        }
    }
    if let Some(depth) = depth.filter(|_| count > 0) {
        draft.push("\n")?;
        draft.repeat("    ", depth)?;
    }
    draft.push(last_comma)?;
    draft.push(close)
}

/// Writes a text as Python does.
fn quote_text(text: &str, draft: &mut Draft<'_>) -> Outcome<()> {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    draft.push_char(quote)?;
    // What stays as it is goes in as one piece.
    let mut rest = 0;
    for (at, character) in text.char_indices() {
        let mut escaped = String::new();
        match character {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            character if character == quote => {
                escaped.push('\\');
                escaped.push(quote);
            }
            character if character.is_control() => {
                // Writing to a string does not fail.
                let _ = write!(escaped, "\\x{:02x}", character as u32);
            }
            _ => continue,
        }
        draft.push(&text[rest..at])?;
        draft.push(&escaped)?;
        rest = at + character.len_utf8();
    }
    draft.push(&text[rest..])?;
    draft.push_char(quote)
}
