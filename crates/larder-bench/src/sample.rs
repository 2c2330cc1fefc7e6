//! The keys and values of every contender, made before the timing. Making a value and checking it costs every
//! contender the same few nanoseconds.

/// The group in which larder has the sample.
pub const GROUP: &str = "bench";

/// The prefix of keys in peers without groups.
const PREFIX: &str = "bench/";
const KEY_BYTES: usize = 12;
const NUMBER_BYTES: usize = 8;

/// How many bytes of a value are checked. Checking a whole megabyte would take longer than finding it and
/// hide the result.
const CHECKED_BYTES: usize = 1024;

/// Keys from `key-00000000` on, and values that begin with their key's number.
pub struct Sample {
    keys: String,
    len: u64,
    /// Every value, except for the number at its beginning.
    value: Vec<u8>,
}

/// A key, for contenders with groups and for those without.
#[derive(Clone, Copy)]
pub struct Key<'a>(&'a str);

impl<'a> Key<'a> {
    pub fn alone(self) -> &'a str {
        &self.0[PREFIX.len()..]
    }

    pub fn with_group(self) -> &'a str {
        self.0
    }

    fn number(self) -> &'a [u8] {
        &self.0.as_bytes()[PREFIX.len() + KEY_BYTES - NUMBER_BYTES..]
    }
}

impl Sample {
    /// The usual sample: values of 100 bytes.
    pub fn of(len: u64) -> Self {
        Self::with_values(len, 100)
    }

    /// A sample with values of this length, but at least 10 bytes.
    pub fn with_values(len: u64, value_bytes: usize) -> Self {
        let mut keys = String::with_capacity(len as usize * (PREFIX.len() + KEY_BYTES));
        for number in 0..len {
            keys.push_str(PREFIX);
            keys.push_str(&key_text(number));
        }
        let mut letters = Numbers::from(7);
        let value = (0..value_bytes.max(10)).map(|_| b'a' + letters.below(26) as u8).collect();
        Self { keys, len, value }
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn value_bytes(&self) -> usize {
        self.value.len()
    }

    /// The total length of all keys, without their group, and all values.
    pub fn data_bytes(&self) -> u64 {
        self.len * (KEY_BYTES + self.value.len()) as u64
    }

    pub fn key(&self, number: u64) -> Key<'_> {
        let start = number as usize * (PREFIX.len() + KEY_BYTES);
        Key(&self.keys[start..start + PREFIX.len() + KEY_BYTES])
    }

    pub fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        (0..self.len).map(|number| self.key(number))
    }

    /// Makes the values, one after another in the same memory.
    pub fn values(&self) -> Values {
        Values(self.value.clone())
    }

    /// Whether this is the key's value.
    pub fn is_right(&self, key: Key<'_>, found: &[u8]) -> bool {
        let checked = self.value.len().min(CHECKED_BYTES);
        found.len() == self.value.len()
            && found[..NUMBER_BYTES] == *key.number()
            && found[NUMBER_BYTES..checked] == self.value[NUMBER_BYTES..checked]
            && found.last() == self.value.last()
    }
}

/// See [`Sample::values`].
pub struct Values(Vec<u8>);

impl Values {
    pub fn of(&mut self, key: Key<'_>) -> &[u8] {
        self.0[..NUMBER_BYTES].copy_from_slice(key.number());
        &self.0
    }
}

/// The key with this number, for keys beyond the sample.
pub fn key_text(number: u64) -> String {
    format!("key-{number:08}")
}

/// Pseudo-random numbers, the same in every run.
#[derive(Clone)]
pub struct Numbers(u64);

impl Numbers {
    pub fn from(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The upper half is the random one. The product scales it below the bound without a division.
        ((self.0 >> 32) * bound) >> 32
    }
}
