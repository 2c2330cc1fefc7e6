//! The operators of a template that compute: `+`, `-`, `*`, `/`, `//`, `%`, `**`, `~`, and the sign.

use super::fault::{Fault, Outcome};
use super::meter::{Draft, Meter};
use super::printing::print;
use super::syntax::Operator;
use super::value::{Shown, reserve};

pub(super) fn operate(meter: &Meter, left: &Shown, operator: Operator, right: &Shown) -> Outcome<Shown> {
    match (operator, left, right) {
        (Operator::Join, ..) => {
            let mut draft = Draft::new(meter);
            print(left, &mut draft)?;
            print(right, &mut draft)?;
            Ok(Shown::Text(draft.finish().into()))
        }
        (Operator::Add, Shown::Text(_), Shown::Text(_)) => operate(meter, left, Operator::Join, right),
        (Operator::Add, Shown::List(_) | Shown::Range(_), Shown::List(_) | Shown::Range(_)) => {
            if is_tuple(left) != is_tuple(right) {
                return Err(impossible(operator, left, right));
            }
            let (left_items, right_items) = (left.walk(meter)?, right.walk(meter)?);
            let mut items = Vec::new();
            reserve(meter, &mut items, left_items.length() + right_items.length())?;
            items.extend(left_items.chain(right_items));
            Shown::sequence(items, is_tuple(left))
        }
        (Operator::Multiply, Shown::Text(_) | Shown::List(_) | Shown::Range(_), times) => {
            repeat(meter, left, times).unwrap_or_else(|| Err(impossible(operator, left, right)))
        }
        (Operator::Multiply, times, Shown::Text(_) | Shown::List(_) | Shown::Range(_)) => {
            repeat(meter, right, times).unwrap_or_else(|| Err(impossible(operator, left, right)))
        }
        _ => calculate(left, operator, right),
    }
}

/// The text or list, several times; `None` if `times` is no number of times.
fn repeat(meter: &Meter, value: &Shown, times: &Shown) -> Option<Outcome<Shown>> {
    let times = match times {
        Shown::Integer(_) | Shown::Bool(_) => times.as_integer()?.max(0),
        _ => return None,
    };
    let times = usize::try_from(times).unwrap_or(usize::MAX);
    Some((|| {
        if let Shown::Text(text) = value {
            let mut draft = Draft::new(meter);
            draft.repeat(text, times)?;
            return Ok(Shown::Text(draft.finish().into()));
        }
        let walk = value.walk(meter)?;
        let mut items = Vec::new();
        reserve(meter, &mut items, walk.length().saturating_mul(times))?;
        if walk.length() > 0 {
            for _ in 0..times {
                items.extend(value.walk(meter)?);
            }
        }
        Shown::sequence(items, is_tuple(value))
    })())
}

fn calculate(left: &Shown, operator: Operator, right: &Shown) -> Outcome<Shown> {
    let (Some(a), Some(b)) = (left.as_fraction(), right.as_fraction()) else {
        return Err(impossible(operator, left, right));
    };
    let failed = || {
        Fault::invalid(format_args!(
            "unable to calculate {} {} {}",
            brief(left),
            sign(operator),
            brief(right)
        ))
    };
    let is_fraction = matches!(left, Shown::Fraction(_)) || matches!(right, Shown::Fraction(_));
    if operator == Operator::Divide {
        return if b == 0.0 { Err(failed()) } else { Ok(Shown::Fraction(a / b)) };
    }
    if let (false, Some(a), Some(b)) = (is_fraction, left.as_integer(), right.as_integer()) {
        let result = match operator {
            Operator::Add => a.checked_add(b),
            Operator::Subtract => a.checked_sub(b),
            Operator::Multiply => a.checked_mul(b),
            Operator::DivideDown => divide_down(a, b).map(|(quotient, _)| quotient),
            Operator::Remainder => divide_down(a, b).map(|(_, remainder)| remainder),
            Operator::Power if b < 0 && a != 0 => return Ok(Shown::Fraction((a as f64).powf(b as f64))),
            Operator::Power => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
            Operator::Divide | Operator::Join => None,
        };
        return result.map(Shown::Integer).ok_or_else(failed);
    }
    match operator {
        Operator::Add => Ok(Shown::Fraction(a + b)),
        Operator::Subtract => Ok(Shown::Fraction(a - b)),
        Operator::Multiply => Ok(Shown::Fraction(a * b)),
        Operator::Power if a == 0.0 && b < 0.0 => Err(failed()),
        Operator::Power => Ok(Shown::Fraction(a.powf(b))),
        Operator::DivideDown if b != 0.0 => Ok(Shown::Fraction(divide_fractions_down(a, b).0)),
        Operator::Remainder if b != 0.0 => Ok(Shown::Fraction(divide_fractions_down(a, b).1)),
        _ => Err(failed()),
    }
}

/// The quotient, rounded down, and what is left.
pub(super) fn divide_down(a: i128, b: i128) -> Option<(i128, i128)> {
    let (quotient, remainder) = (a.checked_div(b)?, a.checked_rem(b)?);
    if remainder != 0 && (remainder < 0) != (b < 0) {
        return Some((quotient.checked_sub(1)?, remainder.checked_add(b)?));
    }
    Some((quotient, remainder))
}

/// The quotient, rounded down, and what is left, with the signs that Python gives to zeros.
fn divide_fractions_down(a: f64, b: f64) -> (f64, f64) {
    let mut remainder = a % b;
    let mut quotient = (a - remainder) / b;
    if remainder == 0.0 {
        remainder = 0.0_f64.copysign(b);
    } else if (remainder < 0.0) != (b < 0.0) {
        remainder += b;
        quotient -= 1.0;
    }
    quotient = if quotient == 0.0 { 0.0_f64.copysign(a / b) } else { quotient.round() };
    (quotient, remainder)
}

/// The value with the other sign.
pub(super) fn negate(value: &Shown) -> Outcome<Shown> {
    match value {
        Shown::Fraction(value) => Ok(Shown::Fraction(-value)),
        Shown::Integer(value) => value
            .checked_neg()
            .map(Shown::Integer)
            .ok_or_else(|| Fault::invalid("unable to calculate -value")),
        _ => Err(Fault::new("invalid operation")),
    }
}

fn is_tuple(value: &Shown) -> bool {
    matches!(value, Shown::List(list) if list.is_tuple)
}

fn impossible(operator: Operator, left: &Shown, right: &Shown) -> Fault {
    let (sign, left, right) = (sign(operator), left.kind(), right.kind());
    Fault::invalid(format_args!("tried to use {sign} operator on unsupported types {left} and {right}"))
}

fn brief(value: &Shown) -> String {
    value
        .as_integer()
        .map(|value| value.to_string())
        .or_else(|| value.as_fraction().map(|value| format!("{value:?}")))
        .unwrap_or_default()
}

fn sign(operator: Operator) -> &'static str {
    match operator {
        Operator::Add => "+",
        Operator::Subtract => "-",
        Operator::Multiply => "*",
        Operator::Divide => "/",
        Operator::DivideDown => "//",
        Operator::Remainder => "%",
        Operator::Power => "**",
        Operator::Join => "~",
    }
}
