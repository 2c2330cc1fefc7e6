//! Filters that make lists out of lists and maps.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::picking::ordered;
use crate::render::arguments::Arguments;
use crate::render::comparing;
use crate::render::fault::{Fault, Outcome};
use crate::render::machine::Machine;
use crate::render::meter::Meter;
use crate::render::value::{Shown, reserve};

pub(super) fn list(machine: &mut Machine<'_>, value: Shown, _: &mut Arguments) -> Outcome<Shown> {
    Shown::list(value.items(&machine.meter)?)
}

pub(super) fn reverse(machine: &mut Machine<'_>, value: Shown, _: &mut Arguments) -> Outcome<Shown> {
    let mut items = value.items(&machine.meter)?;
    items.reverse();
    match value {
        Shown::Undefined => Ok(value),
        Shown::None => Err(Fault::invalid("cannot reverse values of type none")),
        Shown::Text(_) => {
            let mut draft = crate::render::meter::Draft::new(&machine.meter);
            for item in &items {
                draft.push(item.as_text().unwrap_or_default())?;
            }
            Ok(Shown::Text(draft.finish().into()))
        }
        _ => Shown::list(items),
    }
}

pub(super) fn items(machine: &mut Machine<'_>, value: Shown, _: &mut Arguments) -> Outcome<Shown> {
    pairs(&machine.meter, &value, "cannot convert value into pairs").and_then(as_tuples)
}

fn pairs(meter: &Meter, value: &Shown, refusal: &str) -> Outcome<Vec<(Shown, Shown)>> {
    match value.members(meter)? {
        Some(members) => {
            // Each becomes a tuple of two.
            meter.make(members.len() * 3 * size_of::<Shown>())?;
            Ok(members)
        }
        None if value.is_undefined() => Ok(Vec::new()),
        None => Err(Fault::invalid(refusal)),
    }
}

fn as_tuples(pairs: Vec<(Shown, Shown)>) -> Outcome<Shown> {
    let tuples = pairs.into_iter().map(|(name, member)| Shown::tuple(vec![name, member]));
    Shown::list(tuples.collect::<Outcome<_>>()?)
}

pub(super) fn dictsort(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let by_value = arguments.named("by").is_some_and(|by| by.as_text() == Some("value"));
    let by_case = arguments.named("case_sensitive").is_some_and(|value| value.is_true());
    let is_reversed = arguments.named("reverse").is_some_and(|value| value.is_true());
    let meter = &machine.meter;
    let pairs = pairs(meter, &value, "cannot convert value into pair list")?;
    let sorted = comparing::sort(pairs, &mut |left: &(Shown, Shown), right: &(Shown, Shown)| {
        let (left, right) = if by_value { (&left.1, &right.1) } else { (&left.0, &right.0) };
        let order = ordered(meter, left, right, by_case)?;
        Ok(if is_reversed { order.reverse() } else { order })
    })?;
    as_tuples(sorted)
}

/// Elements with what they are sorted by.
fn keyed(
    machine: &Machine<'_>,
    value: &Shown,
    key: impl Fn(&Shown) -> Outcome<Shown>,
) -> Outcome<Vec<(Shown, Shown)>> {
    let walk = value.walk(&machine.meter)?;
    // Sorting moves them to another place once.
    machine.meter.make(walk.length() * 4 * size_of::<Shown>())?;
    let mut items = Vec::with_capacity(walk.length());
    for item in walk {
        machine.meter.step(1)?;
        items.push((key(&item)?, item));
    }
    Ok(items)
}

pub(super) fn sort(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let is_reversed = arguments.flag("reverse")?;
    let by_case = arguments.flag("case_sensitive")?;
    let attribute = arguments.text("attribute")?;
    let items = keyed(machine, &value, |item| {
        let Some(attribute) = &attribute else { return Ok(item.clone()) };
        let mut parts = Vec::new();
        for path in attribute.split(',').map(str::trim).filter(|path| !path.is_empty()) {
            reserve(&machine.meter, &mut parts, 1)?;
            parts.push(machine.at_path(item, path)?);
        }
        if parts.len() == 1 { Ok(parts.remove(0)) } else { Shown::tuple(parts) }
    })?;
    let meter = &machine.meter;
    let sorted = comparing::sort(items, &mut |left: &(Shown, Shown), right: &(Shown, Shown)| {
        let order = match (&left.0, &right.0) {
            (Shown::List(left), Shown::List(right)) if attribute.is_some() => {
                let mut order = Ordering::Equal;
                for (left, right) in left.items.iter().zip(&right.items) {
                    order = order.then(ordered(meter, left, right, by_case)?);
                }
                order
            }
            (left, right) => ordered(meter, left, right, by_case)?,
        };
        Ok(if is_reversed { order.reverse() } else { order })
    })?;
    Shown::list(sorted.into_iter().map(|(_, item)| item).collect())
}

pub(super) fn groupby(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let default = arguments.named("default").unwrap_or(Shown::Undefined);
    let by_case = arguments.named("case_sensitive").is_some_and(|value| value.is_true());
    let attribute = arguments.text("attribute")?;
    let attribute = attribute.ok_or_else(|| Fault::new("missing argument: attribute"))?;
    let items = keyed(machine, &value, |item| {
        let found = machine.at_path(item, &attribute)?;
        Ok(if found.is_undefined() { default.clone() } else { found })
    })?;
    let meter = &machine.meter;
    let sorted = comparing::sort(items, &mut |left: &(Shown, Shown), right: &(Shown, Shown)| {
        ordered(meter, &left.0, &right.0, by_case)
    })?;
    let mut groups: Vec<(Shown, Vec<Shown>)> = Vec::new();
    for (key, item) in sorted {
        meter.make(2 * size_of::<Shown>())?;
        let is_same = match groups.last() {
            Some((last, _)) => ordered(meter, last, &key, by_case)? == Ordering::Equal,
            None => false,
        };
        match groups.last_mut().filter(|_| is_same) {
            Some((_, items)) => items.push(item),
            None => {
                meter.make(8 * size_of::<Shown>())?;
                groups.push((key, vec![item]));
            }
        }
    }
    Shown::list(groups.into_iter().map(|(key, items)| Shown::group(key, items)).collect::<Outcome<_>>()?)
}

pub(super) fn unique(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let by_case = arguments.flag("case_sensitive")?;
    let attribute = arguments.text("attribute")?;
    let meter = &machine.meter;
    // What was seen, in order.
    let mut seen: Vec<Shown> = Vec::new();
    let mut unique = Vec::new();
    for item in value.walk(meter)? {
        let key = match &attribute {
            Some(path) => machine.at_path(&item, path)?,
            None => item.clone(),
        };
        let (mut low, mut high) = (0, seen.len());
        let mut is_new = true;
        while low < high && is_new {
            let middle = low.midpoint(high);
            match ordered(meter, &seen[middle], &key, by_case)? {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => is_new = false,
            }
        }
        if is_new {
            meter.read((seen.len() - low) * size_of::<Shown>())?;
            reserve(meter, &mut unique, 1)?;
            meter.make(2 * size_of::<Shown>())?;
            seen.insert(low, key);
            unique.push(item);
        }
    }
    Shown::list(unique)
}

/// Takes a list apart into lists of a length; the last is filled up.
pub(super) fn batch(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let count = arguments.count("linecount")?.filter(|count| *count > 0);
    let count = count.ok_or_else(|| Fault::invalid("count cannot be 0"))?;
    let filler = arguments.next("fill_with")?;
    let meter = &machine.meter;
    let items = value.items(meter)?;
    let mut batches = Vec::new();
    for piece in items.chunks(count) {
        let filled = if filler.is_some() { count } else { piece.len() };
        let mut batch = Vec::new();
        reserve(meter, &mut batch, filled)?;
        batch.extend(piece.iter().cloned());
        batch.resize(filled, filler.clone().unwrap_or(Shown::Undefined));
        reserve(meter, &mut batches, 1)?;
        batches.push(Shown::list(batch)?);
    }
    Shown::list(batches)
}

/// Takes a list apart into so many lists.
pub(super) fn slice(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let count = arguments.count("slices")?.filter(|count| *count > 0);
    let count = count.ok_or_else(|| Fault::invalid("count cannot be 0"))?;
    let filler = arguments.next("fill_with")?;
    let meter = &machine.meter;
    let items = value.items(meter)?;
    let (each, longer) = (items.len() / count, items.len() % count);
    let mut slices = Vec::new();
    // Each is a list of its own.
    meter.make(count.saturating_mul(3 * size_of::<Shown>()))?;
    reserve(meter, &mut slices, count)?;
    let mut rest = items.into_iter();
    for index in 0..count {
        let length = each + usize::from(index < longer);
        let mut slice = Vec::new();
        reserve(meter, &mut slice, length + 1)?;
        slice.extend(rest.by_ref().take(length));
        if index >= longer {
            slice.extend(filler.clone());
        }
        slices.push(Shown::list(slice)?);
    }
    Shown::list(slices)
}

/// Puts lists one behind the other, or maps one over the other.
pub(super) fn chain(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let meter = &machine.meter;
    let mut parts = vec![value];
    while let Some(part) = arguments.next("value")? {
        parts.push(part);
    }
    if parts.iter().all(|part| matches!(part, Shown::Map(_) | Shown::Names(_))) {
        let mut members = BTreeMap::new();
        for part in &parts {
            for (name, member) in part.members(meter)?.unwrap_or_default() {
                members.extend(name.as_key().map(|key| (key, member)));
            }
        }
        return Shown::map(meter, members);
    }
    let mut items = Vec::new();
    for part in parts {
        let walk = part.walk(meter)?;
        reserve(meter, &mut items, walk.length())?;
        items.extend(walk);
    }
    Shown::list(items)
}

/// Makes tuples of what stands at the same place, as far as the shortest list goes.
pub(super) fn zip(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let meter = &machine.meter;
    let not_iterable =
        |value: &Shown| Fault::invalid(format!("zip filter argument must be iterable, got {}", value.kind()));
    let mut lists = vec![value.walk(meter).map_err(|_| not_iterable(&value))?];
    while let Some(other) = arguments.next("value")? {
        lists.push(other.walk(meter).map_err(|_| not_iterable(&other))?);
    }
    let length = lists.iter().map(|list| list.length()).min().unwrap_or_default();
    let mut tuples = Vec::new();
    reserve(meter, &mut tuples, length)?;
    for _ in 0..length {
        let mut tuple = Vec::new();
        reserve(meter, &mut tuple, lists.len())?;
        tuple.extend(lists.iter_mut().filter_map(Iterator::next));
        tuples.push(Shown::tuple(tuple)?);
    }
    Shown::list(tuples)
}
