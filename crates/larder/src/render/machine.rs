//! Evaluates a template, and counts each step of it.

mod calls;
mod expressions;
mod statements;

use std::collections::BTreeMap;
use std::mem::take;
use std::rc::Rc;
use std::sync::Arc;

use super::fault::{Fault, Outcome};
use super::limits::CALL_DEPTH_MAX;
use super::meter::Meter;
use super::names::Names;
use super::syntax::Body;
use super::value::{Loop, Shown};
use crate::data::{Result, Value};

/// Reads a value of this group or of another, for `get`.
pub(super) type Fetch<'a> = &'a dyn Fn(Option<&str>, &str) -> Result<Option<Value>>;

/// The functions that a template can call.
pub(super) const FUNCTIONS: [&str; 5] = ["get", "range", "dict", "namespace", "debug"];

pub(super) struct Machine<'a> {
    pub meter: Rc<Meter>,
    pub is_strict: bool,
    pub fetch: Fetch<'a>,
    /// The keys of the group.
    names: Arc<Names>,
    /// The variables: the template's own first, then those of each block and loop around this place.
    frames: Vec<Frame>,
    /// What macros know of the blocks around them. They live as long as the rendering.
    closures: Vec<BTreeMap<Rc<str>, Shown>>,
    output: String,
    depth: usize,
}

#[derive(Default)]
struct Frame {
    variables: BTreeMap<Rc<str>, Shown>,
    looped: Option<Rc<Loop>>,
    /// The closure of the macros that are declared here: what is named later they know, too.
    declares: Option<usize>,
    /// The closure of the macro that runs here.
    runs_in: Option<usize>,
}

impl<'a> Machine<'a> {
    pub fn new(names: Arc<Names>, is_strict: bool, fetch: Fetch<'a>) -> Self {
        let (meter, frames) = (Rc::new(Meter::new()), vec![Frame::default()]);
        let (closures, output) = (Vec::new(), String::new());
        Self { meter, is_strict, fetch, names, frames, closures, output, depth: 0 }
    }

    /// Evaluates a template, and returns what it puts out.
    pub fn run(mut self, template: &Body) -> Outcome<String> {
        self.execute(template)?;
        Ok(self.output)
    }

    /// Goes one level deeper.
    fn deeper<T>(&mut self, run: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        self.depth += 1;
        if self.depth > CALL_DEPTH_MAX {
            return Err(Fault::invalid("recursion limit exceeded"));
        }
        let result = run(self);
        self.depth -= 1;
        result
    }

    /// Catches what is put out meanwhile.
    fn capture(&mut self, run: impl FnOnce(&mut Self) -> Outcome<()>) -> Outcome<Shown> {
        let outside = take(&mut self.output);
        run(self)?;
        let captured = std::mem::replace(&mut self.output, outside);
        Shown::text(&self.meter, &captured)
    }

    /// What the template itself has given a name.
    fn variable(&self, name: &str) -> Option<Shown> {
        self.variable_in(&self.frames, name)
    }

    fn variable_in(&self, frames: &[Frame], name: &str) -> Option<Shown> {
        frames.iter().rev().find_map(|frame| {
            let closure = || self.closures.get(frame.runs_in?)?.get(name).cloned();
            frame.variable(name).or_else(closure)
        })
    }

    /// The variables that are known here, for `debug`.
    pub fn variables(&self) -> Vec<(Rc<str>, Shown)> {
        let mut variables = BTreeMap::new();
        for frame in &self.frames {
            variables.extend(frame.variables.iter().map(|(name, value)| (Rc::clone(name), value.clone())));
        }
        variables.into_iter().collect()
    }

    /// Refuses what is not there, in a strict rendering.
    pub fn known(&self, value: Shown) -> Outcome<Shown> {
        if self.is_strict && value.is_undefined() { Err(Fault::undefined()) } else { Ok(value) }
    }
}

impl Frame {
    fn variable(&self, name: &str) -> Option<Shown> {
        let looped = || self.looped.as_ref().filter(|_| name == "loop").cloned().map(Shown::Loop);
        self.variables.get(name).cloned().or_else(looped)
    }
}
