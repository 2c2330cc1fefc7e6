//! What a move makes of a named cursor.

use crate::data::{Error, LogPosition, Result};
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

/// What a move makes of the cursor `name`, which is stored at `stored`, or not at all.
///
/// # Errors
/// [`Error::NoCursor`] where an event is acknowledged on a cursor that does not exist.
pub(crate) fn move_cursor(name: &str, stored: Option<LogPosition>, to: CursorMove) -> Result<CursorChange> {
    Ok(match (to, stored) {
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
        let stored = Some(LogPosition::after(Revision(3)));
        for to in [CursorMove::Begin(None), CursorMove::Begin(Some(LogPosition::after(Revision(9))))] {
            assert_eq!(move_cursor("c", stored, to).unwrap(), CursorChange::Keep);
        }
        assert_eq!(move_cursor("c", None, CursorMove::Begin(None)).unwrap(), CursorChange::PutAtLatest);
    }

    #[test]
    fn forgetting_a_cursor_that_does_not_exist_changes_nothing() {
        assert_eq!(move_cursor("c", None, CursorMove::Forget).unwrap(), CursorChange::Keep);
    }

    proptest! {
        #[test]
        fn acknowledging_never_moves_a_cursor_back(stored in position(), to in position()) {
            let change = move_cursor("c", Some(stored), CursorMove::Acknowledge(to)).unwrap();
            let expected = if to > stored { CursorChange::Put(to) } else { CursorChange::Keep };
            prop_assert_eq!(change, expected);
        }

        #[test]
        fn seeking_moves_a_cursor_anywhere(stored in prop::option::of(position()), to in position()) {
            prop_assert_eq!(move_cursor("c", stored, CursorMove::Seek(to)).unwrap(), CursorChange::Put(to));
        }

        #[test]
        fn only_a_cursor_that_exists_can_be_acknowledged(to in position()) {
            let refused = move_cursor("c", None, CursorMove::Acknowledge(to));
            let is_no_cursor = matches!(refused, Err(Error::NoCursor { name }) if name == "c");
            prop_assert!(is_no_cursor);
        }
    }
}
