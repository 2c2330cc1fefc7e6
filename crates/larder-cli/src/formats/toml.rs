//! TOML: a table a group, or the keys alone where the document is one group's.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use larder::Entry;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::json::quoted;
use super::tree::{self, Branch, Node};
use super::{Lines, Mistake, Record};
use crate::failure::Failure;
use crate::times;

pub fn read(text: &str, group: Option<&str>) -> Result<Vec<Record>, Mistake> {
    let lines = Lines::of(text);
    let document = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| lines.at(span.start));
        Mistake::at(line, error.message().replace('\n', ", "))
    })?;
    tree::records(branches(document.get_ref(), &lines), group)
}

fn branches(table: &DeTable<'_>, lines: &Lines) -> Vec<Branch> {
    let mut branches: Vec<(usize, Branch)> = table
        .iter()
        .map(|(name, value)| {
            let offset = name.span().start;
            let line = lines.at(offset);
            (offset, Branch { name: name.get_ref().to_string(), node: node(value, lines), line })
        })
        .collect();
    // In the order of the document, for the sake of messages.
    branches.sort_by_key(|(offset, _)| *offset);
    branches.into_iter().map(|(_, branch)| branch).collect()
}

fn node(value: &Spanned<DeValue<'_>>, lines: &Lines) -> Node {
    match value.get_ref() {
        DeValue::Table(table) => Node::Table(branches(table, lines)),
        DeValue::String(text) => Node::Text(text.to_string()),
        DeValue::Integer(number) => Node::Text(decimal(number)),
        DeValue::Float(number) => Node::Text(number.as_str().trim_start_matches('+').to_owned()),
        DeValue::Boolean(truth) => Node::Text(truth.to_string()),
        DeValue::Datetime(time) => Node::Text(time.to_string()),
        array @ DeValue::Array(_) => Node::Text(json(array)),
    }
}

/// An integer as JSON has it: without a plus, and not in hexadecimal, octal or binary.
fn decimal(number: &DeInteger<'_>) -> String {
    match i128::from_str_radix(number.as_str(), number.radix()) {
        Ok(decimal) => decimal.to_string(),
        // Longer than any number of TOML's may be: as it is written.
        Err(_) => number.to_string(),
    }
}

/// What is within an array, as JSON.
fn json(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => decimal(number),
        DeValue::Float(number) => match number.as_str().trim_start_matches('+') {
            // JSON has no word for these.
            text if text.ends_with("inf") || text.ends_with("nan") => quoted(text),
            text => text.to_owned(),
        },
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => quoted(&time.to_string()),
        DeValue::Array(array) => {
            let parts: Vec<String> = array.iter().map(|part| json(part.get_ref())).collect();
            format!("[{}]", parts.join(","))
        }
        DeValue::Table(table) => {
            let parts = table
                .iter()
                .map(|(name, part)| format!("{}:{}", quoted(name.get_ref()), json(part.get_ref())));
            format!("{{{}}}", parts.collect::<Vec<_>>().join(","))
        }
    }
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
    let (name, text) = match entry.value.as_str() {
        Some(text) if entry.expires_at.is_none() => return string(text),
        Some(text) => (tree::VALUE, string(text)),
        None => (tree::BASE64_VALUE, string(&BASE64.encode(entry.value.as_bytes()))),
    };
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
