//! NDJSON: an entry a line. It says all that an entry has, and is read and written in its order.

use std::fmt;
use std::io::{self, Write};

use larder::Entry;
use serde::de::{self, IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Mistake, Record, binary};
use crate::failure::Failure;
use crate::records::ExportRecord;
use crate::times;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    group: Option<String>,
    key: String,
    #[serde(default, deserialize_with = "text")]
    value: Option<String>,
    #[serde(default, deserialize_with = "text")]
    value_base64: Option<String>,
    expires_at: Option<String>,
    /// As `larder list --json` has it. It means nothing in another store.
    #[serde(rename = "revision")]
    _revision: Option<IgnoredAny>,
}

/// Reads a value that has to be text. The error does not quote what is there instead, which may be a secret.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Text;

    impl Text {
        fn refused<T, E: de::Error>() -> Result<T, E> {
            Err(E::custom("a value has to be text, in quotes"))
        }
    }

    impl<'de> Visitor<'de> for Text {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }
        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
            Self::refused()
        }
        fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
            Self::refused()
        }
        fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> {
            Self::refused()
        }
        fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
            Self::refused()
        }
    }

    deserializer.deserialize_any(Text)
}

pub fn read(text: &str, group: Option<&str>) -> Result<Vec<Record>, Mistake> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(index, line)| record(text, line, index + 1, group)).collect()
}

fn record(file: &str, text: &str, line: usize, group: Option<&str>) -> Result<Record, Mistake> {
    let parsed: Line =
        serde_json::from_str(text).map_err(|error| Mistake::json_part::<Line>(file, text, error))?;
    let value = match (parsed.value, parsed.value_base64) {
        (Some(value), None) => value.into_bytes(),
        (None, Some(base64)) => binary::decoded(&base64, line, "value_base64")?,
        (None, None) => {
            return Err(Mistake::at(line, "the entry has neither a value nor a value_base64")
                .advise("Add one of them."));
        }
        (Some(_), Some(_)) => {
            return Err(
                Mistake::at(line, "the entry has both a value and a value_base64").advise("Leave one out.")
            );
        }
    };
    let group = parsed.group.or_else(|| group.map(str::to_owned)).ok_or_else(|| {
        Mistake::at(line, "the entry has no group").advise("Add one, or name one for all with --group.")
    })?;
    let time = |text| times::read(text).map_err(|error| Mistake::time(line, text, error));
    let expires_at = parsed.expires_at.as_deref().map(time).transpose()?;
    Ok(Record { group, key: parsed.key, value, expires_at, line })
}

pub fn write(out: &mut dyn Write, group: &str, entry: &Entry) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, &ExportRecord::of(group, entry)).map_err(io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}
