//! Calls macros, loops, methods and functions.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Frame, Machine};
use crate::render::arguments::Arguments;
use crate::render::comparing::are_equal;
use crate::render::fault::{Fault, Outcome};
use crate::render::syntax::{Argument, Macro};
use crate::render::value::{Closure, Loop, Shown, reserve};

impl Machine<'_> {
    pub fn call(&mut self, called: &Shown, arguments: &[Argument], caller: Option<Shown>) -> Outcome<Shown> {
        let arguments = self.arguments(arguments, caller)?;
        match called {
            Shown::Macro(closure) => self.call_macro(closure, arguments),
            Shown::Loop(looped) => self.recurse(looped, arguments),
            Shown::Function(name) => self.function(name, arguments),
            Shown::Undefined => Err(Fault::invalid("an undefined value is not callable")),
            value => Err(Fault::invalid(format!("value of type {} is not callable", value.kind()))),
        }
    }

    /// Evaluates the arguments of a call.
    pub fn arguments(&mut self, given: &[Argument], caller: Option<Shown>) -> Outcome<Arguments> {
        let (mut positional, mut named) = (Vec::new(), BTreeMap::new());
        for argument in given {
            match argument {
                Argument::Positional(value) => {
                    reserve(&self.meter, &mut positional, 1)?;
                    positional.push(self.evaluate(value)?);
                }
                Argument::AllOf(values) => {
                    let values = self.evaluate(values)?.walk(&self.meter)?;
                    reserve(&self.meter, &mut positional, values.length())?;
                    positional.extend(values);
                }
                Argument::Named(name, value) => {
                    self.meter.make(2 * size_of::<Shown>())?;
                    named.insert(Rc::clone(name), self.evaluate(value)?);
                }
                Argument::AllNamedOf(values) => {
                    let values = self.evaluate(values)?;
                    let Some(members) = values.members(&self.meter)? else {
                        let kind = values.kind();
                        let detail =
                            format!("attempted to apply keyword arguments from non map (got {kind})");
                        return Err(Fault::invalid(detail));
                    };
                    self.meter.make(members.len() * 2 * size_of::<Shown>())?;
                    for (name, value) in members {
                        named.extend(name.as_text().map(|name| (Rc::from(name), value)));
                    }
                }
            }
        }
        named.extend(caller.map(|caller| (Rc::from("caller"), caller)));
        Ok(Arguments::new(positional, named))
    }

    /// A macro, with the variables of the blocks around it. What the template names outside of any block it
    /// looks up when it runs.
    pub fn close(&mut self, definition: &Rc<Macro>) -> Outcome<Shown> {
        self.meter.make(4 * size_of::<Shown>())?;
        let captured = if self.frames.len() > 1 { Some(self.capture_around(definition)?) } else { None };
        Ok(Shown::Macro(Rc::new(Closure { definition: Rc::clone(definition), captured })))
    }

    fn capture_around(&mut self, definition: &Macro) -> Outcome<usize> {
        let declares = self.frames.last().and_then(|frame| frame.declares);
        let number = declares.unwrap_or(self.closures.len());
        let mut closure = match declares {
            Some(number) => self.closures.get_mut(number).map(std::mem::take).unwrap_or_default(),
            None => BTreeMap::new(),
        };
        for name in &definition.mentioned {
            self.meter.step(1)?;
            if closure.contains_key(name) {
                continue;
            }
            if let Some(value) = self.variable_in(&self.frames[1..], name) {
                self.meter.make(2 * size_of::<Shown>())?;
                closure.insert(Rc::clone(name), value);
            }
        }
        match self.closures.get_mut(number) {
            Some(place) => *place = closure,
            None => self.closures.push(closure),
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.declares = Some(number);
        }
        Ok(number)
    }

    fn call_macro(&mut self, closure: &Rc<Closure>, mut arguments: Arguments) -> Outcome<Shown> {
        let definition = &closure.definition;
        // What a macro itself names is not known outside of it, and the other way round.
        let outside = self.frames.split_off(1);
        self.meter.make(4 * size_of::<Shown>())?;
        let mut around = Frame { runs_in: closure.captured, ..Frame::default() };
        let caller = arguments.named("caller").unwrap_or(Shown::Undefined);
        if &*definition.name != "caller" {
            around.variables.insert("caller".into(), caller);
        }
        self.frames.push(around);
        self.frames.push(Frame::default());
        let result = self.deeper(|machine| {
            for (name, default) in &definition.parameters {
                let given = arguments.next(name)?.unwrap_or(Shown::Undefined);
                let value = match default {
                    Some(default) if given.is_undefined() => machine.evaluate(default)?,
                    _ => given,
                };
                if let Some(frame) = machine.frames.last_mut() {
                    frame.variables.insert(Rc::clone(name), value);
                }
            }
            arguments.finish()?;
            machine.capture(|machine| machine.execute(&definition.body))
        });
        self.frames.truncate(1);
        self.frames.extend(outside);
        result
    }

    fn recurse(&mut self, looped: &Rc<Loop>, mut arguments: Arguments) -> Outcome<Shown> {
        if !looped.definition.is_recursive {
            return Err(Fault::invalid("cannot recurse outside of recursive loop"));
        }
        let items = arguments.need("items")?;
        arguments.finish()?;
        self.deeper(|machine| {
            machine.capture(|machine| machine.run_loop(&looped.definition, &items, looped.depth + 1))
        })
    }

    pub fn method(&mut self, value: &Shown, name: &str, arguments: &[Argument]) -> Outcome<Shown> {
        let arguments = self.arguments(arguments, None)?;
        match (value, name) {
            (Shown::Loop(looped), "cycle") => {
                let values = arguments.into_positional()?;
                let at = looped.index.get().checked_rem(values.len()).unwrap_or_default();
                Ok(values.get(at).cloned().unwrap_or(Shown::Undefined))
            }
            (Shown::Loop(looped), "changed") => {
                let values = arguments.into_positional()?;
                // What is kept must not lead back to the loop.
                values.iter().try_for_each(Shown::check_plain)?;
                let mut seen = looped.seen.borrow_mut();
                let mut is_same = seen.as_ref().is_some_and(|seen| seen.len() == values.len());
                for (left, right) in seen.iter().flatten().zip(&values) {
                    is_same = is_same && are_equal(&self.meter, left, right)?;
                }
                *seen = Some(values);
                Ok(Shown::Bool(!is_same))
            }
            (Shown::Undefined, _) => Err(Fault::undefined()),
            _ => Err(Fault::new(format!("unknown method: {} has no method named {name}", value.kind()))),
        }
    }
}
