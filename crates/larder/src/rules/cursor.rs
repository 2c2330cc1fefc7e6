//! What a move makes of a named cursor.

use crate::data::{Error, LogPosition, Resource, Result};
use crate::engine::CursorMove;

/// What is to be stored for a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CursorChange {
    /// Nothing changes.
    Keep,
    /// It is stored at this position.
    Put(LogPosition),
    /// It is stored after the latest commit.
    PutAtLatest,
    /// It is deleted.
    Delete,
}

/// What a move makes of the cursor `name`, which is stored at `stored`, or not at all. `has_new_pattern` is whether it
/// wants something else from now on.
///
/// # Errors
/// [`Error::NoCursor`] where an event is acknowledged on a cursor that does not exist.
pub(crate) fn move_cursor(
    name: &str,
    stored: Option<LogPosition>,
    to: CursorMove,
    has_new_pattern: bool,
) -> Result<CursorChange> {
    Ok(match (to, stored) {
        (CursorMove::Begin(_), Some(stored)) if has_new_pattern => CursorChange::Put(stored),
        (CursorMove::Begin(_), Some(_)) | (CursorMove::Forget, None) => CursorChange::Keep,
        (CursorMove::Begin(Some(position)), None) | (CursorMove::Seek(position), _) => {
            CursorChange::Put(position)
        }
        (CursorMove::Begin(None), None) => CursorChange::PutAtLatest,
        (CursorMove::Acknowledge(position), Some(stored)) if position <= stored => CursorChange::Keep,
        (CursorMove::Acknowledge(position), Some(_)) => CursorChange::Put(position),
        (CursorMove::Acknowledge(_), None) => return Err(Error::NoCursor { name: name.to_owned() }),
        (CursorMove::Forget, Some(_)) => CursorChange::Delete,
    })
}

/// How many bytes the cursors of one namespace may take. It has no setting: a program with more consumers than that in
/// one namespace names them carelessly.
pub(crate) const CURSOR_BYTES_MAX: u64 = 1 << 20;

/// What each cursor takes besides its name and its pattern, in bytes.
const CURSOR_BYTES: u64 = 48;

/// How many bytes a cursor counts: `name` and `pattern` are how long those are.
pub(crate) fn cursor_bytes(name: usize, pattern: usize) -> u64 {
    CURSOR_BYTES.saturating_add(name as u64).saturating_add(pattern as u64)
}

/// Whether a namespace may have a cursor of `new` bytes instead of one of `old`, or of none. All of its cursors have
/// `before` bytes.
///
/// # Errors
/// [`Error::QuotaExceeded`] where they would have too many, and more than before.
pub(crate) fn admit_cursor(namespace: &str, before: u64, old: u64, new: u64) -> Result<()> {
    let after = before.saturating_sub(old).saturating_add(new);
    if after <= CURSOR_BYTES_MAX || after <= before {
        return Ok(());
    }
    Err(Error::QuotaExceeded {
        namespace: namespace.to_owned(),
        resource: Resource::CursorBytes,
        limit: CURSOR_BYTES_MAX,
        wanted: after,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::Revision;

    fn position() -> impl Strategy<Value = LogPosition> {
        (0..5_u64, prop_oneof![0..3_u64, Just(u64::MAX)])
            .prop_map(|(revision, step)| LogPosition { revision: Revision(revision), step })
    }

    #[test]
    fn a_cursor_that_exists_begins_where_it_is() {
        let position = LogPosition::after(Revision(3));
        let stored = Some(position);
        for to in [CursorMove::Begin(None), CursorMove::Begin(Some(LogPosition::after(Revision(9))))] {
            assert_eq!(move_cursor("c", stored, to, false).unwrap(), CursorChange::Keep);
            let change = move_cursor("c", stored, to, true).unwrap();
            assert_eq!(change, CursorChange::Put(position), "its pattern is stored");
        }
        assert_eq!(move_cursor("c", None, CursorMove::Begin(None), true).unwrap(), CursorChange::PutAtLatest);
    }

    #[test]
    fn forgetting_a_cursor_that_does_not_exist_changes_nothing() {
        assert_eq!(move_cursor("c", None, CursorMove::Forget, false).unwrap(), CursorChange::Keep);
    }

    #[test]
    fn cursors_fit_up_to_the_limit_and_may_shrink_beyond_it() {
        let (most, one) = (CURSOR_BYTES_MAX, cursor_bytes(6, 10));
        assert_eq!(one, 64);
        assert!(admit_cursor("t", most - one, 0, one).is_ok());
        assert!(admit_cursor("t", most - one + 1, 0, one).is_err());
        assert!(admit_cursor("t", most, one, one).is_ok());
        assert!(admit_cursor("t", 2 * most, one, one).is_ok(), "a cursor that exists may go on");
        assert!(admit_cursor("t", 2 * most, one, one + 1).is_err());
        assert!(admit_cursor("t", u64::MAX, u64::MAX, u64::MAX).is_ok());
    }

    proptest! {
        #[test]
        fn acknowledging_never_moves_a_cursor_back(stored in position(), to in position()) {
            let change = move_cursor("c", Some(stored), CursorMove::Acknowledge(to), false).unwrap();
            let expected = if to > stored { CursorChange::Put(to) } else { CursorChange::Keep };
            prop_assert_eq!(change, expected);
        }

        #[test]
        fn seeking_moves_a_cursor_anywhere(stored in prop::option::of(position()), to in position()) {
            prop_assert_eq!(move_cursor("c", stored, CursorMove::Seek(to), false).unwrap(), CursorChange::Put(to));
        }

        #[test]
        fn only_a_cursor_that_exists_can_be_acknowledged(to in position()) {
            let refused = move_cursor("c", None, CursorMove::Acknowledge(to), false);
            let is_no_cursor = matches!(refused, Err(Error::NoCursor { name }) if name == "c");
            prop_assert!(is_no_cursor);
        }
    }
}
