//! Times, as the command line writes and reads them: RFC 3339, in UTC, to the millisecond.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last moment that RFC 3339 can say, 9999-12-31T23:59:59.999Z.
const LAST: Duration = Duration::from_millis(253_402_300_799_999);

/// A time as RFC 3339. What lies outside its years 1970 to 9999 is written as the nearest within.
pub fn written(time: SystemTime) -> String {
    let time = time.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST);
    humantime::format_rfc3339_millis(time).to_string()
}

/// Reads what [`written`] writes.
pub fn read(text: &str) -> Result<SystemTime, String> {
    humantime::parse_rfc3339(text)
        .map_err(|_| format!("{text:?} is no time; write it in UTC, as in 2030-01-31T12:00:00.000Z"))
}

/// How long it is until then, for a person.
pub fn from_now(time: SystemTime) -> String {
    let Ok(left) = time.duration_since(SystemTime::now()) else { return "now".into() };
    // Rounded up, so that what was given an hour just now has an hour.
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
    fn a_time_comes_back_to_the_millisecond() {
        let time = UNIX_EPOCH + Duration::from_millis(1_767_225_600_123);
        assert_eq!(written(time), "2026-01-01T00:00:00.123Z");
        assert_eq!(read(&written(time)).unwrap(), time);
        assert_eq!(written(UNIX_EPOCH + LAST), "9999-12-31T23:59:59.999Z");
        assert_eq!(written(UNIX_EPOCH + LAST * 2), "9999-12-31T23:59:59.999Z");
        assert!(read("tomorrow").is_err());
    }
}
