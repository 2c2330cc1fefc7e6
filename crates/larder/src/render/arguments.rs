//! What a function, a filter or a test is called with.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::fault::{Fault, Outcome};
use super::value::Shown;

pub(super) struct Arguments {
    positional: VecDeque<Shown>,
    named: BTreeMap<Rc<str>, Shown>,
}

impl Arguments {
    pub fn new(positional: Vec<Shown>, named: BTreeMap<Rc<str>, Shown>) -> Self {
        Self { positional: positional.into(), named }
    }

    /// The next argument, by its place or by its name.
    pub fn next(&mut self, name: &str) -> Outcome<Option<Shown>> {
        let named = self.named(name);
        match (self.positional.pop_front(), named) {
            (Some(_), Some(_)) => {
                Err(Fault::new(format_args!("too many arguments: duplicate argument `{name}`")))
            }
            (positional, named) => Ok(positional.or(named)),
        }
    }

    /// An argument that has to be there.
    pub fn need(&mut self, name: &str) -> Outcome<Shown> {
        self.next(name)?.ok_or_else(|| Fault::new(format_args!("missing argument: {name}")))
    }

    /// An argument that can only be given by its name.
    pub fn named(&mut self, name: &str) -> Option<Shown> {
        self.named.remove(name)
    }

    /// The next argument as a whole number.
    pub fn integer(&mut self, name: &str) -> Outcome<Option<i128>> {
        match self.next(name)? {
            None | Some(Shown::None) => Ok(None),
            Some(value) => match value.as_integer() {
                Some(value) => Ok(Some(value)),
                None => Err(Fault::invalid(format_args!("{name} is no whole number"))),
            },
        }
    }

    /// The next argument as a number of things.
    pub fn count(&mut self, name: &str) -> Outcome<Option<usize>> {
        let Some(value) = self.integer(name)? else { return Ok(None) };
        match usize::try_from(value) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Fault::invalid(format_args!("{name} is out of range"))),
        }
    }

    /// The next argument as yes or no.
    pub fn flag(&mut self, name: &str) -> Outcome<bool> {
        Ok(self.next(name)?.is_some_and(|value| value.is_true()))
    }

    /// The next argument as text.
    pub fn text(&mut self, name: &str) -> Outcome<Option<std::sync::Arc<str>>> {
        match self.next(name)? {
            None | Some(Shown::None) => Ok(None),
            Some(Shown::Text(text)) => Ok(Some(text)),
            Some(value) => {
                Err(Fault::invalid(format_args!("{name} has to be a string, and is {}", value.kind())))
            }
        }
    }

    /// All arguments, which must have no names.
    pub fn into_positional(mut self) -> Outcome<Vec<Shown>> {
        let positional = std::mem::take(&mut self.positional);
        self.finish()?;
        Ok(positional.into())
    }

    /// All arguments: by place, and by name.
    pub fn into_parts(self) -> (Vec<Shown>, BTreeMap<Rc<str>, Shown>) {
        (self.positional.into(), self.named)
    }

    /// Refuses what nobody has asked for.
    pub fn finish(&self) -> Outcome<()> {
        if let Some((name, _)) = self.named.first_key_value() {
            return Err(Fault::new(format_args!("too many arguments: unknown keyword argument `{name}`")));
        }
        if self.positional.is_empty() { Ok(()) } else { Err(Fault::new("too many arguments")) }
    }
}
