//! A value of a template.
//!
//! Nothing here is lazy, and nothing contains itself: a list or a map holds plain values, lists and maps that
//! were there before it, to a limited depth. So whoever walks through a value comes to its end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::fault::{Fault, Outcome};
use super::key::Key;
use super::limits::VALUE_DEPTH_MAX;
use super::meter::Meter;
use super::names::Names;
use super::number::Number;
use super::syntax::{For, Macro};

#[derive(Clone, Debug)]
pub(super) enum Shown {
    Undefined,
    None,
    Bool(bool),
    Integer(i128),
    Fraction(f64),
    Text(Arc<str>),
    List(Rc<List>),
    Map(Rc<Map>),
    Range(Range),
    /// The names that begin with some name, which has no value itself.
    Names(Arc<Names>),
    Namespace(Rc<RefCell<BTreeMap<Rc<str>, Shown>>>),
    Macro(Rc<Closure>),
    Loop(Rc<Loop>),
    Function(&'static str),
}

#[derive(Debug)]
pub(super) struct List {
    pub items: Vec<Shown>,
    pub is_tuple: bool,
    /// Whether it is what `groupby` makes: the two elements can then be had as `grouper` and `list`, too.
    is_group: bool,
    depth: u32,
}

#[derive(Debug)]
pub(super) struct Map {
    pub members: BTreeMap<Key, Shown>,
    depth: u32,
}

/// Whole numbers at equal distances.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub start: i128,
    pub step: i128,
    pub length: usize,
}

impl Range {
    pub fn at(self, index: usize) -> Shown {
        Shown::Integer(self.start + self.step * index as i128)
    }
}

/// A macro, and the number of the closure with the variables around it, if there are any. It is a number, so
/// that a macro which stands in its own closure does not keep itself alive.
#[derive(Debug)]
pub(super) struct Closure {
    pub definition: Rc<Macro>,
    pub captured: Option<usize>,
}

/// What `loop` is.
#[derive(Debug)]
pub(super) struct Loop {
    pub definition: Rc<For>,
    pub index: Cell<usize>,
    pub length: usize,
    pub depth: usize,
    /// What `loop.changed` was last called with.
    pub seen: RefCell<Option<Vec<Shown>>>,
}

/// What an element of a list takes, and what a member of a map does.
const ITEM_BYTES: usize = size_of::<Shown>();
const MEMBER_BYTES: usize = 3 * size_of::<Shown>();

impl Shown {
    /// Makes a text, which is counted.
    pub fn text(meter: &Meter, text: &str) -> Outcome<Self> {
        meter.make(text.len() + ITEM_BYTES)?;
        Ok(Self::Text(text.into()))
    }

    /// Makes a list. Reserve its elements with [`reserve`] before they are collected.
    pub fn list(items: Vec<Self>) -> Outcome<Self> {
        Self::sequence(items, false)
    }

    pub fn tuple(items: Vec<Self>) -> Outcome<Self> {
        Self::sequence(items, true)
    }

    pub fn sequence(items: Vec<Self>, is_tuple: bool) -> Outcome<Self> {
        let depth = depth_around(&items)?;
        Ok(Self::List(Rc::new(List { items, is_tuple, is_group: false, depth })))
    }

    /// What `groupby` has found to belong together.
    pub fn group(by: Self, items: Vec<Self>) -> Outcome<Self> {
        let items = vec![by, Self::list(items)?];
        let depth = depth_around(&items)?;
        Ok(Self::List(Rc::new(List { items, is_tuple: true, is_group: true, depth })))
    }

    pub fn map(meter: &Meter, members: BTreeMap<Key, Self>) -> Outcome<Self> {
        meter.make(members.len() * MEMBER_BYTES)?;
        let depth = depth_around(members.values())?;
        Ok(Self::Map(Rc::new(Map { members, depth })))
    }

    fn depth(&self) -> u32 {
        match self {
            Self::List(list) => list.depth,
            Self::Map(map) => map.depth,
            _ => 0,
        }
    }

    /// Refuses what cannot be a part of a value: what could then contain itself.
    pub fn check_plain(&self) -> Outcome<()> {
        match self {
            Self::Namespace(_) | Self::Macro(_) | Self::Loop(_) | Self::Function(_) => {
                Err(Fault::invalid(format_args!("{} cannot be a part of a value", self.kind())))
            }
            _ => Ok(()),
        }
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::Undefined => "undefined",
            Self::None => "none",
            Self::Bool(_) => "bool",
            Self::Integer(_) | Self::Fraction(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "sequence",
            Self::Range(_) => "iterator",
            Self::Map(_) | Self::Names(_) => "map",
            Self::Namespace(_) => "a namespace",
            Self::Macro(_) => "a macro",
            Self::Loop(_) => "a loop",
            Self::Function(_) => "a function",
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined)
    }

    pub fn is_true(&self) -> bool {
        match self {
            Self::Undefined | Self::None => false,
            Self::Bool(value) => *value,
            Self::Integer(value) => *value != 0,
            Self::Fraction(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => !list.items.is_empty(),
            Self::Map(map) => !map.members.is_empty(),
            Self::Range(range) => range.length > 0,
            Self::Names(names) => names.parts().len() > 0,
            Self::Namespace(members) => !members.borrow().is_empty(),
            Self::Macro(_) | Self::Loop(_) | Self::Function(_) => true,
        }
    }

    /// A whole number: one, or a boolean as 0 or 1.
    pub fn as_integer(&self) -> Option<i128> {
        match self {
            Self::Integer(value) => Some(*value),
            Self::Bool(value) => Some(i128::from(*value)),
            Self::Fraction(value) if value.fract() == 0.0 && value.abs() < 1e18 => Some(*value as i128),
            _ => None,
        }
    }

    pub fn as_fraction(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Bool(value) => Some(f64::from(*value)),
            Self::Fraction(value) => Some(*value),
            _ => None,
        }
    }

    /// How many characters, elements or members it has.
    pub fn length(&self, meter: &Meter) -> Outcome<Option<usize>> {
        Ok(Some(match self {
            Self::Text(text) => {
                meter.read(text.len())?;
                text.chars().count()
            }
            Self::List(list) => list.items.len(),
            Self::Map(map) => map.members.len(),
            Self::Range(range) => range.length,
            Self::Names(names) => names.parts().len(),
            Self::Namespace(members) => members.borrow().len(),
            _ => return Ok(None),
        }))
    }

    /// The members of a map, with their names.
    pub fn members(&self, meter: &Meter) -> Outcome<Option<Vec<(Self, Self)>>> {
        let names = match self {
            Self::Map(_) | Self::Names(_) | Self::Namespace(_) => self.items(meter)?,
            _ => return Ok(None),
        };
        meter.make(names.len() * ITEM_BYTES)?;
        let mut members = Vec::with_capacity(names.len());
        for name in names {
            let member = self.item(meter, &name)?;
            members.push((name, member));
        }
        Ok(Some(members))
    }

    pub fn of_key(key: &Key) -> Self {
        match key {
            Key::None => Self::None,
            Key::Number(Number::Bool(value)) => Self::Bool(*value),
            Key::Number(Number::Integer(value)) => Self::Integer(*value),
            Key::Number(Number::Fraction(value)) => Self::Fraction(*value),
            Key::Text(text) => Self::Text(Arc::clone(text)),
        }
    }

    pub fn as_number(&self) -> Option<Number> {
        Some(match self {
            Self::Bool(value) => Number::Bool(*value),
            Self::Integer(value) => Number::Integer(*value),
            Self::Fraction(value) => Number::Fraction(*value),
            _ => return None,
        })
    }

    /// The key that a value is, unless it is of a kind that cannot be one.
    pub fn as_key(&self) -> Option<Key> {
        match self {
            Self::None => Some(Key::None),
            Self::Text(text) => Some(Key::Text(Arc::clone(text))),
            _ => self.as_number().map(Key::Number),
        }
    }

    /// What `value[index]` is: undefined where there is nothing.
    pub fn item(&self, meter: &Meter, index: &Self) -> Outcome<Self> {
        match (self, index) {
            (Self::Map(map), _) => {
                let found = index.as_key().and_then(|key| map.members.get(&key).cloned());
                return Ok(found.unwrap_or(Self::Undefined));
            }
            (_, Self::Text(name)) => return self.member(name),
            _ => {}
        }
        let Some(index) = index.as_integer() else { return Ok(Self::Undefined) };
        let Some(length) = self.length(meter)? else { return Ok(Self::Undefined) };
        let index = if index < 0 { index + length as i128 } else { index };
        let Some(index) = usize::try_from(index).ok().filter(|index| *index < length) else {
            return Ok(Self::Undefined);
        };
        Ok(match self {
            Self::List(list) => list.items.get(index).cloned().unwrap_or(Self::Undefined),
            Self::Range(range) => range.at(index),
            Self::Text(text) => match text.chars().nth(index) {
                Some(character) => Self::Text((&*character.encode_utf8(&mut [0; 4])).into()),
                None => Self::Undefined,
            },
            _ => Self::Undefined,
        })
    }

    /// What `value.name` is: undefined where there is nothing.
    pub fn member(&self, name: &str) -> Outcome<Self> {
        Ok(match self {
            Self::Map(map) => map.members.get(&Key::of_text(name)).cloned(),
            Self::Names(names) => match names.within(name) {
                Some(within) => Some(Self::named(within)?),
                None => None,
            },
            Self::Namespace(members) => members.borrow().get(name).cloned(),
            Self::Loop(looped) => looped.attribute(name),
            Self::List(list) if list.is_group => match name {
                "grouper" => list.items.first().cloned(),
                "list" => list.items.get(1).cloned(),
                _ => None,
            },
            Self::Macro(closure) => (name == "name").then(|| Self::Text((&*closure.definition.name).into())),
            _ => None,
        }
        .unwrap_or(Self::Undefined))
    }

    /// What a name stands for: the key's value, or else all that begins with it.
    pub fn named(names: &Arc<Names>) -> Outcome<Self> {
        Ok(names.text()?.map_or_else(|| Self::Names(Arc::clone(names)), Self::Text))
    }
}

impl Loop {
    fn attribute(&self, name: &str) -> Option<Shown> {
        let (index, length) = (self.index.get(), self.length);
        let number = |value: usize| Shown::Integer(value as i128);
        Some(match name {
            "index" => number(index + 1),
            "index0" => number(index),
            "length" => number(length),
            "revindex" => number(length.saturating_sub(index)),
            "revindex0" => number(length.saturating_sub(index + 1)),
            "first" => Shown::Bool(index == 0),
            "last" => Shown::Bool(index + 1 >= length),
            "depth" => number(self.depth + 1),
            "depth0" => number(self.depth),
            _ => return None,
        })
    }
}

/// Makes room for elements, which is counted before.
pub(super) fn reserve(meter: &Meter, items: &mut Vec<Shown>, more: usize) -> Outcome<()> {
    meter.make(more.saturating_mul(ITEM_BYTES))?;
    meter.step(more as u64)?;
    items.reserve(more);
    Ok(())
}

fn depth_around<'a>(items: impl IntoIterator<Item = &'a Shown>) -> Outcome<u32> {
    let mut depth = 0;
    for item in items {
        item.check_plain()?;
        depth = depth.max(item.depth());
    }
    check_depth(depth + 1)?;
    Ok(depth + 1)
}

fn check_depth(depth: u32) -> Outcome<()> {
    if depth <= VALUE_DEPTH_MAX {
        return Ok(());
    }
    Err(Fault::invalid(format_args!("a value is nested deeper than {VALUE_DEPTH_MAX} levels")))
}
