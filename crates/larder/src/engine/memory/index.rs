//! Finds an entry by its names without walking through the tree.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

use super::draft::Indexed;
use super::state::State;
use crate::data::Found;

/// Into how many tables the index is divided: when one is full and grows, a commit waits for no more than its share.
const TABLES: usize = 64;

/// The committed entries by their names.
pub(super) struct Index(Box<[HashTable<Slot>]>);

struct Slot {
    hash: u64,
    found: Found,
}

/// Hashes names, with a seed that nobody outside can know.
#[derive(Default)]
pub(super) struct Hashes(DefaultHashBuilder);

impl Hashes {
    #[inline]
    pub fn of(&self, group: &str, key: &str) -> u64 {
        self.0.hash_one((group, key))
    }
}

impl Default for Index {
    fn default() -> Self {
        Self((0..TABLES).map(|_| HashTable::new()).collect())
    }
}

impl Index {
    /// The index of a state.
    pub fn of(state: &State, hashes: &Hashes) -> Self {
        let mut index = Self::default();
        state.entries.iter().for_each(|row| index.change(Indexed::Put(row.0.clone()), hashes));
        index
    }

    /// The table by bits in the middle of the hash: a table uses the lowest and the highest.
    #[inline]
    fn place(hash: u64) -> usize {
        (hash >> 32) as usize % TABLES
    }

    #[inline]
    pub fn get(&self, hash: u64, group: &str, key: &str) -> Option<&Found> {
        let table = self.0.get(Self::place(hash))?;
        table.find(hash, |slot| slot.hash == hash && slot.found.is_of(group, key)).map(|slot| &slot.found)
    }

    pub fn change(&mut self, change: Indexed, hashes: &Hashes) {
        match change {
            Indexed::Put(found) => {
                let hash = hashes.of(found.group(), found.key());
                let Some(table) = self.0.get_mut(Self::place(hash)) else { return };
                let is_same = |slot: &Slot| slot.found.is_of(found.group(), found.key());
                match table.find_mut(hash, is_same) {
                    Some(slot) => slot.found = found,
                    None => drop(table.insert_unique(hash, Slot { hash, found }, |slot| slot.hash)),
                }
            }
            Indexed::Gone(found) => {
                let hash = hashes.of(found.group(), found.key());
                let Some(table) = self.0.get_mut(Self::place(hash)) else { return };
                if let Ok(slot) = table.find_entry(hash, |slot| slot.found.is_of(found.group(), found.key()))
                {
                    slot.remove();
                }
            }
        }
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.0.iter().map(HashTable::len).sum()
    }

    /// The memory of its tables, and how much of it no entry uses.
    pub fn memory(&self) -> (u64, u64) {
        let slot = size_of::<Slot>() + 1;
        let size = |buckets: usize| (buckets * slot) as u64;
        let all = self.0.iter().map(HashTable::num_buckets).sum();
        let free = |table: &HashTable<Slot>| table.num_buckets().saturating_sub(fitting(table.len()));
        (size(all), size(self.0.iter().map(free).sum()))
    }

    /// Gives back what no entry uses.
    pub fn shrink(&mut self) {
        for table in &mut self.0 {
            table.shrink_to_fit(|slot| slot.hash);
        }
    }
}

/// How many buckets a table of so many entries needs, or a few more. Their number is a power of two, and an eighth of them
/// stays empty. An empty table has one, which takes no memory.
fn fitting(entries: usize) -> usize {
    if entries == 0 { 1 } else { (entries * 8 / 7 + 1).next_power_of_two().max(16) }
}
