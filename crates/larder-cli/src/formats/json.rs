//! JSON: `{"group": {"key": "value"}}`, or the inner object alone where the document is one group's.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};

use larder::Entry;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::mistake::offset;
use super::tree::{self, Branch, Node};
use super::{Lines, Mistake, Record};
use crate::failure::Failure;
use crate::times;

/// How many objects and arrays may be within one another. A person's configuration has a handful.
const DEPTH_MAX: usize = 64;

pub fn read(text: &str, group: Option<&str>) -> Result<Vec<Record>, Mistake> {
    let document: &RawValue = serde_json::from_str(text).map_err(|error| Mistake::json(&error))?;
    let source = Source { text, lines: Lines::of(text) };
    match source.node(document, 0)? {
        Node::Table(branches) => tree::records(branches, group, text.len()),
        Node::Text(_) | Node::Null => {
            let line = source.line(document.get());
            Err(Mistake::at(line, "the document is no object")
                .advise("Write {\"group\": {\"key\": \"value\"}}."))
        }
    }
}

/// The text that all parts of a document are parts of, and their place in it.
struct Source<'a> {
    text: &'a str,
    lines: Lines,
}

impl<'a> Source<'a> {
    fn line(&self, part: &str) -> usize {
        self.lines.at(offset(self.text, part))
    }

    /// Numbers and arrays stay as they are written: to read them, and write them again, would lose
    /// digits that somebody meant.
    fn node(&self, raw: &'a RawValue, depth: usize) -> Result<Node, Mistake> {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{') => {
                let branches = self.members(text, depth)?.into_iter().map(|(name, raw)| {
                    Ok(Branch { name, node: self.node(raw, depth + 1)?, line: self.line(raw.get()) })
                });
                Ok(Node::Table(branches.collect::<Result<_, Mistake>>()?))
            }
            Some(b'"') => Ok(Node::Text(self.parsed(text)?)),
            Some(b'n') => Ok(Node::Null),
            Some(b'[') => {
                self.check(raw, depth)?;
                Ok(Node::Text(without_spaces(text)))
            }
            _ => Ok(Node::Text(text.to_owned())),
        }
    }

    /// Refuses within an array what is refused everywhere else.
    fn check(&self, raw: &'a RawValue, depth: usize) -> Result<(), Mistake> {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'[') => {
                self.check_depth(text, depth)?;
                let parts: Vec<&'a RawValue> = self.parsed(text)?;
                parts.into_iter().try_for_each(|part| self.check(part, depth + 1))
            }
            Some(b'{') => {
                let members = self.members(text, depth)?;
                members.into_iter().try_for_each(|(_, part)| self.check(part, depth + 1))
            }
            Some(b'"') => self.parsed::<String>(text).map(drop),
            _ => Ok(()),
        }
    }

    /// The members of an object. A name that comes twice is a mistake in the file.
    fn members(&self, text: &'a str, depth: usize) -> Result<Vec<(String, &'a RawValue)>, Mistake> {
        self.check_depth(text, depth)?;
        let Members(members) = self.parsed(text)?;
        let mut lines = HashMap::with_capacity(members.len());
        for (name, raw) in &members {
            let line = self.line(raw.get());
            if let Some(first) = lines.insert(name.as_str(), line) {
                return Err(Mistake::again(line, &format!("the name {name:?}"), first));
            }
        }
        Ok(members)
    }

    fn check_depth(&self, text: &str, depth: usize) -> Result<(), Mistake> {
        if depth < DEPTH_MAX {
            return Ok(());
        }
        let reason = format!("more than {DEPTH_MAX} objects and arrays are within one another");
        Err(Mistake::at(self.line(text), reason).advise("Write what is inside as a string."))
    }

    fn parsed<T: Deserialize<'a>>(&self, text: &'a str) -> Result<T, Mistake> {
        serde_json::from_str(text).map_err(|error| Mistake::json_part::<Value>(self.text, text, error))
    }
}

/// The members of an object, in their order, each as it is written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// JSON without the white space between its parts.
fn without_spaces(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for character in json.chars() {
        if in_string {
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else if character.is_ascii_whitespace() {
            continue;
        } else {
            in_string = character == '"';
        }
        text.push(character);
    }
    text
}

/// A text as a JSON string.
pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Writes a document, entry by entry.
pub struct JsonWriter<'a> {
    out: &'a mut dyn Write,
    /// The document is one group's.
    single: bool,
    /// The group whose object is open.
    group: Option<String>,
}

impl<'a> JsonWriter<'a> {
    pub fn new(out: &'a mut dyn Write, single: bool) -> Self {
        Self { out, single, group: None }
    }

    pub fn entry(&mut self, group: &str, entry: &Entry) -> Result<(), Failure> {
        let indent = if self.single { "  " } else { "    " };
        if self.group.as_deref() == Some(group) {
            self.out.write_all(b",\n")?;
        } else {
            self.begin(group)?;
        }
        Ok(write!(self.out, "{indent}{}: {}", quoted(&entry.key), value(entry))?)
    }

    fn begin(&mut self, group: &str) -> io::Result<()> {
        let first = self.group.replace(group.to_owned()).is_none();
        match (self.single, first) {
            (true, _) => writeln!(self.out, "{{"),
            (false, true) => writeln!(self.out, "{{\n  {}: {{", quoted(group)),
            (false, false) => writeln!(self.out, "\n  }},\n  {}: {{", quoted(group)),
        }
    }

    pub fn finish(self) -> Result<(), Failure> {
        Ok(match (&self.group, self.single) {
            (None, _) => writeln!(self.out, "{{}}"),
            (Some(_), true) => writeln!(self.out, "\n}}"),
            (Some(_), false) => writeln!(self.out, "\n  }}\n}}"),
        }?)
    }
}

fn value(entry: &Entry) -> String {
    let (name, text) = tree::written(entry);
    let text = quoted(&text);
    let Some(name) = name else { return text };
    match entry.expires_at {
        None => format!("{{\"{name}\": {text}}}"),
        Some(at) => format!("{{\"{name}\": {text}, \"{}\": \"{}\"}}", tree::EXPIRES_AT, times::written(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_from_between_and_stays_within_strings() {
        assert_eq!(without_spaces("[ 1.10,\n {\"a b\" : \" \\\" ] \"} ]"), "[1.10,{\"a b\":\" \\\" ] \"}]");
    }
}
