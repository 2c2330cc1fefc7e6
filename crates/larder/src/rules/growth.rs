//! How a write changes what a group and a namespace hold.

use std::ops::AddAssign;

use crate::data::{Quota, Usage};

/// How much more keys, groups and bytes are stored after a write; negative where it is less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Growth {
    pub keys: i64,
    pub groups: i64,
    pub bytes: i64,
}

impl Growth {
    /// The growth of a namespace by entries that one of its groups gains or loses; `before` is how many
    /// keys the group has stored so far. A group exists while it has a key.
    pub fn of_group(before: u64, keys: i64, bytes: i64) -> Self {
        let after = before.saturating_add_signed(keys);
        Self { keys, groups: i64::from(after > 0) - i64::from(before > 0), bytes }
    }

    /// What is stored after a write that grows `before` by this much.
    pub fn applied_to(self, before: &Usage) -> Usage {
        Usage {
            keys: before.keys.saturating_add_signed(self.keys),
            groups: before.groups.saturating_add_signed(self.groups),
            bytes: before.bytes.saturating_add_signed(self.bytes),
        }
    }
}

impl AddAssign for Growth {
    fn add_assign(&mut self, other: Self) {
        self.keys = self.keys.saturating_add(other.keys);
        self.groups = self.groups.saturating_add(other.groups);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// How many keys and bytes a group grows by when a value replaces another: `old` is the size of the value
/// that is stored, `None` where none is. An entry counts the bytes of its key and its value. All sizes are
/// in bytes.
pub(crate) fn growth_of_set(key: usize, value: usize, old: Option<usize>) -> (i64, i64) {
    match old {
        Some(old) => (0, signed(value).saturating_sub(signed(old))),
        None => (1, signed(key).saturating_add(signed(value))),
    }
}

/// Whether a namespace has a tally: one without keys and without a quota has none.
pub(crate) fn needs_tally(keys: u64, quota: &Quota) -> bool {
    keys > 0 || !quota.is_unlimited()
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_new_entry_counts_its_key_and_value_and_an_overwrite_the_difference() {
        assert_eq!(growth_of_set(3, 10, None), (1, 13));
        assert_eq!(growth_of_set(3, 10, Some(4)), (0, 6));
        assert_eq!(growth_of_set(3, 4, Some(10)), (0, -6));
    }

    #[test]
    fn a_group_comes_with_its_first_key_and_goes_with_its_last() {
        assert_eq!(Growth::of_group(0, 1, 5).groups, 1);
        assert_eq!(Growth::of_group(1, 1, 5).groups, 0);
        assert_eq!(Growth::of_group(2, -2, -9).groups, -1);
        assert_eq!(Growth::of_group(0, 0, 0), Growth::default());
    }

    proptest! {
        /// Tallies that are kept by growth equal a recount after any sequence of sets and deletes.
        #[test]
        fn tallies_kept_by_growth_equal_a_recount(
            steps in prop::collection::vec((0..3_usize, 0..4_usize, prop::option::of(0..20_usize)), 0..60),
        ) {
            let mut entries: BTreeMap<(usize, usize), usize> = BTreeMap::new();
            let mut keys_of = [0_u64; 3];
            let mut usage = Usage::default();
            for (group, key, value) in steps {
                let key_bytes = key + 1;
                let old = entries.get(&(group, key)).copied();
                let (keys, bytes) = match (value, old) {
                    (Some(value), old) => growth_of_set(key_bytes, value, old),
                    (None, Some(old)) => (-1, -signed(key_bytes + old)),
                    (None, None) => (0, 0),
                };
                match value {
                    Some(value) => drop(entries.insert((group, key), value)),
                    None => drop(entries.remove(&(group, key))),
                }
                usage = Growth::of_group(keys_of[group], keys, bytes).applied_to(&usage);
                keys_of[group] = keys_of[group].saturating_add_signed(keys);
            }
            let groups: std::collections::BTreeSet<_> = entries.keys().map(|(group, _)| group).collect();
            let bytes: usize = entries.iter().map(|((_, key), value)| key + 1 + value).sum();
            prop_assert_eq!(usage, Usage {
                keys: entries.len() as u64,
                groups: groups.len() as u64,
                bytes: bytes as u64,
            });
        }
    }
}
