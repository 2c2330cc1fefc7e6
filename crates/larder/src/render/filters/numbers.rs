//! Filters that read and change numbers.

use crate::render::arguments::Arguments;
use crate::render::arithmetic::operate;
use crate::render::fault::{Fault, Outcome};
use crate::render::machine::Machine;
use crate::render::syntax::Operator;
use crate::render::value::Shown;

pub(super) fn abs(_: &mut Machine<'_>, value: Shown, _: &mut Arguments) -> Outcome<Shown> {
    match value {
        Shown::Integer(value) => {
            value.checked_abs().map(Shown::Integer).ok_or_else(|| Fault::invalid("overflow on abs"))
        }
        Shown::Fraction(value) => Ok(Shown::Fraction(value.abs())),
        _ => Err(Fault::invalid("cannot get absolute value")),
    }
}

/// Reads text as a boolean. What is none counts as it does in a condition.
pub(super) fn bool(_: &mut Machine<'_>, value: Shown, _: &mut Arguments) -> Outcome<Shown> {
    let Some(text) = value.as_text() else { return Ok(Shown::Bool(value.is_true())) };
    let is_one_of = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(["true", "yes", "on", "1"]) {
        Ok(Shown::Bool(true))
    } else if text.is_empty() || is_one_of(["false", "no", "off", "0"]) {
        Ok(Shown::Bool(false))
    } else {
        Err(Fault::invalid("the text is no boolean: true, false, yes, no, on, off, 1, 0 or empty"))
    }
}

pub(super) fn int(_: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let default = arguments.next("default")?;
    let base = arguments.count("base")?.unwrap_or(10);
    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base));
    let base = base.ok_or_else(|| Fault::invalid("base has to be between 2 and 36"))?;
    let read = match &value {
        Shown::Undefined | Shown::None => return Ok(default.unwrap_or(Shown::Integer(0))),
        Shown::Integer(_) | Shown::Bool(_) => value.as_integer(),
        Shown::Fraction(value) => Some(*value as i128),
        Shown::Text(text) => {
            whole(text, base).or_else(|| text.parse::<f64>().ok().map(|value| value as i128))
        }
        _ => None,
    };
    read.map(Shown::Integer).or(default).ok_or_else(|| not_read(&value, "integer"))
}

fn whole(text: &str, base: u32) -> Option<i128> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefix = match base {
        2 => "0b",
        8 => "0o",
        16 => "0x",
        _ => "",
    };
    let digits = match digits.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => &digits[prefix.len()..],
        _ => digits,
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(digits, base).ok()?;
    Some(if is_negative { -value } else { value })
}

pub(super) fn float(_: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let default = arguments.next("default")?;
    let read = match &value {
        Shown::Undefined | Shown::None => return Ok(default.unwrap_or(Shown::Fraction(0.0))),
        Shown::Text(text) => text.parse().ok(),
        value => value.as_fraction(),
    };
    read.map(Shown::Fraction).or(default).ok_or_else(|| not_read(&value, "float"))
}

fn not_read(value: &Shown, kind: &str) -> Fault {
    Fault::invalid(match value {
        Shown::Text(_) => format!("invalid {kind} literal"),
        value => format!("cannot convert {} to {kind}", value.kind()),
    })
}

pub(super) fn sum(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let attribute = arguments.text("attribute")?;
    let mut sum = arguments.next("start")?.unwrap_or(Shown::Integer(0));
    for item in value.walk(&machine.meter)? {
        machine.meter.step(1)?;
        let item = match &attribute {
            Some(path) => machine.at_path(&item, path)?,
            None => item,
        };
        if item.is_undefined() {
            continue;
        }
        if sum.as_number().is_some() && item.as_number().is_none() {
            return Err(Fault::invalid(format!("can only sum numbers, got {}", item.kind())));
        }
        sum = operate(&machine.meter, &sum, Operator::Add, &item)?;
    }
    Ok(sum)
}

pub(super) fn round(_: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let precision = arguments.integer("precision")?.unwrap_or(0).clamp(-400, 400) as i32;
    let method = arguments.text("method")?;
    let method = method.as_deref().unwrap_or("common");
    if !matches!(method, "common" | "ceil" | "floor") {
        return Err(Fault::invalid("method must be common, ceil or floor"));
    }
    match value {
        Shown::Integer(_) if precision >= 0 => Ok(value),
        Shown::Integer(value) => {
            let Some(factor) = 10_i128.checked_pow(precision.unsigned_abs()) else {
                return Ok(Shown::Integer(0));
            };
            let (down, rest) = (value.div_euclid(factor), value.rem_euclid(factor));
            let is_up = match method {
                "ceil" => rest > 0,
                "floor" => false,
                _ => rest > factor - rest || (rest == factor - rest && down % 2 != 0),
            };
            let rounded = (down + i128::from(is_up)).checked_mul(factor);
            rounded.map(Shown::Integer).ok_or_else(|| Fault::invalid("rounded value is too large"))
        }
        Shown::Fraction(value) if !value.is_finite() => Ok(Shown::Fraction(value)),
        Shown::Fraction(value) if method == "common" && precision >= 0 => {
            // What is formatted is rounded exactly, which a product is not.
            let text = format!("{value:.precision$}", precision = precision.unsigned_abs() as usize);
            Ok(Shown::Fraction(text.parse().unwrap_or(value)))
        }
        Shown::Fraction(value) => {
            let factor = 10_f64.powi(precision);
            let scaled = value * factor;
            let rounded = match method {
                "ceil" => scaled.ceil(),
                "floor" => scaled.floor(),
                _ => scaled.round_ties_even(),
            };
            let result = rounded / factor;
            Ok(Shown::Fraction(if result.is_finite() { result } else { value }))
        }
        value => Err(Fault::invalid(format!("cannot round value ({})", value.kind()))),
    }
}
