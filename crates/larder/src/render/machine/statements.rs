//! Executes statements.

use std::cell::{Cell, RefCell};
use std::mem::take;
use std::rc::Rc;

use super::{Frame, Machine};
use crate::render::fault::{Fault, Outcome};
use crate::render::kinds;
use crate::render::meter::Draft;
use crate::render::printing::print;
use crate::render::syntax::{Body, Expression, For, Kind, Statement, Step, Target};
use crate::render::value::{Loop, Shown, reserve};

impl Machine<'_> {
    pub fn execute(&mut self, body: &Body) -> Outcome<()> {
        self.deeper(|machine| body.iter().try_for_each(|statement| machine.statement(statement)))
    }

    fn statement(&mut self, statement: &Statement) -> Outcome<()> {
        self.meter.step(1)?;
        match statement {
            Statement::Text(text) => {
                self.meter.make(text.len())?;
                self.output.push_str(text);
                Ok(())
            }
            Statement::Print(expression) => {
                let value = self.evaluate(expression)?;
                self.print(value).map_err(|fault| fault.at(expression.line))
            }
            Statement::If(branches, otherwise) => {
                for (condition, body) in branches {
                    if self.holds(condition)? {
                        return self.execute(body);
                    }
                }
                self.execute(otherwise)
            }
            Statement::For(definition) => {
                let items = self.evaluate(&definition.items)?;
                self.run_loop(definition, &items, 0).map_err(|fault| fault.at(definition.line))
            }
            Statement::Set(target, expression) => {
                let value = self.evaluate(expression)?;
                self.assign(target, value).map_err(|fault| fault.at(expression.line))
            }
            Statement::SetBlock(target, filters, body) => {
                let value = self.capture(|machine| machine.execute(body))?;
                let value = self.filtered(value, filters)?;
                self.assign(target, value)
            }
            Statement::With(given, body) => {
                self.frames.push(Frame::default());
                for (target, expression) in given {
                    let value = self.evaluate(expression)?;
                    self.assign(target, value).map_err(|fault| fault.at(expression.line))?;
                }
                self.execute(body)?;
                self.frames.pop();
                Ok(())
            }
            Statement::Macro(definition) => {
                let closure = self.close(definition)?;
                self.name(&definition.name, closure)
            }
            Statement::Call(definition, called) => {
                let caller = self.close(definition)?;
                let Kind::Path(from, steps) = &called.kind else { return Ok(()) };
                let value = self.path(from, steps, Some(caller)).map_err(|fault| fault.at(called.line))?;
                self.print(value).map_err(|fault| fault.at(called.line))
            }
            Statement::Filter(filters, body) => {
                let value = self.capture(|machine| machine.execute(body))?;
                let value = self.filtered(value, filters)?;
                self.print(value)
            }
            Statement::Do(expression) => self.evaluate(expression).map(drop),
            Statement::Escape(enabled, body) => self.escape(enabled, body),
        }
    }

    fn escape(&mut self, enabled: &Expression, body: &Body) -> Outcome<()> {
        match self.evaluate(enabled)? {
            Shown::Bool(false) | Shown::None => self.execute(body),
            Shown::Text(text) if &*text == "none" => self.execute(body),
            _ => Err(Fault::invalid("nothing is escaped but what goes through |escape").at(enabled.line)),
        }
    }

    fn print(&mut self, value: Shown) -> Outcome<()> {
        let value = self.known(value)?;
        let meter = Rc::clone(&self.meter);
        let mut draft = Draft::onto(&meter, take(&mut self.output));
        print(&value, &mut draft)?;
        self.output = draft.finish();
        Ok(())
    }

    fn filtered(&mut self, mut value: Shown, filters: &[Step]) -> Outcome<Shown> {
        for filter in filters {
            value = self.step(value, &filter.kind, None).map_err(|fault| fault.at(filter.line))?;
        }
        Ok(value)
    }

    /// Gives something a name.
    fn name(&mut self, name: &Rc<str>, value: Shown) -> Outcome<()> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        if let Some(closure) = frame.declares.and_then(|declares| self.closures.get_mut(declares)) {
            self.meter.make(2 * size_of::<Shown>())?;
            closure.insert(Rc::clone(name), value.clone());
        }
        frame.variables.insert(Rc::clone(name), value);
        Ok(())
    }

    fn assign(&mut self, target: &Target, value: Shown) -> Outcome<()> {
        match target {
            Target::Name(name) => self.name(name, value),
            Target::Member(name, members, line) => {
                let refused = |value: &Shown| {
                    let detail = format!("can only assign to namespaces, not {}", value.kind());
                    Err(Fault::invalid(detail).at(*line))
                };
                let (Some(Shown::Namespace(namespace)), [member]) = (self.variable(name), &members[..])
                else {
                    return refused(&self.variable(name).unwrap_or(Shown::Undefined));
                };
                value.check_plain()?;
                self.meter.make(member.len() + 2 * size_of::<Shown>())?;
                namespace.borrow_mut().insert(Rc::clone(member), value);
                Ok(())
            }
            Target::Several(targets, line) => {
                let fail = |detail: String| Err(Fault::new(format!("cannot unpack: {detail}")).at(*line));
                if matches!(value, Shown::Text(_) | Shown::Undefined | Shown::None) {
                    return fail("value is not iterable".into());
                }
                let Ok(items) = value.walk(&self.meter) else { return fail("value is not iterable".into()) };
                if items.length() != targets.len() {
                    let (expected, got) = (targets.len(), items.length());
                    return fail(format!("sequence of wrong length (expected {expected}, got {got})"));
                }
                targets.iter().zip(items).try_for_each(|(target, item)| self.assign(target, item))
            }
        }
    }

    /// Goes through items, once a loop is reached or calls itself.
    pub fn run_loop(&mut self, definition: &Rc<For>, items: &Shown, depth: usize) -> Outcome<()> {
        if self.is_strict {
            kinds::check_items(items)?;
        }
        let mut items = items.walk(&self.meter)?;
        self.frames.push(Frame::default());
        if let Some(condition) = &definition.condition {
            let mut chosen = Vec::new();
            for item in items {
                self.begin_round(definition, item.clone())?;
                if self.holds(condition)? {
                    reserve(&self.meter, &mut chosen, 1)?;
                    chosen.push(item);
                }
            }
            items = chosen.into();
        }
        let length = items.length();
        let (index, seen) = (Cell::new(0), RefCell::new(None));
        let looped = Rc::new(Loop { definition: Rc::clone(definition), index, length, depth, seen });
        if let Some(frame) = self.frames.last_mut() {
            frame.looped = Some(Rc::clone(&looped));
        }
        for (index, item) in items.enumerate() {
            looped.index.set(index);
            self.begin_round(definition, item)?;
            self.execute(&definition.body)?;
        }
        self.frames.pop();
        if length == 0 { self.execute(&definition.otherwise) } else { Ok(()) }
    }

    fn begin_round(&mut self, definition: &For, item: Shown) -> Outcome<()> {
        self.meter.step(1)?;
        if let Some(frame) = self.frames.last_mut() {
            frame.variables.clear();
        }
        self.assign(&definition.target, item)
    }
}
