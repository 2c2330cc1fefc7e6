//! `fromjson`: reads text as JSON, and counts what that makes while it is read.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use crate::render::arguments::Arguments;
use crate::render::fault::{Fault, Outcome};
use crate::render::key::Key;
use crate::render::machine::Machine;
use crate::render::meter::Meter;
use crate::render::value::{Shown, reserve};

pub(super) fn fromjson(machine: &mut Machine<'_>, value: Shown, _: &mut Arguments) -> Outcome<Shown> {
    let meter = &machine.meter;
    let text = match &value {
        Shown::Undefined => return Ok(value),
        Shown::Text(text) => text,
        value => return Err(Fault::invalid(format!("a {} cannot be read as JSON", value.kind()))),
    };
    meter.read(text.len())?;
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Json(meter).deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    // What was too much is the reason then, and not what JSON makes of it.
    meter.check()?;
    read.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let what = if error.is_eof() { "it ends too early" } else { "it is malformed" };
        Fault::invalid(format!("the text is no JSON: {what}, at line {line} column {column}"))
    })
}

#[derive(Clone, Copy)]
struct Json<'a>(&'a Meter);

impl<'de> DeserializeSeed<'de> for Json<'_> {
    type Value = Shown;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Shown, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// What the reader is told; [`Meter::check`] and the value itself say more.
fn refused<E: Error>(_: Fault) -> E {
    E::custom("it is too large")
}

impl<'de> Visitor<'de> for Json<'_> {
    type Value = Shown;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Shown, E> {
        Ok(Shown::None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Shown, E> {
        Ok(Shown::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Shown, E> {
        Ok(Shown::Integer(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Shown, E> {
        Ok(Shown::Integer(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Shown, E> {
        Ok(Shown::Fraction(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Shown, E> {
        Shown::text(self.0, text).map_err(refused)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Shown, A::Error> {
        let mut items = Vec::new();
        loop {
            reserve(self.0, &mut items, 1).map_err(refused)?;
            match elements.next_element_seed(self)? {
                Some(item) => items.push(item),
                None => return Shown::list(items).map_err(refused),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Shown, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(name) = members.next_key::<std::borrow::Cow<'_, str>>()? {
            self.0.make(name.len() + 4 * size_of::<Shown>()).map_err(refused)?;
            map.insert(Key::of_text(&name), members.next_value_seed(self)?);
        }
        Shown::map(self.0, map).map_err(refused)
    }
}
