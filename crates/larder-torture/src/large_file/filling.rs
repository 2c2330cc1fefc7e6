//! What is in a large file. An entry has a number, and its value follows from the seed, the number and a version.

use std::time::{Duration, Instant};

use larder::Store;

use crate::random::Random;

pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const GROUPS: u64 = 64;

/// How many entries are written at once.
const BATCH: u64 = 64;

/// What the trial has written, and how long it has waited.
#[derive(Clone, Debug)]
pub struct Filling {
    seed: u64,
    /// Of each entry, by its number. `None` if it was deleted.
    versions: Vec<Option<u32>>,
    pub longest_call: Duration,
}

fn group(number: u64) -> String {
    format!("g{:02}", number % GROUPS)
}

fn key(number: u64) -> String {
    format!("k{number}")
}

impl Filling {
    pub fn new(seed: u64) -> Self {
        Self { seed, versions: Vec::new(), longest_call: Duration::ZERO }
    }

    /// Seven of ten values are small, one is of a quarter of a mebibyte.
    fn value(&self, number: u64, version: u32) -> Vec<u8> {
        let mut random = Random::new(self.seed ^ number.rotate_left(20) ^ u64::from(version).rotate_left(52));
        let length = match random.below(10) {
            0 => 262_144 + random.below(64),
            1 | 2 => 8_192 + random.below(64),
            _ => 16 + random.below(400),
        };
        let mut value = Vec::new();
        while (value.len() as u64) < length {
            value.extend(random.next().to_le_bytes());
        }
        value
    }

    fn timed<T>(&mut self, call: impl FnOnce(&Self) -> larder::Result<T>) -> larder::Result<T> {
        let begun = Instant::now();
        let answer = call(self);
        self.longest_call = self.longest_call.max(begun.elapsed());
        answer
    }

    /// Writes new entries until the file has so many bytes.
    pub fn fill(&mut self, store: &Store, bytes: u64) -> Outcome<()> {
        while store.stats()?.file_bytes < bytes {
            for _ in 0..4 {
                let first = self.versions.len() as u64;
                self.write(store, first..first + BATCH, 0)?;
                self.versions.extend((0..BATCH).map(|_| Some(0)));
            }
        }
        Ok(())
    }

    fn write(&mut self, store: &Store, numbers: impl Iterator<Item = u64>, version: u32) -> Outcome<()> {
        self.timed(|filling| {
            let batch = numbers.fold(store.batch(), |batch, number| {
                batch.set(group(number), key(number), filling.value(number, version))
            });
            batch.commit()
        })?;
        Ok(())
    }

    /// Overwrites every fifth entry and deletes every seventh, so that free pages lie everywhere.
    pub fn change(&mut self, store: &Store) -> Outcome<()> {
        let numbers = 0..self.versions.len() as u64;
        let fifth: Vec<u64> = numbers.clone().filter(|number| number % 5 == 0).collect();
        for part in fifth.chunks(BATCH as usize) {
            self.write(store, part.iter().copied(), 1)?;
        }
        let seventh: Vec<u64> = numbers.filter(|number| number % 7 == 0).collect();
        for part in seventh.chunks(BATCH as usize) {
            self.timed(|_| {
                let batch = part
                    .iter()
                    .fold(store.batch(), |batch, number| batch.delete(group(*number), key(*number)));
                batch.commit()
            })?;
        }
        for (number, version) in self.versions.iter_mut().enumerate() {
            match number {
                _ if number % 7 == 0 => *version = None,
                _ if number % 5 == 0 => *version = Some(1),
                _ => {}
            }
        }
        Ok(())
    }

    /// Deletes every second group.
    pub fn delete_groups(&mut self, store: &Store) -> Outcome<()> {
        for number in (0..GROUPS).step_by(2) {
            self.timed(|_| store.delete_group(group(number)))?;
        }
        for version in self.versions.iter_mut().step_by(2) {
            *version = None;
        }
        Ok(())
    }

    /// Claims that the last entry was written again.
    pub fn pretend(&mut self) {
        if let Some(last) = self.versions.last_mut() {
            *last = Some(2);
        }
    }

    /// What was there when a backup was made is there again.
    pub fn take_back(&mut self, earlier: &Self) {
        self.versions.clone_from(&earlier.versions);
    }

    /// Reads every entry, and those that are not there.
    pub fn compare(&mut self, store: &Store) -> Outcome<()> {
        let mut live = 0;
        for number in 0..self.versions.len() as u64 {
            let wanted = self.versions[number as usize].map(|version| self.value(number, version));
            let found = self.timed(|_| store.get(group(number), key(number)))?;
            if found.as_ref().map(larder::Value::as_bytes) != wanted.as_deref() {
                let lengths = (found.map(|value| value.as_bytes().len()), wanted.as_ref().map(Vec::len));
                return Err(format!("entry {number} has another value; lengths: {lengths:?}").into());
            }
            live += u64::from(wanted.is_some());
        }
        let counted = store.count_all("")?;
        if counted == live { Ok(()) } else { Err(format!("{counted} entries instead of {live}").into()) }
    }
}
