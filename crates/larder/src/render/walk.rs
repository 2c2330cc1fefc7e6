//! Goes through what a value of a template consists of.

use std::rc::Rc;

use super::fault::{Fault, Outcome};
use super::meter::Meter;
use super::value::{List, Range, Shown, reserve};

/// Goes through what a value consists of.
#[derive(Debug)]
pub(super) struct Walk {
    items: Items,
    at: usize,
}

#[derive(Debug)]
enum Items {
    List(Rc<List>),
    Range(Range),
    Own(Vec<Shown>),
}

impl Walk {
    /// How much is left to go through.
    pub fn length(&self) -> usize {
        let length = match &self.items {
            Items::List(list) => list.items.len(),
            Items::Range(range) => range.length,
            Items::Own(items) => items.len(),
        };
        length.saturating_sub(self.at)
    }
}

impl From<Vec<Shown>> for Walk {
    fn from(items: Vec<Shown>) -> Self {
        Self { items: Items::Own(items), at: 0 }
    }
}

impl Iterator for Walk {
    type Item = Shown;

    fn next(&mut self) -> Option<Shown> {
        let at = self.at;
        self.at += 1;
        match &self.items {
            Items::List(list) => list.items.get(at).cloned(),
            Items::Range(range) => (at < range.length).then(|| range.at(at)),
            Items::Own(items) => items.get(at).cloned(),
        }
    }
}

impl Shown {
    /// Goes through what it consists of: elements, the keys of a map, the characters of a text. What is not
    /// there has none.
    pub fn walk(&self, meter: &Meter) -> Outcome<Walk> {
        let mut items = Vec::new();
        match self {
            Self::Undefined | Self::None => {}
            Self::List(list) => return Ok(Walk { items: Items::List(Rc::clone(list)), at: 0 }),
            Self::Range(range) => return Ok(Walk { items: Items::Range(*range), at: 0 }),
            Self::Text(text) => {
                reserve(meter, &mut items, self.length(meter)?.unwrap_or_default())?;
                for character in text.chars() {
                    items.push(Self::Text((&*character.encode_utf8(&mut [0; 4])).into()));
                }
            }
            Self::Map(map) => {
                reserve(meter, &mut items, map.members.len())?;
                items.extend(map.members.keys().map(Self::of_key));
            }
            Self::Names(names) => {
                reserve(meter, &mut items, names.parts().len())?;
                for part in names.parts() {
                    items.push(Self::text(meter, part)?);
                }
            }
            Self::Namespace(members) => {
                let members = members.borrow();
                reserve(meter, &mut items, members.len())?;
                for name in members.keys() {
                    items.push(Self::text(meter, name)?);
                }
            }
            _ => return Err(Fault::invalid(format_args!("{} is not iterable", self.kind()))),
        }
        Ok(Walk { items: Items::Own(items), at: 0 })
    }

    /// Collects what [`walk`](Self::walk) goes through.
    pub fn items(&self, meter: &Meter) -> Outcome<Vec<Self>> {
        let walk = self.walk(meter)?;
        if let Items::Own(items) = walk.items {
            return Ok(items);
        }
        let mut items = Vec::new();
        reserve(meter, &mut items, walk.length())?;
        items.extend(walk);
        Ok(items)
    }
}
