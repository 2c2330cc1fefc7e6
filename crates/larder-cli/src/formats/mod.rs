//! What import reads and export writes.

mod binary;
mod dotenv;
mod json;
mod mistake;
mod ndjson;
mod toml;
mod tree;

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use clap::ValueEnum;
use larder::Entry;

use crate::failure::Failure;
use crate::notice::Notice;
use crate::source;
pub use mistake::Mistake;

/// The formats that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Ndjson,
    Json,
    Toml,
    Env,
}

impl Format {
    /// The format that was asked for, or the one that the file's name says.
    pub fn of(file: &Path, asked: Option<Self>) -> Result<Self, Failure> {
        if let Some(format) = asked {
            return Ok(format);
        }
        if source::is_standard(file) {
            return Ok(Self::Ndjson);
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        match name.rsplit_once('.') {
            Some((_, "ndjson" | "jsonl")) => Ok(Self::Ndjson),
            Some((_, "json")) => Ok(Self::Json),
            Some((_, "toml")) => Ok(Self::Toml),
            Some((_, "env")) => Ok(Self::Env),
            // As in .env.production
            _ if name.starts_with(".env.") => Ok(Self::Env),
            _ => Err(Failure::Usage(format!("the name of {} does not say its format", file.display()))
                .advise("Give --format ndjson, json, toml or env.")),
        }
    }

    /// Refuses to go without a group where the format has no place for its name.
    pub fn check_group(self, group: Option<&str>) -> Result<(), Failure> {
        match (self, group) {
            (Self::Env, None) => Err(Failure::Usage("a .env file holds one group, and none is named".into())
                .advise("Name it with --group.")),
            _ => Ok(()),
        }
    }

    /// Whether the format has a place for every key. If not, [`check_key`](Self::check_key) finds out
    /// which one it refuses, before anything is written.
    pub fn takes_every_key(self) -> bool {
        self != Self::Env
    }

    /// Refuses a key that the format has no place for.
    pub fn check_key(self, key: &str) -> Result<(), Failure> {
        if self.takes_every_key() { Ok(()) } else { dotenv::check_name(key) }
    }
}

/// An entry on its way into a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub group: String,
    pub key: String,
    pub value: Vec<u8>,
    pub expires_at: Option<SystemTime>,
    /// Where it stands in the file.
    pub line: usize,
}

/// What a file holds.
#[derive(Debug)]
pub struct Document {
    pub records: Vec<Record>,
    /// What another reader of such files would take differently.
    pub warnings: Vec<Mistake>,
}

/// Reads a whole file. With a `group`, a document that names none, or could name several, is that
/// group's.
pub fn read(format: Format, bytes: &[u8], group: Option<&str>) -> Result<Document, Mistake> {
    let text = utf8(bytes)?;
    let records = match format {
        Format::Ndjson => ndjson::read(text, group),
        Format::Json => json::read(text, group),
        Format::Toml => toml::read(text, group),
        Format::Env => return dotenv::read(text, group.unwrap_or_default()),
    }?;
    refuse_duplicates(format, &records)?;
    Ok(Document { records, warnings: Vec::new() })
}

fn utf8(bytes: &[u8]) -> Result<&str, Mistake> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        Mistake::at(line, "this is not UTF-8 text").advise("Convert it.")
    })?;
    // Some editors put a byte order mark before the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.starts_with('\u{feff}') {
        return Err(Mistake::at(1, "the text begins with two byte order marks").advise("Remove one."));
    }
    Ok(text)
}

/// Two values for one key in one file are a mistake in the file: nothing says which one counts.
fn refuse_duplicates(format: Format, records: &[Record]) -> Result<(), Mistake> {
    let mut lines = HashMap::with_capacity(records.len());
    for Record { group, key, line, .. } in records {
        if let Some(first) = lines.insert((group, key), *line) {
            let mistake = Mistake::again(*line, &format!("the key {key:?} of the group {group:?}"), first);
            return Err(match format {
                Format::Json | Format::Toml => {
                    mistake.advise("Leave one out; a dot in a name stands for a table in a table.")
                }
                Format::Ndjson | Format::Env => mistake,
            });
        }
    }
    Ok(())
}

/// The lines of a text, to find the one of an offset.
struct Lines {
    /// Where each line after the first begins.
    starts: Vec<usize>,
}

impl Lines {
    fn of(text: &str) -> Self {
        Self { starts: text.match_indices('\n').map(|(offset, _)| offset + 1).collect() }
    }

    /// The line, from 1, that an offset is in.
    fn at(&self, offset: usize) -> usize {
        1 + self.starts.partition_point(|start| *start <= offset)
    }
}

/// Writes entries, group by group, sorted as a store gives them.
pub enum Writer<'a> {
    Ndjson(&'a mut dyn Write),
    Json(json::JsonWriter<'a>),
    Toml(toml::TomlWriter<'a>),
    Env(dotenv::EnvWriter<'a>),
}

/// What there is to say about a document that was written.
#[derive(Debug, Default)]
pub struct Notes {
    /// What the format could not keep.
    pub warnings: Vec<Notice>,
    /// What a person may want to know.
    pub remarks: Vec<String>,
}

impl<'a> Writer<'a> {
    /// `single`: the document is to be one group's.
    pub fn new(format: Format, out: &'a mut dyn Write, single: bool) -> Self {
        match format {
            Format::Ndjson => Self::Ndjson(out),
            Format::Json => Self::Json(json::JsonWriter::new(out, single)),
            Format::Toml => Self::Toml(toml::TomlWriter::new(out, single)),
            Format::Env => Self::Env(dotenv::EnvWriter::new(out)),
        }
    }

    pub fn entry(&mut self, group: &str, entry: &Entry) -> Result<(), Failure> {
        match self {
            Self::Ndjson(out) => ndjson::write(*out, group, entry),
            Self::Json(writer) => writer.entry(group, entry),
            Self::Toml(writer) => writer.entry(group, entry),
            Self::Env(writer) => writer.entry(entry),
        }
    }

    pub fn finish(self) -> Result<Notes, Failure> {
        match self {
            Self::Json(writer) => writer.finish().map(|()| Notes::default()),
            Self::Env(writer) => Ok(writer.finish()),
            Self::Ndjson(_) | Self::Toml(_) => Ok(Notes::default()),
        }
    }
}

#[cfg(test)]
mod fuzzed;
#[cfg(test)]
mod tests;
