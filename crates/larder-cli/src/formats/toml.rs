//! TOML: a table a group, or the keys alone where the document is one group's.

use std::io::Write;

use larder::Entry;
use serde_json::value::RawValue;
use toml::Spanned;
use toml::de::{DeFloat, DeInteger, DeString, DeTable, DeValue};

use super::json::quoted;
use super::tree::{self, Branch, Node};
use super::{Lines, Mistake, Record};
use crate::failure::Failure;
use crate::times;

pub fn read(text: &str, group: Option<&str>) -> Result<Vec<Record>, Mistake> {
    let lines = Lines::of(text);
    let document = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| lines.at(span.start));
        Mistake::at(line, "this is not valid TOML").because(error.message())
    })?;
    tree::records(branches(document.get_ref(), &lines)?, group, text.len())
}

fn branches(table: &DeTable<'_>, lines: &Lines) -> Result<Vec<Branch>, Mistake> {
    let mut branches: Vec<(usize, Branch)> = Vec::with_capacity(table.len());
    for (name, value) in table.iter() {
        let offset = name.span().start;
        let line = lines.at(offset);
        branches.push((offset, Branch { name: name.get_ref().to_string(), node: node(value, lines)?, line }));
    }
    // In the order of the document, for the sake of messages.
    branches.sort_by_key(|(offset, _)| *offset);
    Ok(branches.into_iter().map(|(_, branch)| branch).collect())
}

fn node(value: &Spanned<DeValue<'_>>, lines: &Lines) -> Result<Node, Mistake> {
    Ok(match value.get_ref() {
        DeValue::Table(table) => Node::Table(branches(table, lines)?),
        DeValue::Array(_) => Node::Text(json(value, lines)?),
        DeValue::String(text) => Node::Text(text.to_string()),
        DeValue::Datetime(time) => Node::Text(time.to_string()),
        DeValue::Boolean(truth) => Node::Text(truth.to_string()),
        DeValue::Integer(_) | DeValue::Float(_) => Node::Text(number(value, lines)?),
    })
}

/// What is within an array, as JSON.
fn json(value: &Spanned<DeValue<'_>>, lines: &Lines) -> Result<String, Mistake> {
    Ok(match value.get_ref() {
        DeValue::String(text) => quoted(text),
        DeValue::Datetime(time) => quoted(&time.to_string()),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Integer(_) | DeValue::Float(_) => match number(value, lines)? {
            // JSON has no word for these.
            text if is_infinite_or_nan(&text) => quoted(&text),
            text => text,
        },
        DeValue::Array(array) => {
            let parts = array.iter().map(|part| json(part, lines)).collect::<Result<Vec<_>, _>>()?;
            format!("[{}]", parts.join(","))
        }
        DeValue::Table(table) => {
            let member = |(name, part): (&Spanned<_>, _)| -> Result<String, Mistake> {
                let name: &DeString<'_> = name.get_ref();
                Ok(format!("{}:{}", quoted(name), json(part, lines)?))
            };
            format!("{{{}}}", table.iter().map(member).collect::<Result<Vec<_>, _>>()?.join(","))
        }
    })
}

/// A number as JSON has it: without a plus, and not in hexadecimal, octal or binary. The parser leaves
/// it to its caller whether there are digits, and only ASCII ones.
fn number(value: &Spanned<DeValue<'_>>, lines: &Lines) -> Result<String, Mistake> {
    let (text, number) = match value.get_ref() {
        DeValue::Integer(integer) => (integer.to_string(), decimal(integer)),
        DeValue::Float(float) => (float.to_string(), fraction(float)),
        _ => return Err(Mistake::at(lines.at(value.span().start), "this is no number")),
    };
    number.ok_or_else(|| Mistake::at(lines.at(value.span().start), format!("{text} is no TOML number")))
}

fn decimal(integer: &DeInteger<'_>) -> Option<String> {
    let text = integer.as_str().strip_prefix('+').unwrap_or(integer.as_str());
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(integer.radix())) {
        return None;
    }
    match i128::from_str_radix(text, integer.radix()) {
        Ok(number) => Some(number.to_string()),
        // Longer than any number of TOML's has to be: as it is written.
        Err(_) if integer.radix() == 10 => Some(text.to_owned()),
        Err(_) => None,
    }
}

fn fraction(float: &DeFloat<'_>) -> Option<String> {
    let text = float.as_str().strip_prefix('+').unwrap_or(float.as_str());
    let is_number = || {
        text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
            && serde_json::from_str::<&RawValue>(text).is_ok()
    };
    (is_infinite_or_nan(text) || is_number()).then(|| text.to_owned())
}

fn is_infinite_or_nan(text: &str) -> bool {
    matches!(text.strip_prefix('-').unwrap_or(text), "inf" | "nan")
}

/// Writes a document, entry by entry.
pub struct TomlWriter<'a> {
    out: &'a mut dyn Write,
    /// The document is one group's.
    single: bool,
    /// The group whose table is open.
    group: Option<String>,
}

impl<'a> TomlWriter<'a> {
    pub fn new(out: &'a mut dyn Write, single: bool) -> Self {
        Self { out, single, group: None }
    }

    pub fn entry(&mut self, group: &str, entry: &Entry) -> Result<(), Failure> {
        if !self.single && self.group.as_deref() != Some(group) {
            if self.group.replace(group.to_owned()).is_some() {
                writeln!(self.out)?;
            }
            writeln!(self.out, "[{}]", name(group))?;
        }
        Ok(writeln!(self.out, "{} = {}", name(&entry.key), value(entry))?)
    }
}

fn value(entry: &Entry) -> String {
    let (name, text) = tree::written(entry);
    let text = string(&text);
    let Some(name) = name else { return text };
    match entry.expires_at {
        None => format!("{{ \"{name}\" = {text} }}"),
        Some(at) => {
            format!("{{ \"{name}\" = {text}, \"{}\" = \"{}\" }}", tree::EXPIRES_AT, times::written(at))
        }
    }
}

/// A name on the left of `=`, or of a table. One with dots is quoted: it is one name.
fn name(name: &str) -> String {
    let bare = |character: char| character.is_ascii_alphanumeric() || character == '-' || character == '_';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { string(name) }
}

/// A TOML string. Its escapes are those of JSON, but that TOML does not take a bare DEL either.
fn string(text: &str) -> String {
    quoted(text).replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod suite;
