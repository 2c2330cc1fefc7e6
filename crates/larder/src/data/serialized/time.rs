//! Times as RFC 3339 text, in UTC and to the millisecond.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The last moment that RFC 3339 can express, 9999-12-31T23:59:59.999Z.
const LAST: Duration = Duration::from_millis(253_402_300_799_999);

/// A time that is serialized as RFC 3339. A time outside the years 1970 to 9999 is written as the nearest
/// one within them.
pub(super) struct Time(pub SystemTime);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = self.0.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST);
        serializer.collect_str(&humantime::format_rfc3339_millis(time))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let invalid = |_| {
            D::Error::invalid_value(Unexpected::Str(&text), &"a time in UTC, as in 2030-01-31T12:00:00.000Z")
        };
        humantime::parse_rfc3339(&text).map(Self).map_err(invalid)
    }
}

/// For `#[serde(with = …)]` on a field.
pub(in crate::data) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    Time(*time).serialize(serializer)
}

/// For `#[serde(with = …)]` on a field.
pub(in crate::data) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SystemTime, D::Error> {
    Ok(Time::deserialize(deserializer)?.0)
}
