//! Filters that pick something out of a value, or elements out of a list.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::render::arguments::Arguments;
use crate::render::comparing::compare;
use crate::render::fault::{Fault, Outcome};
use crate::render::machine::Machine;
use crate::render::meter::Meter;
use crate::render::value::{Shown, reserve};

impl Machine<'_> {
    /// What is reached by a dotted path: attributes, and elements by number.
    pub fn at_path(&self, value: &Shown, path: &str) -> Outcome<Shown> {
        let mut value = value.clone();
        for part in path.split('.') {
            self.meter.step(1)?;
            value = match part.parse::<u32>() {
                Ok(index) => value.item(&self.meter, &Shown::Integer(i128::from(index)))?,
                Err(_) => self.known(value)?.member(part)?,
            };
        }
        Ok(value)
    }
}

/// Compares two values, and text without regard to case unless that is wanted.
pub(super) fn ordered(meter: &Meter, left: &Shown, right: &Shown, by_case: bool) -> Outcome<Ordering> {
    match (left, right) {
        (Shown::Text(left), Shown::Text(right)) if !by_case => {
            meter.step(1)?;
            meter.read(left.len().min(right.len()))?;
            let folded = [left, right].map(|text| text.bytes().map(|byte| byte.to_ascii_lowercase()));
            let [left, right] = folded;
            Ok(left.cmp(right))
        }
        _ => compare(meter, left, right),
    }
}

pub(super) fn attr(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let name = arguments.need("name")?;
    value.item(&machine.meter, &name)
}

pub(super) fn length(machine: &mut Machine<'_>, value: Shown, _: &mut Arguments) -> Outcome<Shown> {
    if value.is_undefined() {
        return Ok(Shown::Integer(0));
    }
    let length = value.length(&machine.meter)?;
    let missing = || Fault::invalid(format!("cannot calculate length of value of type {}", value.kind()));
    length.map(|length| Shown::Integer(length as i128)).ok_or_else(missing)
}

pub(super) fn default(_: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let default = arguments.next("default_value")?.unwrap_or_else(|| Shown::Text("".into()));
    let is_lax = arguments.flag("boolean")?;
    Ok(if value.is_undefined() || (is_lax && !value.is_true()) { default } else { value })
}

pub(super) fn first(machine: &mut Machine<'_>, value: Shown, _: &mut Arguments) -> Outcome<Shown> {
    end(machine, &value, 0, "first")
}

pub(super) fn last(machine: &mut Machine<'_>, value: Shown, _: &mut Arguments) -> Outcome<Shown> {
    end(machine, &value, -1, "last")
}

fn end(machine: &Machine<'_>, value: &Shown, index: i128, name: &str) -> Outcome<Shown> {
    match value {
        Shown::Text(_) | Shown::List(_) | Shown::Range(_) => {
            value.item(&machine.meter, &Shown::Integer(index))
        }
        Shown::Map(_) | Shown::Names(_) | Shown::Namespace(_) => {
            let items = value.items(&machine.meter)?;
            let item = if index == 0 { items.first() } else { items.last() };
            Ok(item.cloned().unwrap_or(Shown::Undefined))
        }
        Shown::Undefined => Ok(Shown::Undefined),
        _ => Err(Fault::invalid(format!("cannot get {name} item from value"))),
    }
}

pub(super) fn min(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    extreme(machine, &value, arguments, Ordering::Less)
}

pub(super) fn max(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    extreme(machine, &value, arguments, Ordering::Greater)
}

fn extreme(
    machine: &mut Machine<'_>,
    value: &Shown,
    arguments: &mut Arguments,
    wanted: Ordering,
) -> Outcome<Shown> {
    let by_case = arguments.flag("case_sensitive")?;
    let attribute = arguments.text("attribute")?;
    let mut best: Option<(Shown, Shown)> = None;
    for item in value.walk(&machine.meter)? {
        let key = match &attribute {
            Some(path) => machine.at_path(&item, path)?,
            None => item.clone(),
        };
        let is_better = match &best {
            None => true,
            Some((other, _)) => ordered(&machine.meter, &key, other, by_case)? == wanted,
        };
        if is_better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or(Shown::Undefined, |(_, item)| item))
}

pub(super) fn map(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let attribute = arguments.named("attribute");
    let mut mapped = Vec::new();
    if let Some(attribute) = attribute {
        let default = arguments.named("default").unwrap_or(Shown::Undefined);
        for item in value.walk(&machine.meter)? {
            reserve(&machine.meter, &mut mapped, 1)?;
            let found = match attribute.as_text() {
                Some(path) => machine.at_path(&item, path)?,
                None => item.item(&machine.meter, &attribute)?,
            };
            mapped.push(if found.is_undefined() { default.clone() } else { found });
        }
        return Shown::list(mapped);
    }
    let name = arguments.text("filter")?.ok_or_else(|| Fault::invalid("filter name is required"))?;
    let (rest, named) = take_all(arguments);
    for item in value.walk(&machine.meter)? {
        reserve(&machine.meter, &mut mapped, 1)?;
        machine.meter.step((rest.len() + named.len()) as u64)?;
        let arguments = Arguments::new(rest.clone(), named.clone());
        mapped.push(machine.filter(&name, item, arguments)?);
    }
    Shown::list(mapped)
}

pub(super) fn select(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    choose(machine, &value, arguments, false, true)
}

pub(super) fn reject(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    choose(machine, &value, arguments, false, false)
}

pub(super) fn selectattr(
    machine: &mut Machine<'_>,
    value: Shown,
    arguments: &mut Arguments,
) -> Outcome<Shown> {
    choose(machine, &value, arguments, true, true)
}

pub(super) fn rejectattr(
    machine: &mut Machine<'_>,
    value: Shown,
    arguments: &mut Arguments,
) -> Outcome<Shown> {
    choose(machine, &value, arguments, true, false)
}

/// The elements that pass a test, or that do not.
fn choose(
    machine: &mut Machine<'_>,
    value: &Shown,
    arguments: &mut Arguments,
    has_attribute: bool,
    is_wanted: bool,
) -> Outcome<Shown> {
    let missing = || Fault::new("missing argument: attribute");
    let attribute =
        if has_attribute { Some(arguments.text("attribute")?.ok_or_else(missing)?) } else { None };
    let test = arguments.text("test")?;
    let (rest, named) = take_all(arguments);
    let mut chosen = Vec::new();
    for item in value.walk(&machine.meter)? {
        machine.meter.step(1 + (rest.len() + named.len()) as u64)?;
        let tested = match &attribute {
            Some(path) => machine.at_path(&item, path)?,
            None => item.clone(),
        };
        let passes = match &test {
            Some(test) => machine.test(test, &tested, Arguments::new(rest.clone(), named.clone()))?,
            None => tested.is_true(),
        };
        if passes == is_wanted {
            reserve(&machine.meter, &mut chosen, 1)?;
            chosen.push(item);
        }
    }
    Shown::list(chosen)
}

fn take_all(arguments: &mut Arguments) -> (Vec<Shown>, BTreeMap<std::rc::Rc<str>, Shown>) {
    std::mem::replace(arguments, Arguments::new(Vec::new(), BTreeMap::new())).into_parts()
}
