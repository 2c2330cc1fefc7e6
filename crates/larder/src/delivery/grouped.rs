//! Values by what they belong to, in the order in which that came.

use std::collections::HashMap;

/// What belongs to each of some things, in the order in which those came.
pub(super) struct Grouped<T, V> {
    pub all: Vec<(T, Vec<V>)>,
    places: HashMap<usize, usize>,
}

impl<T, V> Default for Grouped<T, V> {
    fn default() -> Self {
        Self { all: Vec::new(), places: HashMap::new() }
    }
}

impl<T, V> Grouped<T, V> {
    /// Adds a value to what belongs to the thing at an address.
    pub fn push<A>(&mut self, address: *const A, thing: T, value: V) {
        let place = *self.places.entry(address.addr()).or_insert(self.all.len());
        match self.all.get_mut(place) {
            Some((_, values)) => values.push(value),
            None => self.all.push((thing, vec![value])),
        }
    }
}
