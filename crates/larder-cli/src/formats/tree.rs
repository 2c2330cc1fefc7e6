//! What JSON and TOML have in common: tables within tables, which become groups and dotted keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Mistake, Record};
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

/// The entries of a document: of its tables, a group each, or all of one group.
pub fn records(document: Vec<Branch>, group: Option<&str>) -> Result<Vec<Record>, Mistake> {
    let mut records = Vec::new();
    if let Some(group) = group {
        for Branch { name, node, line } in document {
            add(&mut records, group, name, node, line)?;
        }
        return Ok(records);
    }
    for Branch { name: group, node, line } in document {
        let Node::Table(entries) = node else {
            let reason = format!(
                "{group:?} has a value where a group of keys should be; to import the document into one group, name it with --group"
            );
            return Err(Mistake::at(line, reason));
        };
        for Branch { name, node, line } in entries {
            add(&mut records, &group, name, node, line)?;
        }
    }
    Ok(records)
}

fn add(records: &mut Vec<Record>, group: &str, key: String, node: Node, line: usize) -> Result<(), Mistake> {
    match node {
        Node::Text(value) => {
            let (group, value) = (group.to_owned(), value.into_bytes());
            records.push(Record { group, key, value, expires_at: None, line });
        }
        Node::Table(branches) if branches.iter().any(is_special) => {
            records.push(special(group, key, branches, line)?);
        }
        Node::Table(branches) => {
            for branch in branches {
                add(records, group, format!("{key}.{}", branch.name), branch.node, branch.line)?;
            }
        }
        Node::Null => {
            let reason = format!("{key:?} is null, which a store does not know; leave it out, or write \"\"");
            return Err(Mistake::at(line, reason));
        }
    }
    Ok(())
}

fn is_special(branch: &Branch) -> bool {
    [VALUE, BASE64_VALUE, EXPIRES_AT].contains(&branch.name.as_str())
}

/// A value that is written as a table of `$value` or `$base64`, and perhaps `$expires_at`.
fn special(group: &str, key: String, branches: Vec<Branch>, line: usize) -> Result<Record, Mistake> {
    let (mut value, mut expires_at) = (None, None);
    for Branch { name, node, line } in branches {
        let Node::Text(text) = node else {
            return Err(Mistake::at(line, format!("{name:?} of the key {key:?} is no text")));
        };
        match name.as_str() {
            EXPIRES_AT => {
                expires_at = Some(times::read(&text).map_err(|reason| Mistake::at(line, reason))?);
            }
            VALUE | BASE64_VALUE if value.is_some() => {
                return Err(Mistake::at(line, format!("the key {key:?} has two values; leave one out")));
            }
            VALUE => value = Some(text.into_bytes()),
            BASE64_VALUE => {
                let bytes = BASE64.decode(text);
                value = Some(bytes.map_err(|error| {
                    Mistake::at(line, format!("{BASE64_VALUE:?} of the key {key:?} is no base64: {error}"))
                })?);
            }
            _ => {
                let reason = format!(
                    "{name:?} cannot stand beside the $ names that give the key {key:?} its value; for keys of such names, write {:?} and the like in place of the table",
                    format!("{key}.{name}")
                );
                return Err(Mistake::at(line, reason));
            }
        }
    }
    let value = value.ok_or_else(|| {
        Mistake::at(line, format!("the key {key:?} has an expiry and no value; add \"$value\""))
    })?;
    Ok(Record { group: group.to_owned(), key, value, expires_at, line })
}
