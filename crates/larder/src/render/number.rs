//! Numbers of a template, in one order: booleans count as 0 and 1.

use std::cmp::Ordering;

#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Bool(bool),
    Integer(i128),
    Fraction(f64),
}

impl Number {
    fn integer(self) -> Option<i128> {
        match self {
            Self::Bool(value) => Some(i128::from(value)),
            Self::Integer(value) => Some(value),
            Self::Fraction(_) => None,
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Fraction(left), Self::Fraction(right)) if left == right => Ordering::Equal,
            (Self::Fraction(left), Self::Fraction(right)) => left.total_cmp(right),
            (Self::Fraction(left), right) => of_fraction(*left, right.integer().unwrap_or_default()),
            (left, Self::Fraction(right)) => {
                of_fraction(*right, left.integer().unwrap_or_default()).reverse()
            }
            (left, right) => left.integer().cmp(&right.integer()),
        }
    }
}

/// Compares exactly, also where a fraction cannot tell two whole numbers apart.
fn of_fraction(fraction: f64, integer: i128) -> Ordering {
    // 2^127: what lies beyond is greater or less than any whole number.
    const BEYOND: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;
    if fraction.is_nan() || fraction.abs() >= BEYOND {
        return if fraction.is_sign_negative() { Ordering::Less } else { Ordering::Greater };
    }
    let whole = fraction.trunc();
    (whole as i128).cmp(&integer).then(fraction.partial_cmp(&whole).unwrap_or(Ordering::Equal))
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}
