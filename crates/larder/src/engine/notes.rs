//! Notes that larder keeps for itself in a store: no call of a user reads or writes them.

/// The group that held the notes before they had a place of their own, where anyone could write them.
pub(crate) const FORMER_NOTES: &str = "larder.copies";

/// Whether an entry of [`FORMER_NOTES`] is a note: its name begins with the identity of a store.
pub(crate) fn is_former_note(name: &str, content: &[u8], expires_at_ms: Option<i64>) -> bool {
    let begins_with_identity = name.split_once(' ').is_some_and(|(identity, rest)| {
        identity.len() == 32 && identity.bytes().all(|byte| byte.is_ascii_hexdigit()) && rest.starts_with('"')
    });
    begins_with_identity && expires_at_ms.is_none() && std::str::from_utf8(content).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_note_by_its_name_alone() {
        let name = "0123456789abcdef0123456789abcdef \"\" \"\"";
        assert!(is_former_note(name, b"token", None));
        assert!(!is_former_note(name, b"token", Some(1)) && !is_former_note(name, b"\xff", None));
        for name in [
            "",
            "mine",
            "0123456789abcdef0123456789abcdeg \"\" \"\"",
            "0123456789abcdef0123456789abcdef mine",
        ] {
            assert!(!is_former_note(name, b"token", None), "{name}");
        }
    }
}
