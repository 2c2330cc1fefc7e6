//! NDJSON: an entry a line. It says all that an entry has, and is read and written in its order.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use larder::Entry;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Mistake, Record};
use crate::failure::Failure;
use crate::records::ExportRecord;
use crate::times;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    group: Option<String>,
    key: String,
    value: Option<String>,
    value_base64: Option<String>,
    expires_at: Option<String>,
    /// As `larder list --json` has it. It means nothing in another store.
    #[serde(rename = "revision")]
    _revision: Option<IgnoredAny>,
}

pub fn read(text: &str, group: Option<&str>) -> Result<Vec<Record>, Mistake> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(index, line)| record(line, index + 1, group)).collect()
}

fn record(text: &str, line: usize, group: Option<&str>) -> Result<Record, Mistake> {
    let parsed: Line = serde_json::from_str(text).map_err(|error| Mistake::json(&error, line))?;
    let value = match (parsed.value, parsed.value_base64) {
        (Some(value), None) => value.into_bytes(),
        (None, Some(base64)) => BASE64
            .decode(base64)
            .map_err(|error| Mistake::at(line, format!("value_base64 is no base64: {error}")))?,
        (None, None) => return Err(Mistake::at(line, "the entry has neither a value nor a value_base64")),
        (Some(_), Some(_)) => {
            return Err(Mistake::at(line, "the entry has both a value and a value_base64; leave one out"));
        }
    };
    let group = parsed.group.or_else(|| group.map(str::to_owned)).ok_or_else(|| {
        Mistake::at(line, "the entry has no group; add one, or name one for all with --group")
    })?;
    let expires_at = parsed.expires_at.as_deref().map(times::read).transpose();
    let expires_at = expires_at.map_err(|reason| Mistake::at(line, reason))?;
    Ok(Record { group, key: parsed.key, value, expires_at, line })
}

pub fn write(out: &mut dyn Write, group: &str, entry: &Entry) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, &ExportRecord::of(group, entry)).map_err(io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}
