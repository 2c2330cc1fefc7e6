//! Formats and parses times as RFC 3339, in UTC, with milliseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last time that RFC 3339 can express, 9999-12-31T23:59:59.999Z.
const LAST: Duration = Duration::from_millis(253_402_300_799_999);

/// Formats a time as RFC 3339. A time outside the years 1970 to 9999 becomes the nearest inside.
pub fn written(time: SystemTime) -> String {
    let time = time.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST);
    humantime::format_rfc3339_millis(time).to_string()
}

/// Parses what [`written`] formats.
pub fn read(text: &str) -> Result<SystemTime, humantime::TimestampError> {
    humantime::parse_rfc3339(text)
}

/// Formats the time left until `time`, for a terminal.
pub fn from_now(time: SystemTime) -> String {
    let Ok(left) = time.duration_since(SystemTime::now()) else { return "now".into() };
    // Rounded up, so that an entry just set with `--ttl 1h` shows an hour.
    let seconds = left.as_millis().div_ceil(1000) as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("in {seconds}s"),
        (0, 0, _) => format!("in {minutes}m {}s", seconds % 60),
        (0, ..) => format!("in {hours}h {minutes}m"),
        (1..=99, ..) => format!("in {days}d {hours}h"),
        _ => written(time)[..10].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_round_trips_to_the_millisecond() {
        let time = UNIX_EPOCH + Duration::from_millis(1_767_225_600_123);
        assert_eq!(written(time), "2026-01-01T00:00:00.123Z");
        assert_eq!(read(&written(time)).unwrap(), time);
        assert_eq!(written(UNIX_EPOCH + LAST), "9999-12-31T23:59:59.999Z");
        assert_eq!(written(UNIX_EPOCH + LAST * 2), "9999-12-31T23:59:59.999Z");
        assert!(read("tomorrow").is_err());
    }
}
