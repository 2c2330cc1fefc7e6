//! What an increment makes of a value.

use crate::data::{Error, Result};

/// Adds `by` to the whole number that an entry holds as decimal text; `stored` is its value, `None` where
/// there is no live entry, which counts as 0.
///
/// # Errors
/// [`Error::NotANumber`] where the value is no 64-bit integer, [`Error::Overflow`] where the sum is none.
pub(crate) fn increment(group: &str, key: &str, stored: Option<&[u8]>, by: i64) -> Result<i64> {
    let names = || (group.to_owned(), key.to_owned());
    let from = match stored {
        None => 0,
        Some(value) => {
            let text = std::str::from_utf8(value).ok();
            text.and_then(|text| text.parse().ok()).ok_or_else(|| {
                let (group, key) = names();
                Error::NotANumber { group, key }
            })?
        }
    };
    i64::checked_add(from, by).ok_or_else(|| {
        let (group, key) = names();
        Error::Overflow { group, key, from, by }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_absent_entry_counts_as_zero() {
        assert_eq!(increment("g", "k", None, -3).unwrap(), -3);
    }

    #[test]
    fn what_is_no_whole_number_is_refused() {
        for value in ["", " 1", "1 ", "1.0", "0x1", "one", "9223372036854775808", "\u{ff11}"] {
            let refused = increment("g", "k", Some(value.as_bytes()), 1);
            assert!(matches!(refused, Err(Error::NotANumber { .. })), "{value:?}");
        }
        assert!(matches!(increment("g", "k", Some(&[0xff]), 1), Err(Error::NotANumber { .. })));
    }

    proptest! {
        #[test]
        fn the_sum_is_exact_or_the_increment_is_refused(from: i64, by: i64) {
            let sum = increment("g", "k", Some(from.to_string().as_bytes()), by);
            match i64::try_from(i128::from(from) + i128::from(by)) {
                Ok(exact) => prop_assert_eq!(sum.unwrap(), exact),
                Err(_) => {
                    let overflows = matches!(sum, Err(Error::Overflow { from: f, by: b, .. }) if (f, b) == (from, by));
                    prop_assert!(overflows);
                }
            }
        }
    }
}
