//! Whether the condition of a write holds.

use crate::data::{Condition, Error, Result, Revision};
use crate::engine::Requirement;

/// Holds a requirement against the entry that is there: `actual` is its revision, `None` where there is no
/// live entry.
///
/// # Errors
/// [`Error::Conflict`] where the condition does not hold.
pub(crate) fn require(requirement: &Requirement, actual: Option<Revision>) -> Result<()> {
    let Requirement { group, key, condition } = requirement;
    let holds = match *condition {
        Condition::Absent => actual.is_none(),
        Condition::Present => actual.is_some(),
        Condition::Revision(wanted) => actual == Some(wanted),
    };
    if holds {
        return Ok(());
    }
    Err(Error::Conflict { group: group.clone(), key: key.clone(), expected: *condition, actual })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(condition: Condition, actual: Option<u64>) -> bool {
        let requirement = Requirement { group: "g".into(), key: "k".into(), condition };
        require(&requirement, actual.map(Revision)).is_ok()
    }

    #[test]
    fn a_condition_holds_for_exactly_the_entries_that_it_names() {
        for (condition, absent, at_7, at_8) in [
            (Condition::Absent, true, false, false),
            (Condition::Present, false, true, true),
            (Condition::Revision(Revision(7)), false, true, false),
        ] {
            assert_eq!(holds(condition, None), absent, "{condition:?}");
            assert_eq!(holds(condition, Some(7)), at_7, "{condition:?}");
            assert_eq!(holds(condition, Some(8)), at_8, "{condition:?}");
        }
    }

    #[test]
    fn a_conflict_names_the_entry_what_was_expected_and_what_is_there() {
        let condition = Condition::Revision(Revision(7));
        let requirement = Requirement { group: "g".into(), key: "k".into(), condition };
        let Err(Error::Conflict { group, key, expected, actual }) = require(&requirement, Some(Revision(8)))
        else {
            panic!("it holds");
        };
        assert_eq!((&*group, &*key, expected, actual), ("g", "k", condition, Some(Revision(8))));
    }
}
