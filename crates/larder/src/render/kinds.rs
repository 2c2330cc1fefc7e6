//! What a strict rendering refuses because of the kinds of values.
//!
//! A store knows text only, and Jinja compares text with a number by kind: `port > 1024` is true for any
//! text. So there are filters that read, and a strict rendering refuses what would quietly go wrong.

use super::comparing::contains;
use super::fault::{Fault, Outcome};
use super::meter::Meter;
use super::syntax::Comparison;
use super::value::Shown;

/// Refuses a comparison between kinds.
pub(super) fn check_comparison(
    meter: &Meter,
    left: &Shown,
    comparison: Comparison,
    right: &Shown,
) -> Outcome<()> {
    if left.is_undefined() || right.is_undefined() {
        return Err(Fault::undefined());
    }
    if let Comparison::In | Comparison::NotIn = comparison {
        return check_containing(meter, right, left);
    }
    let kinds = [left, right].map(Kind::of);
    // That something is none, or is not, can be said of anything.
    let can_be_said =
        kinds.contains(&Kind::None) && matches!(comparison, Comparison::Equal | Comparison::Unequal);
    if kinds[0] == kinds[1] || can_be_said { Ok(()) } else { Err(across_kinds(comparison.sign(), kinds)) }
}

/// Refuses to look for what no element can be.
fn check_containing(meter: &Meter, container: &Shown, sought: &Shown) -> Outcome<()> {
    let (kind, kind_of_container) = (Kind::of(sought), Kind::of(container));
    let other = match kind_of_container {
        Kind::Text if kind == Kind::Text => return Ok(()),
        // The names of a map are text.
        Kind::Map if kind == Kind::Text => return Ok(()),
        Kind::Map => Kind::Text,
        Kind::List => {
            if contains(meter, container, sought)? {
                return Ok(());
            }
            let mut other = None;
            for element in container.walk(meter)? {
                meter.step(1)?;
                let of_element = Kind::of(&element);
                if other != Some(kind) {
                    other = Some(of_element);
                }
            }
            match other {
                Some(other) if other != kind => other,
                _ => return Ok(()),
            }
        }
        other => other,
    };
    Err(across_kinds("in", [kind, other]))
}

/// Refuses a condition that is text which says no: any text counts as true.
pub(super) fn check_condition(value: &Shown) -> Outcome<()> {
    if value.is_undefined() {
        return Err(Fault::undefined());
    }
    let says_no = value
        .as_text()
        .is_some_and(|text| ["false", "no", "off", "0"].iter().any(|no| text.eq_ignore_ascii_case(no)));
    if !says_no {
        return Ok(());
    }
    let detail = "a condition is text that says no, and any text counts as true; read it with |bool";
    Err(Fault::invalid(detail))
}

/// Refuses a loop through text: that would be its characters.
pub(super) fn check_items(value: &Shown) -> Outcome<()> {
    if value.is_undefined() {
        return Err(Fault::undefined());
    }
    if Kind::of(value) != Kind::Text {
        return Ok(());
    }
    let detail = "a loop goes through text, which is its characters; read it with |split(\",\"), |lines or |fromjson, or say |list";
    Err(Fault::invalid(detail))
}

/// What a value can be compared with: others of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Boolean,
    List,
    Map,
    None,
    Other,
}

impl Kind {
    fn of(value: &Shown) -> Self {
        match value {
            Shown::Text(_) => Self::Text,
            Shown::Integer(_) | Shown::Fraction(_) => Self::Number,
            Shown::Bool(_) => Self::Boolean,
            Shown::List(_) | Shown::Range(_) => Self::List,
            Shown::Map(_) | Shown::Names(_) | Shown::Namespace(_) => Self::Map,
            Shown::None | Shown::Undefined => Self::None,
            Shown::Macro(_) | Shown::Loop(_) | Shown::Function(_) => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::List => "a list",
            Self::Map => "a map",
            Self::None => "none",
            Self::Other => "something else",
        }
    }
}

fn across_kinds(operator: &str, [left, right]: [Kind; 2]) -> Fault {
    let (left, right) = (left.name(), right.name());
    Fault::invalid(format_args!(
        "`{operator}` is between {left} and {right}, which have nothing in common; values are text, until they are read with |int, |float, |bool or |fromjson"
    ))
}
