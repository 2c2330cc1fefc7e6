//! What a value of a template is: text, until it is read as something else.
//!
//! A store knows text only, and Jinja compares text with a number by kind: `port > 1024` is true for any
//! text. So there are filters that read, and a strict rendering refuses what would quietly go wrong.

use minijinja::value::{Rest, Value as Shown, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};

/// Adds the filters that read text as something else: `bool` and `fromjson`. `int` and `float` are
/// minijinja's own.
pub(super) fn add_reading(environment: &mut Environment<'_>) {
    environment.add_filter("bool", read_bool);
    environment.add_filter("fromjson", read_json);
}

/// Has the tests that compare refuse values of different kinds.
pub(super) fn add_strict_tests(environment: &mut Environment<'_>) {
    for (names, operator) in [
        (&["eq", "equalto", "=="][..], "=="),
        (&["ne", "!="], "!="),
        (&["lt", "lessthan", "<"], "<"),
        (&["le", "<="], "<="),
        (&["gt", "greaterthan", ">"], ">"),
        (&["ge", ">="], ">="),
        (&["in"], "in"),
    ] {
        for name in names {
            environment.add_test(*name, move |state: &State<'_, '_>, left: &Shown, right: &Shown| {
                compare(state, left, operator, right)
            });
        }
    }
}

/// A chain of comparisons: values, with the name of an operator between each two.
pub(super) fn compare_all(state: &State<'_, '_>, chain: Rest<Shown>) -> Result<bool, Error> {
    for step in chain.windows(3).step_by(2) {
        let [left, operator, right] = step else { break };
        if !compare(state, left, operator.as_str().unwrap_or_default(), right)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn compare(state: &State<'_, '_>, left: &Shown, operator: &str, right: &Shown) -> Result<bool, Error> {
    if left.is_undefined() || right.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    if let "in" | "not in" = operator {
        return Ok(contains(state, right, left)? == (operator == "in"));
    }
    let kinds = [left, right].map(Kind::of);
    // That something is none, or is not, can be said of anything.
    let can_be_said = kinds.contains(&Kind::None) && matches!(operator, "==" | "!=");
    if kinds[0] != kinds[1] && !can_be_said {
        return Err(across_kinds(operator, kinds));
    }
    state.consume_fuel(left.len().unwrap_or_default() as u64 / BYTES_PER_FUEL)?;
    Ok(match operator {
        "==" => left == right,
        "!=" => left != right,
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        _ => left >= right,
    })
}

/// How much of a text or list is compared for one fuel.
const BYTES_PER_FUEL: u64 = 64;

/// Whether something is in a text, a list or a map. What no element can be is refused.
fn contains(state: &State<'_, '_>, container: &Shown, sought: &Shown) -> Result<bool, Error> {
    let (kind, kind_of_container) = (Kind::of(sought), Kind::of(container));
    let other = match (kind_of_container, container.as_str(), sought.as_str()) {
        (Kind::Text, Some(container), Some(sought)) => {
            state.consume_fuel(container.len() as u64 / BYTES_PER_FUEL)?;
            return Ok(container.contains(sought));
        }
        (Kind::Map, _, Some(_)) => return Ok(!container.get_item(sought)?.is_undefined()),
        // The names of a map are text.
        (Kind::Map, ..) => Kind::Text,
        (Kind::List, ..) => {
            let mut other = None;
            for element in container.try_iter()? {
                state.consume_fuel(1)?;
                if element == *sought {
                    return Ok(true);
                }
                let of_element = Kind::of(&element);
                if other != Some(kind) {
                    other = Some(of_element);
                }
            }
            match other {
                Some(other) if other != kind => other,
                _ => return Ok(false),
            }
        }
        _ => kind_of_container,
    };
    Err(across_kinds("in", [kind, other]))
}

/// Lets a value through that is to be a condition, unless it is text that says no: any text counts as true.
pub(super) fn check_condition(value: Shown) -> Result<Shown, Error> {
    let says_no = value
        .as_str()
        .is_some_and(|text| ["false", "no", "off", "0"].iter().any(|no| text.eq_ignore_ascii_case(no)));
    if !says_no {
        return Ok(value);
    }
    let reason = "a condition is text that says no, and any text counts as true; read it with |bool";
    Err(Error::new(ErrorKind::InvalidOperation, reason))
}

/// Lets a value through that is to be gone through, unless it is text: that would be its characters.
pub(super) fn check_items(value: Shown) -> Result<Shown, Error> {
    if Kind::of(&value) != Kind::Text {
        return Ok(value);
    }
    let reason = "a loop goes through text, which is its characters; read it with |split(\",\"), |lines or |fromjson, or say |list";
    Err(Error::new(ErrorKind::InvalidOperation, reason))
}

/// Reads text as a boolean. What is none counts as it does in a condition.
fn read_bool(state: &State<'_, '_>, value: &Shown) -> Result<bool, Error> {
    let Some(text) = value.as_str() else {
        return match (value.is_undefined(), state.undefined_behavior()) {
            (true, minijinja::UndefinedBehavior::Strict) => Err(ErrorKind::UndefinedError.into()),
            _ => Ok(value.is_true()),
        };
    };
    let is_one_of = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(["true", "yes", "on", "1"]) {
        Ok(true)
    } else if text.is_empty() || is_one_of(["false", "no", "off", "0"]) {
        Ok(false)
    } else {
        let reason = "the text is no boolean: true, false, yes, no, on, off, 1, 0 or empty";
        Err(Error::new(ErrorKind::InvalidOperation, reason))
    }
}

/// Reads text as JSON.
fn read_json(state: &State<'_, '_>, value: &Shown) -> Result<Shown, Error> {
    if value.is_undefined() {
        return match state.undefined_behavior() {
            minijinja::UndefinedBehavior::Strict => Err(ErrorKind::UndefinedError.into()),
            _ => Ok(Shown::UNDEFINED),
        };
    }
    let refused = |reason: String| Error::new(ErrorKind::InvalidOperation, reason);
    let text = value.as_str().ok_or_else(|| refused(format!("a {} cannot be read as JSON", value.kind())))?;
    let json =
        serde_json::from_str(text).map_err(|error| refused(format!("the text is no JSON: {error}")))?;
    Ok(of_json(json))
}

fn of_json(json: serde_json::Value) -> Shown {
    match json {
        serde_json::Value::Null => Shown::from(()),
        serde_json::Value::Bool(value) => Shown::from(value),
        serde_json::Value::String(text) => Shown::from(text),
        serde_json::Value::Array(elements) => elements.into_iter().map(of_json).collect::<Vec<_>>().into(),
        serde_json::Value::Object(members) => {
            Shown::from_pairs(members.into_iter().map(|(name, value)| (name, of_json(value))))
        }
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Shown::from(number),
            (_, Some(number), _) => Shown::from(number),
            (.., number) => Shown::from(number.unwrap_or(f64::NAN)),
        },
    }
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
        match value.kind() {
            ValueKind::String => Self::Text,
            ValueKind::Number => Self::Number,
            ValueKind::Bool => Self::Boolean,
            ValueKind::Seq | ValueKind::Iterable => Self::List,
            ValueKind::Map => Self::Map,
            ValueKind::None | ValueKind::Undefined => Self::None,
            _ => Self::Other,
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

fn across_kinds(operator: &str, [left, right]: [Kind; 2]) -> Error {
    let (left, right) = (left.name(), right.name());
    let reason = format!(
        "`{operator}` is between {left} and {right}, which have nothing in common; values are text, until they are read with |int, |float, |bool or |fromjson"
    );
    Error::new(ErrorKind::InvalidOperation, reason)
}
