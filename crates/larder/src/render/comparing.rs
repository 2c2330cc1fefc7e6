//! Compares values, and counts what it looks at.

use std::cmp::Ordering;

use super::fault::{Fault, Outcome};
use super::meter::Meter;
use super::printing::printed;
use super::value::Shown;

/// Whether two values are the same. Numbers are compared as numbers, and nothing else across kinds.
pub(super) fn are_equal(meter: &Meter, left: &Shown, right: &Shown) -> Outcome<bool> {
    meter.step(1)?;
    if let (Some(left), Some(right)) = (left.as_number(), right.as_number()) {
        return Ok(left == right);
    }
    match (left, right) {
        (Shown::Undefined, Shown::Undefined) | (Shown::None, Shown::None) => Ok(true),
        (Shown::Text(left), Shown::Text(right)) => {
            meter.read(left.len().min(right.len()))?;
            Ok(left == right)
        }
        (Shown::List(_) | Shown::Range(_), Shown::List(_) | Shown::Range(_)) => {
            if is_tuple(left) != is_tuple(right) {
                return Ok(false);
            }
            let (left, right) = (left.walk(meter)?, right.walk(meter)?);
            if left.length() != right.length() {
                return Ok(false);
            }
            for (left, right) in left.zip(right) {
                if !are_equal(meter, &left, &right)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Shown::Map(_) | Shown::Names(_), Shown::Map(_) | Shown::Names(_)) => {
            let members = left.members(meter)?.unwrap_or_default();
            if Some(members.len()) != right.length(meter)? {
                return Ok(false);
            }
            for (name, member) in members {
                if !are_equal(meter, &member, &right.item(meter, &name)?)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// The order of two values: by kind, then by what they hold.
pub(super) fn compare(meter: &Meter, left: &Shown, right: &Shown) -> Outcome<Ordering> {
    meter.step(1)?;
    if let (Some(left), Some(right)) = (left.as_number(), right.as_number()) {
        return Ok(left.cmp(&right));
    }
    let by_rank = rank(left).cmp(&rank(right));
    if by_rank != Ordering::Equal {
        return Ok(by_rank);
    }
    match (left, right) {
        (Shown::Text(left), Shown::Text(right)) => {
            meter.read(left.len().min(right.len()))?;
            Ok(left.cmp(right))
        }
        (Shown::List(_) | Shown::Range(_), Shown::List(_) | Shown::Range(_)) => {
            let (mut left, mut right) = (left.walk(meter)?, right.walk(meter)?);
            loop {
                match (left.next(), right.next()) {
                    (None, None) => return Ok(Ordering::Equal),
                    (None, Some(_)) => return Ok(Ordering::Less),
                    (Some(_), None) => return Ok(Ordering::Greater),
                    (Some(left), Some(right)) => match compare(meter, &left, &right)? {
                        Ordering::Equal => {}
                        unequal => return Ok(unequal),
                    },
                }
            }
        }
        (Shown::Map(_) | Shown::Names(_), Shown::Map(_) | Shown::Names(_)) => {
            let (left, right) =
                (left.members(meter)?.unwrap_or_default(), right.members(meter)?.unwrap_or_default());
            for ((left_name, left), (right_name, right)) in left.iter().zip(&right) {
                for (left, right) in [(left_name, right_name), (left, right)] {
                    match compare(meter, left, right)? {
                        Ordering::Equal => {}
                        unequal => return Ok(unequal),
                    }
                }
            }
            Ok(left.len().cmp(&right.len()))
        }
        _ => Ok(Ordering::Equal),
    }
}

fn is_tuple(value: &Shown) -> bool {
    matches!(value, Shown::List(list) if list.is_tuple)
}

fn rank(value: &Shown) -> u8 {
    match value {
        Shown::Undefined => 0,
        Shown::None => 1,
        Shown::Bool(_) => 2,
        Shown::Integer(_) | Shown::Fraction(_) => 3,
        Shown::Text(_) => 4,
        Shown::List(list) if list.is_tuple => 6,
        Shown::List(_) | Shown::Range(_) => 5,
        Shown::Map(_) | Shown::Names(_) => 7,
        Shown::Namespace(_) | Shown::Macro(_) | Shown::Loop(_) | Shown::Function(_) => 8,
    }
}

/// Whether something is in a container: text in text, an element in a list, a key in a map.
pub(super) fn contains(meter: &Meter, container: &Shown, sought: &Shown) -> Outcome<bool> {
    match container {
        Shown::Undefined => Ok(false),
        Shown::Text(text) => {
            meter.read(text.len())?;
            match sought {
                Shown::Text(sought) => Ok(text.contains(&**sought)),
                sought => Ok(text.contains(&printed(meter, sought)?)),
            }
        }
        Shown::List(_) | Shown::Range(_) => {
            for item in container.walk(meter)? {
                if are_equal(meter, &item, sought)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Shown::Map(map) => {
            meter.step(1)?;
            Ok(sought.as_key().is_some_and(|key| map.members.contains_key(&key)))
        }
        Shown::Names(names) => Ok(sought.as_text().is_some_and(|name| names.within(name).is_some())),
        Shown::Namespace(members) => {
            Ok(sought.as_text().is_some_and(|name| members.borrow().contains_key(name)))
        }
        _ => Err(Fault::invalid("cannot perform a containment check on this value")),
    }
}

/// Sorts by merging, so that a comparison may fail. What is equal stays in its order.
pub(super) fn sort<T>(items: Vec<T>, order: &mut impl FnMut(&T, &T) -> Outcome<Ordering>) -> Outcome<Vec<T>> {
    if items.len() < 2 {
        return Ok(items);
    }
    let mut left = items;
    let right = left.split_off(left.len() / 2);
    let mut sorted = Vec::with_capacity(left.len() + right.len());
    let (left, right) = (sort(left, order)?, sort(right, order)?);
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(first), Some(second)) = (left.peek(), right.peek()) {
        let is_second_less = order(second, first)? == Ordering::Less;
        sorted.extend(if is_second_less { right.next() } else { left.next() });
    }
    sorted.extend(left);
    sorted.extend(right);
    Ok(sorted)
}
