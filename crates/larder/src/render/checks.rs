//! The tests of a template: what stands behind `is`.

use std::rc::Rc;

use super::arguments::Arguments;
use super::arithmetic::divide_down;
use super::fault::{Fault, Outcome};
use super::machine::Machine;
use super::syntax::Comparison;
use super::value::Shown;

const TESTS: [&str; 24] = [
    "undefined",
    "defined",
    "none",
    "boolean",
    "odd",
    "even",
    "divisibleby",
    "number",
    "integer",
    "int",
    "float",
    "string",
    "sequence",
    "iterable",
    "mapping",
    "startingwith",
    "endingwith",
    "lower",
    "upper",
    "sameas",
    "true",
    "false",
    "filter",
    "test",
];

/// The tests that compare, which are as strict as the operators.
fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        "eq" | "equalto" | "==" => Comparison::Equal,
        "ne" | "!=" => Comparison::Unequal,
        "lt" | "lessthan" | "<" => Comparison::Less,
        "le" | "<=" => Comparison::LessOrEqual,
        "gt" | "greaterthan" | ">" => Comparison::Greater,
        "ge" | ">=" => Comparison::GreaterOrEqual,
        "in" => Comparison::In,
        _ => return None,
    })
}

impl Machine<'_> {
    /// Whether a value passes a test.
    pub fn test(&mut self, name: &str, value: &Shown, mut arguments: Arguments) -> Outcome<bool> {
        self.meter.step(1)?;
        if let Some(comparison) = comparison(name) {
            let other = arguments.need("other")?;
            arguments.finish()?;
            return self.compare(value, comparison, &other);
        }
        let meter = Rc::clone(&self.meter);
        let text = |value: &Shown| -> Outcome<Option<String>> {
            let Some(text) = value.as_text() else { return Ok(None) };
            meter.make(text.len())?;
            Ok(Some(text.to_owned()))
        };
        let passes = match name {
            "undefined" => value.is_undefined(),
            "defined" => !value.is_undefined(),
            "none" => matches!(value, Shown::None),
            "boolean" => matches!(value, Shown::Bool(_)),
            "odd" => parity(value) == Some(true),
            "even" => parity(value) == Some(false),
            "divisibleby" => divisible(value, &arguments.need("other")?)?,
            "number" => value.as_number().is_some(),
            "integer" | "int" => matches!(value, Shown::Integer(_)),
            "float" => matches!(value, Shown::Fraction(_)),
            "string" => matches!(value, Shown::Text(_)),
            "sequence" => matches!(value, Shown::List(_) | Shown::Undefined),
            "iterable" => !matches!(
                value,
                Shown::Bool(_)
                    | Shown::Integer(_)
                    | Shown::Fraction(_)
                    | Shown::Macro(_)
                    | Shown::Loop(_)
                    | Shown::Function(_)
            ),
            "mapping" => matches!(value, Shown::Map(_) | Shown::Names(_) | Shown::Namespace(_)),
            "startingwith" | "endingwith" => {
                let other = arguments.need("other")?;
                match (text(value)?, text(&other)?) {
                    (Some(text), Some(other)) if name == "startingwith" => text.starts_with(&other),
                    (Some(text), Some(other)) => text.ends_with(&other),
                    _ => return Err(Fault::invalid(format_args!("{name} is asked of what is no string"))),
                }
            }
            "lower" | "upper" => {
                let text = text(value)?.unwrap_or_default();
                let is_other = |character: char| {
                    if name == "lower" { character.is_uppercase() } else { character.is_lowercase() }
                };
                let is_this = |character: char| {
                    if name == "lower" { character.is_lowercase() } else { character.is_uppercase() }
                };
                text.chars().any(is_this) && !text.chars().any(is_other)
            }
            "sameas" => self.same(value, &arguments.need("other")?)?,
            "true" => matches!(value, Shown::Bool(true)),
            "false" => matches!(value, Shown::Bool(false)),
            "filter" => value.as_text().is_some_and(super::filters::is_filter),
            "test" => value.as_text().is_some_and(|name| TESTS.contains(&name) || comparison(name).is_some()),
            _ => return Err(Fault::new(format_args!("unknown test: test {name} is unknown"))),
        };
        arguments.finish()?;
        Ok(passes)
    }

    /// Whether two values are one: the same list, not one with the same elements.
    fn same(&self, left: &Shown, right: &Shown) -> Outcome<bool> {
        Ok(match (left, right) {
            (Shown::List(left), Shown::List(right)) => Rc::ptr_eq(left, right),
            (Shown::Map(left), Shown::Map(right)) => Rc::ptr_eq(left, right),
            (Shown::Namespace(left), Shown::Namespace(right)) => Rc::ptr_eq(left, right),
            (left, right) => {
                left.kind() == right.kind()
                    && matches!(left, Shown::Integer(_)) == matches!(right, Shown::Integer(_))
                    && super::comparing::are_equal(&self.meter, left, right)?
            }
        })
    }
}

/// Whether a whole number is odd.
fn parity(value: &Shown) -> Option<bool> {
    value.as_integer().map(|value| value % 2 != 0)
}

fn divisible(value: &Shown, other: &Shown) -> Outcome<bool> {
    let by_zero = || Fault::invalid("unable to divide by 0");
    match (value.as_integer(), other.as_integer()) {
        (Some(_), Some(0)) => Err(by_zero()),
        (Some(value), Some(other)) => {
            Ok(divide_down(value, other).is_some_and(|(_, remainder)| remainder == 0))
        }
        _ => match (value.as_fraction(), other.as_fraction()) {
            (Some(_), Some(0.0)) => Err(by_zero()),
            (Some(value), Some(other)) => Ok(value % other == 0.0),
            _ => Ok(false),
        },
    }
}
