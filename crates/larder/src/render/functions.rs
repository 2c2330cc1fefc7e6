//! The functions of a template: `get`, `range`, `dict`, `namespace` and `debug`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::arguments::Arguments;
use super::fault::{Fault, Outcome};
use super::key::Key;
use super::machine::Machine;
use super::names::text_of;
use super::printing::pretty;
use super::value::{Range, Shown};

/// The longest range.
const RANGE_MAX: i128 = 100_000;

/// How many steps a read of the store counts as.
const STEPS_PER_GET: u64 = 20;

impl Machine<'_> {
    pub fn function(&mut self, name: &str, arguments: Arguments) -> Outcome<Shown> {
        match name {
            "get" => self.get(arguments),
            "range" => range(arguments),
            "dict" => self.dict(arguments),
            "namespace" => self.namespace(arguments),
            _ => self.debug(arguments),
        }
    }

    /// Reads a key of the group, or a key of another one.
    fn get(&mut self, mut arguments: Arguments) -> Outcome<Shown> {
        let first = arguments.need("key")?;
        let second = arguments.next("second")?;
        arguments.finish()?;
        let text = |value: &Shown| match value.as_text() {
            Some(text) => Ok(text.to_owned()),
            None => Err(Fault::invalid(format_args!("get is called with a value of type {}", value.kind()))),
        };
        let (group, key) = match &second {
            None | Some(Shown::None) => (None, text(&first)?),
            Some(key) => (Some(text(&first)?), text(key)?),
        };
        self.meter.step(STEPS_PER_GET)?;
        let found = (self.fetch)(group.as_deref(), &key)?;
        self.meter.look_at_the_clock()?;
        match found {
            Some(value) => Shown::text(&self.meter, text_of(&key, &value)?),
            None => Ok(Shown::Undefined),
        }
    }

    fn dict(&mut self, arguments: Arguments) -> Outcome<Shown> {
        let (mut positional, named) = arguments.into_parts();
        let given = positional.pop().unwrap_or(Shown::Undefined);
        if !positional.is_empty() {
            return Err(Fault::new("too many arguments"));
        }
        let mut members = BTreeMap::new();
        match given.members(&self.meter)? {
            Some(given) => {
                for (name, member) in given {
                    members.extend(name.as_key().map(|key| (key, member)));
                }
            }
            None if given.is_undefined() => {}
            None => return Err(Fault::invalid(format_args!("a {} is no map", given.kind()))),
        }
        members.extend(named.into_iter().map(|(name, member)| (Key::of_text(&name), member)));
        Shown::map(&self.meter, members)
    }

    fn namespace(&mut self, arguments: Arguments) -> Outcome<Shown> {
        let (mut positional, named) = arguments.into_parts();
        let mut members: BTreeMap<Rc<str>, Shown> = BTreeMap::new();
        if let Some(given) = positional.pop() {
            let Some(given) = given.members(&self.meter)? else {
                let detail = format!("expected object or keyword arguments, got {}", given.kind());
                return Err(Fault::invalid(detail));
            };
            for (name, member) in given {
                self.meter.step(1)?;
                members.extend(name.as_text().map(|name| (Rc::from(name), member)));
            }
        }
        if !positional.is_empty() {
            return Err(Fault::new("too many arguments"));
        }
        members.extend(named);
        // What a namespace holds must not lead back to it.
        members.values().try_for_each(Shown::check_plain)?;
        Ok(Shown::Namespace(Rc::new(RefCell::new(members))))
    }

    fn debug(&mut self, arguments: Arguments) -> Outcome<Shown> {
        let mut values = arguments.into_positional()?;
        let meter = Rc::clone(&self.meter);
        let shown = match (values.pop(), values.is_empty()) {
            (Some(only), true) => pretty(&meter, &only)?,
            (Some(last), false) => {
                values.push(last);
                pretty(&meter, &Shown::list(values)?)?
            }
            (None, _) => {
                let mut text = String::new();
                for (name, value) in self.variables() {
                    let value = pretty(&meter, &value)?;
                    meter.make(name.len() + value.len() + 3)?;
                    text.push_str(&format!("{name} = {value}\n"));
                }
                text
            }
        };
        Ok(Shown::Text(shown.into()))
    }
}

fn range(mut arguments: Arguments) -> Outcome<Shown> {
    let first = arguments.integer("lower")?.ok_or_else(|| Fault::new("missing argument: lower"))?;
    let second = arguments.integer("upper")?;
    let step = arguments.integer("step")?.unwrap_or(1);
    arguments.finish()?;
    let (start, end) = second.map_or((0, first), |second| (first, second));
    let bound = i128::from(i64::MAX);
    if [start, end, step].iter().any(|value| value.abs() > bound) {
        return Err(Fault::invalid("range is out of bounds"));
    }
    let length = match step {
        0 => return Err(Fault::invalid("cannot create range with step of 0")),
        step if step > 0 => (end - start + step - 1).div_euclid(step),
        step => (start - end - step - 1).div_euclid(-step),
    };
    if length > RANGE_MAX {
        return Err(Fault::invalid("range has too many elements"));
    }
    Ok(Shown::Range(Range { start, step, length: usize::try_from(length).unwrap_or_default() }))
}
