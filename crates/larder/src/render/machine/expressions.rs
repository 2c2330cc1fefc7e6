//! Evaluates expressions.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{FUNCTIONS, Machine};
use crate::render::arithmetic::{negate, operate};
use crate::render::comparing::{are_equal, compare, contains};
use crate::render::fault::{Fault, Outcome};
use crate::render::kinds;
use crate::render::meter::{Draft, Meter};
use crate::render::names::Names;
use crate::render::syntax::{Comparison, Constant, Expression, Kind, Step, StepKind};
use crate::render::value::{Shown, reserve};

/// Where a path has come to.
enum Place {
    /// A name of the group that may have parts.
    Names(Arc<Names>),
    Value(Shown),
}

impl Place {
    fn value(self) -> Outcome<Shown> {
        match self {
            Self::Names(names) => Shown::named(&names),
            Self::Value(value) => Ok(value),
        }
    }
}

impl Machine<'_> {
    pub fn evaluate(&mut self, expression: &Expression) -> Outcome<Shown> {
        self.meter.step(1).map_err(|fault| fault.at(expression.line))?;
        match &expression.kind {
            Kind::Constant(constant) => Ok(of_constant(constant)),
            kind => self.deeper(|machine| machine.composed(kind)).map_err(|fault| fault.at(expression.line)),
        }
    }

    fn composed(&mut self, kind: &Kind) -> Outcome<Shown> {
        match kind {
            Kind::Constant(constant) => Ok(of_constant(constant)),
            Kind::Name(name) => self.begin(name)?.value(),
            Kind::List(items) => Shown::list(self.all(items)?),
            Kind::Tuple(items) => Shown::tuple(self.all(items)?),
            Kind::Map(members) => self.map(members),
            Kind::Or(all) => self.first(all, true),
            Kind::And(all) => self.first(all, false),
            Kind::Not(value, is_odd) => Ok(Shown::Bool(self.holds(value)? != *is_odd)),
            Kind::Compare(first, rest) => {
                let mut left = self.evaluate(first)?;
                for (comparison, right) in rest {
                    let right = self.evaluate(right)?;
                    if !self.compare(&left, *comparison, &right)? {
                        return Ok(Shown::Bool(false));
                    }
                    left = right;
                }
                Ok(Shown::Bool(true))
            }
            Kind::Chain(first, rest) => {
                let mut left = self.evaluate(first)?;
                for (operator, right) in rest {
                    left = self.known(left)?;
                    let right = self.evaluate(right)?;
                    let right = self.known(right)?;
                    left = operate(&self.meter, &left, *operator, &right)?;
                }
                Ok(left)
            }
            Kind::Negate(value, signs) => {
                let mut value = self.evaluate(value)?;
                for _ in 0..*signs {
                    self.meter.step(1)?;
                    value = negate(&value)?;
                }
                Ok(value)
            }
            Kind::Choice(choices, otherwise) => {
                for (value, condition) in choices {
                    if self.holds(condition)? {
                        return self.evaluate(value);
                    }
                }
                // A choice without `else` is nothing, and that is no mistake in a strict rendering.
                otherwise.as_ref().map_or(Ok(Shown::Text("".into())), |value| self.evaluate(value))
            }
            Kind::Path(from, steps) => self.path(from, steps, None),
        }
    }

    fn all(&mut self, expressions: &[Expression]) -> Outcome<Vec<Shown>> {
        let mut items = Vec::new();
        reserve(&self.meter, &mut items, expressions.len())?;
        for expression in expressions {
            items.push(self.evaluate(expression)?);
        }
        Ok(items)
    }

    fn map(&mut self, members: &[(Expression, Expression)]) -> Outcome<Shown> {
        let mut map = BTreeMap::new();
        for (name, member) in members {
            let name = self.evaluate(name)?;
            let Some(key) = name.as_key() else {
                return Err(Fault::invalid(format!("{} cannot be the key of a map", name.kind())));
            };
            map.insert(key, self.evaluate(member)?);
        }
        Shown::map(&self.meter, map)
    }

    /// The first value that counts as `is_sought`, or else the last.
    fn first(&mut self, all: &[Expression], is_sought: bool) -> Outcome<Shown> {
        let mut last = Shown::Undefined;
        for (index, expression) in all.iter().enumerate() {
            last = self.evaluate(expression)?;
            let is_last = index + 1 == all.len();
            if !is_last && self.is_true(&last)? == is_sought {
                break;
            }
        }
        Ok(last)
    }

    /// Whether a condition holds.
    pub fn holds(&mut self, condition: &Expression) -> Outcome<bool> {
        let value = self.evaluate(condition)?;
        self.is_true(&value).map_err(|fault| fault.at(condition.line))
    }

    pub fn is_true(&self, value: &Shown) -> Outcome<bool> {
        if self.is_strict {
            kinds::check_condition(value)?;
        }
        Ok(value.is_true())
    }

    /// Compares as the operator does: strictly in a strict rendering.
    pub fn compare(&self, left: &Shown, comparison: Comparison, right: &Shown) -> Outcome<bool> {
        if self.is_strict {
            kinds::check_comparison(&self.meter, left, comparison, right)?;
        }
        let order = || compare(&self.meter, left, right);
        Ok(match comparison {
            Comparison::Equal => are_equal(&self.meter, left, right)?,
            Comparison::Unequal => !are_equal(&self.meter, left, right)?,
            Comparison::Less => order()? == Ordering::Less,
            Comparison::LessOrEqual => order()? != Ordering::Greater,
            Comparison::Greater => order()? == Ordering::Greater,
            Comparison::GreaterOrEqual => order()? != Ordering::Less,
            Comparison::In => contains(&self.meter, right, left)?,
            Comparison::NotIn => !contains(&self.meter, right, left)?,
        })
    }

    /// What a name stands for: what the template has named so, or else a key, or else a function.
    fn begin(&self, name: &str) -> Outcome<Place> {
        if let Some(value) = self.variable(name) {
            return Ok(Place::Value(value));
        }
        if let Some(names) = self.names.within(name) {
            return Ok(Place::Names(Arc::clone(names)));
        }
        let function = FUNCTIONS.iter().find(|function| **function == name);
        Ok(Place::Value(function.map_or(Shown::Undefined, |name| Shown::Function(name))))
    }

    /// A value, and what is reached from it. `caller` is handed to the call at the end.
    pub fn path(&mut self, from: &Expression, steps: &[Step], mut caller: Option<Shown>) -> Outcome<Shown> {
        let mut rest = steps.iter().peekable();
        let mut place = match (&from.kind, steps.first()) {
            // What is called is the function, whatever a key of its name says.
            (Kind::Name(name), Some(Step { kind: StepKind::Call(arguments), line })) => {
                rest.next();
                let called = self.variable(name);
                let function = || FUNCTIONS.iter().find(|function| ***function == **name);
                let called = called.or_else(|| function().map(|name| Shown::Function(name)));
                let Some(called) = called else {
                    return Err(Fault::new(format!("unknown function: {name} is unknown")).at(*line));
                };
                let caller = if rest.peek().is_none() { caller.take() } else { None };
                Place::Value(self.call(&called, arguments, caller).map_err(|fault| fault.at(*line))?)
            }
            (Kind::Name(name), _) => self.begin(name)?,
            _ => Place::Value(self.evaluate(from)?),
        };
        while let Some(step) = rest.next() {
            self.meter.step(1)?;
            let call = rest.next_if(|next| {
                matches!((&step.kind, &next.kind), (StepKind::Attribute(_), StepKind::Call(_)))
            });
            let caller = if rest.peek().is_none() { caller.take() } else { None };
            let reached = match (&step.kind, call.map(|call| &call.kind)) {
                (StepKind::Attribute(name), Some(StepKind::Call(arguments))) => {
                    let value = place.value()?;
                    self.method(&value, name, arguments).map(Place::Value)
                }
                (StepKind::Attribute(name), _) => self.attribute(place, name),
                (StepKind::Index(index), _) => self.index(place, index),
                (kind, _) => {
                    let value = place.value()?;
                    self.step(value, kind, caller).map(Place::Value)
                }
            };
            place = reached.map_err(|fault| fault.at(step.line))?;
        }
        place.value()
    }

    fn attribute(&self, place: Place, name: &str) -> Outcome<Place> {
        if let Place::Names(names) = &place
            && let Some(within) = names.within(name)
        {
            return Ok(Place::Names(Arc::clone(within)));
        }
        let value = self.known(place.value()?)?;
        value.member(name).map(Place::Value)
    }

    fn index(&mut self, place: Place, index: &Expression) -> Outcome<Place> {
        let index = self.evaluate(index)?;
        if let (Place::Names(names), Some(part)) = (&place, index.as_text())
            && let Some(within) = names.within(part)
        {
            return Ok(Place::Names(Arc::clone(within)));
        }
        let value = self.known(place.value()?)?;
        value.item(&self.meter, &index).map(Place::Value)
    }

    /// A step that is the same for every value.
    pub fn step(&mut self, value: Shown, step: &StepKind, caller: Option<Shown>) -> Outcome<Shown> {
        match step {
            StepKind::Call(arguments) => self.call(&value, arguments, caller),
            StepKind::Filter(name, arguments) => {
                let arguments = self.arguments(arguments, None)?;
                self.filter(name, value, arguments)
            }
            StepKind::Test(name, arguments, is_negated) => {
                let arguments = self.arguments(arguments, None)?;
                Ok(Shown::Bool(self.test(name, &value, arguments)? != *is_negated))
            }
            StepKind::Slice(bounds) => {
                let value = self.known(value)?;
                let mut numbers = [None; 3];
                for (bound, number) in bounds.iter().zip(&mut numbers) {
                    let Some(bound) = bound else { continue };
                    *number =
                        match self.evaluate(bound)? {
                            Shown::None => None,
                            value => Some(value.as_integer().ok_or_else(|| {
                                Fault::invalid(format!("cannot slice by {}", value.kind()))
                            })?),
                        };
                }
                slice(&self.meter, &value, numbers)
            }
            StepKind::Attribute(name) => value.member(name),
            StepKind::Index(index) => {
                let index = self.evaluate(index)?;
                value.item(&self.meter, &index)
            }
        }
    }
}

/// `value[start:stop:step]`, as in Python.
fn slice(meter: &Meter, value: &Shown, [start, stop, step]: [Option<i128>; 3]) -> Outcome<Shown> {
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(Fault::invalid("cannot slice by step size of 0"));
    }
    let items = match value {
        Shown::Undefined | Shown::None => Vec::new(),
        Shown::Text(_) | Shown::List(_) | Shown::Range(_) => value.items(meter)?,
        _ => return Err(Fault::invalid(format!("value of type {} cannot be sliced", value.kind()))),
    };
    let length = items.len() as i128;
    let (least, most) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let bound = |bound: Option<i128>, otherwise| match bound {
        None => otherwise,
        Some(bound) if bound < 0 => bound.saturating_add(length).clamp(least, most),
        Some(bound) => bound.clamp(least, most),
    };
    let (first, last) = if step > 0 { (0, length) } else { (length - 1, -1) };
    let (mut at, stop) = (bound(start, first), bound(stop, last));
    let mut taken = Vec::new();
    while if step > 0 { at < stop } else { at > stop } {
        taken.extend(usize::try_from(at).ok().and_then(|at| items.get(at)).cloned());
        at = at.saturating_add(step);
    }
    match value {
        Shown::Text(_) => {
            let mut draft = Draft::new(meter);
            for character in &taken {
                draft.push(character.as_text().unwrap_or_default())?;
            }
            Ok(Shown::Text(draft.finish().into()))
        }
        Shown::List(list) => Shown::sequence(taken, list.is_tuple),
        _ => Shown::list(taken),
    }
}

fn of_constant(constant: &Constant) -> Shown {
    match constant {
        Constant::None => Shown::None,
        Constant::Bool(value) => Shown::Bool(*value),
        Constant::Integer(value) => Shown::Integer(*value),
        Constant::Fraction(value) => Shown::Fraction(*value),
        Constant::Text(text) => Shown::Text(Arc::clone(text)),
    }
}
