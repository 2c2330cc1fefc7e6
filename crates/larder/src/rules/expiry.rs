//! Whether an entry has expired.

/// Whether an entry with this expiry is live at `now_ms`. Both are Unix milliseconds; `None` never expires.
/// An entry expires at its expiry, not after it.
pub(crate) fn is_live(expires_at_ms: Option<i64>, now_ms: i64) -> bool {
    expires_at_ms.is_none_or(|at_ms| at_ms > now_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_live_until_its_expiry_and_not_at_it() {
        assert!(is_live(Some(11), 10));
        assert!(!is_live(Some(10), 10));
        assert!(!is_live(Some(i64::MIN), i64::MAX));
        assert!(is_live(None, i64::MAX));
    }
}
