//! What JSON and TOML have in common: tables within tables, which become groups and dotted keys.

use std::borrow::Cow;

use larder::Entry;

use super::{Mistake, Record, binary};
use crate::times;

/// The names that set a value apart from a table: what it is, where it is text that expires or no
/// text at all, and until when.
pub const VALUE: &str = "$value";
pub const BASE64_VALUE: &str = "$base64";
pub const EXPIRES_AT: &str = "$expires_at";

/// A name and what it stands for.
pub struct Branch {
    pub name: String,
    pub node: Node,
    pub line: usize,
}

/// What a name stands for.
pub enum Node {
    Text(String),
    Table(Vec<Branch>),
    Null,
}

/// How many bytes of names a document may make, in the smallest one too, and for each of its bytes. A name that many
/// others are within is repeated for each of them.
const NAMES_FREE: usize = 16 << 20;
const NAMES_PER_BYTE: usize = 16;

/// The entries of a document of so many bytes: of its tables, a group each, or all of one group.
pub fn records(document: Vec<Branch>, group: Option<&str>, bytes: usize) -> Result<Vec<Record>, Mistake> {
    let mut names_left = bytes.saturating_mul(NAMES_PER_BYTE).saturating_add(NAMES_FREE);
    let mut records = Vec::new();
    if let Some(group) = group {
        let mut entries = Entries { group, records: &mut records, names_left: &mut names_left };
        for Branch { name, node, line } in document {
            entries.add(name, node, line)?;
        }
        return Ok(records);
    }
    for Branch { name: group, node, line } in document {
        let Node::Table(branches) = node else {
            return Err(Mistake::at(line, format!("{group:?} has a value where a group of keys should be"))
                .advise("To import the document into one group, name it with --group."));
        };
        let mut entries = Entries { group: &group, records: &mut records, names_left: &mut names_left };
        for Branch { name, node, line } in branches {
            entries.add(name, node, line)?;
        }
    }
    Ok(records)
}

/// The entries of one group, as they are found.
struct Entries<'a> {
    group: &'a str,
    records: &'a mut Vec<Record>,
    /// How many bytes of names the document may still make.
    names_left: &'a mut usize,
}

impl Entries<'_> {
    fn add(&mut self, key: String, node: Node, line: usize) -> Result<(), Mistake> {
        // Each key is made, and each entry has the name of its group.
        let name_bytes = key.len() + self.group.len();
        *self.names_left = self.names_left.checked_sub(name_bytes).ok_or_else(|| {
            let reason = "the names of its groups and keys, each written out, are much longer than the file";
            Mistake::at(line, reason).advise("Give what has many keys a shorter name.")
        })?;
        match node {
            Node::Text(value) => {
                let (group, value) = (self.group.to_owned(), value.into_bytes());
                self.records.push(Record { group, key, value, expires_at: None, line });
            }
            Node::Table(branches) if branches.iter().any(is_special) => {
                self.records.push(special(self.group, key, branches, line)?);
            }
            Node::Table(branches) => {
                for branch in branches {
                    self.add(format!("{key}.{}", branch.name), branch.node, branch.line)?;
                }
            }
            Node::Null => {
                return Err(Mistake::at(line, format!("{key:?} is null, which a store does not know"))
                    .advise("Leave it out, or write \"\"."));
            }
        }
        Ok(())
    }
}

/// How a value is written: as itself where it is text that does not expire, otherwise in a table, under this name.
pub fn written(entry: &Entry) -> (Option<&'static str>, Cow<'_, str>) {
    match entry.value.as_str() {
        Some(text) => (entry.expires_at.map(|_| VALUE), text.into()),
        None => (Some(BASE64_VALUE), binary::encoded(entry.value.as_bytes()).into()),
    }
}

fn is_special(branch: &Branch) -> bool {
    [VALUE, BASE64_VALUE, EXPIRES_AT].contains(&branch.name.as_str())
}

/// A value that is written as a table of `$value` or `$base64`, and perhaps `$expires_at`.
fn special(group: &str, key: String, branches: Vec<Branch>, line: usize) -> Result<Record, Mistake> {
    let (mut value, mut expires_at) = (None, None);
    for Branch { name, node, line } in branches {
        let Node::Text(text) = node else {
            return Err(Mistake::at(line, format!("{name:?} of the key {key:?} is no text"))
                .advise("Write it as a string."));
        };
        match name.as_str() {
            EXPIRES_AT => {
                let time = times::read(&text).map_err(|error| Mistake::time(line, &text, error))?;
                expires_at = Some(time);
            }
            VALUE | BASE64_VALUE if value.is_some() => {
                return Err(
                    Mistake::at(line, format!("the key {key:?} has two values")).advise("Leave one out.")
                );
            }
            VALUE => value = Some(text.into_bytes()),
            BASE64_VALUE => {
                let what = format!("{BASE64_VALUE:?} of the key {key:?}");
                value = Some(binary::decoded(&text, line, &what)?);
            }
            _ => {
                let reason =
                    format!("{name:?} cannot stand beside the $ names that give the key {key:?} its value");
                let dotted = format!("{key}.{name}");
                return Err(Mistake::at(line, reason).advise(format!(
                    "For keys of such names, write {dotted:?} and the like instead of the table."
                )));
            }
        }
    }
    let value = value.ok_or_else(|| {
        Mistake::at(line, format!("the key {key:?} has an expiry and no value")).advise("Add \"$value\".")
    })?;
    Ok(Record { group: group.to_owned(), key, value, expires_at, line })
}
