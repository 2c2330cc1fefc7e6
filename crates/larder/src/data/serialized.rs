//! The serde shapes of values, entries and events, as `larder --json` prints them. `docs/json.md` describes them.

pub(super) mod millis;
pub(super) mod optional_millis;
pub(super) mod optional_time;
pub(super) mod time;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::Error as _;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::time::Time;
use super::{
    Condition, Consistency, Durability, Entry, Event, EventKind, Pattern, ResumeToken, Revision, Value,
};

/// Serializes types as the text that `Display` writes and `FromStr` reads.
macro_rules! as_text {
    ($($type:ty),+) => { $(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )+ };
}

as_text!(Condition, Consistency, Durability, EventKind, Pattern, ResumeToken);

/// Writes the one field of a value: `value` for text, `value_base64` for other bytes.
fn write_value<S: SerializeStruct>(fields: &mut S, value: Option<&Value>) -> Result<(), S::Error> {
    match value.map(|value| (value.as_str(), value)) {
        None => fields.serialize_field("value", &None::<&str>),
        Some((Some(text), _)) => fields.serialize_field("value", text),
        Some((None, value)) => fields.serialize_field("value_base64", &BASE64.encode(value.as_bytes())),
    }
}

/// The fields in which a value may come.
#[derive(Deserialize)]
struct ValueFields {
    value: Option<String>,
    value_base64: Option<String>,
}

impl ValueFields {
    fn read<E: serde::de::Error>(self) -> Result<Option<Value>, E> {
        match (self.value, self.value_base64) {
            (Some(_), Some(_)) => Err(E::custom("value and value_base64 exclude each other")),
            (Some(text), None) => Ok(Some(text.into())),
            (None, Some(base64)) => match BASE64.decode(base64) {
                Ok(bytes) => Ok(Some(bytes.into())),
                Err(error) => Err(E::custom(format_args!("value_base64 is not base64: {error}"))),
            },
            (None, None) => Ok(None),
        }
    }

    fn read_required<E: serde::de::Error>(self) -> Result<Value, E> {
        self.read()?.ok_or_else(|| E::missing_field("value"))
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Value", 1)?;
        write_value(&mut fields, Some(self))?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ValueFields::deserialize(deserializer)?.read_required()
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Entry", 4)?;
        fields.serialize_field("key", &self.key)?;
        write_value(&mut fields, Some(&self.value))?;
        fields.serialize_field("revision", &self.revision)?;
        fields.serialize_field("expires_at", &self.expires_at.map(Time))?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            key: String,
            value: Option<String>,
            value_base64: Option<String>,
            revision: Revision,
            expires_at: Option<Time>,
        }
        let Fields { key, value, value_base64, revision, expires_at } = Fields::deserialize(deserializer)?;
        let value = ValueFields { value, value_base64 }.read_required()?;
        Ok(Self { key, value, revision, expires_at: expires_at.map(|time| time.0) })
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Event", 7)?;
        fields.serialize_field("revision", &self.revision)?;
        fields.serialize_field("kind", &self.kind)?;
        fields.serialize_field("group", &self.group)?;
        fields.serialize_field("key", &self.key)?;
        write_value(&mut fields, self.value.as_ref())?;
        fields.serialize_field("expires_at", &self.expires_at.map(Time))?;
        fields.serialize_field("at", &Time(self.at))?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            revision: Revision,
            kind: EventKind,
            group: String,
            key: Option<String>,
            value: Option<String>,
            value_base64: Option<String>,
            expires_at: Option<Time>,
            at: Time,
        }
        let Fields { revision, kind, group, key, value, value_base64, expires_at, at } =
            Fields::deserialize(deserializer)?;
        let value = ValueFields { value, value_base64 }.read()?;
        let expires_at = expires_at.map(|time| time.0);
        Ok(Self { revision, kind, group, key, value, expires_at, at: at.0 })
    }
}
