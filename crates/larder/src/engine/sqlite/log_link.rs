//! Ties a write-ahead log to its file, so that a log that lies beside another file is noticed.
//!
//! The first commit of each log writes a *link* into the table `store`: the name that the previous log gave the file,
//! and a new random one. The file itself has one of the two: the old name until the link is copied back, the new one
//! from then on. A log that names neither was written for another file, or for this file at another time.

use rusqlite::{Connection, OptionalExtension};

use super::wal_index::WalIndex;

/// How many hexadecimal digits a name or the check sum has.
const DIGITS: usize = 16;

/// What the first commit of a log says of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// The name of the file before the log; empty in a file that had none.
    before: String,
    /// The name of the file with the log.
    pub name: String,
}

impl Link {
    /// Whether a log with this link can belong to a file that has this name.
    pub fn fits(&self, file: &str) -> bool {
        self.before == file || self.name == file
    }

    fn parse(text: &str) -> Option<Self> {
        let (names, sum) = text.rsplit_once(' ')?;
        let (before, name) = names.split_once(' ')?;
        (name.len() == DIGITS && sum == check_sum(names))
            .then(|| Self { before: before.to_owned(), name: name.to_owned() })
    }
}

/// The link that a connection sees. `None` in a file of an older larder, and where a crash has left half of one.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Option<Link>> {
    let link: Option<String> = connection
        .query_row("SELECT content FROM store WHERE name = 'log_link'", [], |row| row.get(0))
        .optional()?;
    Ok(link.as_deref().and_then(Link::parse))
}

/// Links the log in the caller's transaction, if it begins with it. A log begins over only where all of it was copied
/// back, so the file itself has the name that the link calls the previous one.
pub(super) fn write_first(connection: &Connection, index: Option<&WalIndex>) -> rusqlite::Result<()> {
    if index.is_some_and(WalIndex::is_copied_back) { rename(connection) } else { Ok(()) }
}

/// Gives the file a new name, in the caller's transaction. Only a file whose log is empty may get one.
pub(super) fn rename(connection: &Connection) -> rusqlite::Result<()> {
    let before = read(connection)?.map(|link| link.name).unwrap_or_default();
    let name: String = connection.query_row("SELECT lower(hex(randomblob(8)))", [], |row| row.get(0))?;
    let names = format!("{before} {name}");
    let link = format!("{names} {}", check_sum(&names));
    connection
        .prepare_cached("INSERT OR REPLACE INTO store VALUES ('log_link', ?1)")?
        .execute([link])
        .map(drop)
}

/// A power cut in the middle of a checkpoint may leave half of a page, and so half of a link: FNV-1a tells.
fn check_sum(text: &str) -> String {
    let sum = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{sum:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_with_any_byte_changed_is_none() {
        let names = "0123456789abcdef fedcba9876543210";
        let link = format!("{names} {}", check_sum(names));
        let parsed = Link::parse(&link).unwrap();
        assert!(parsed.fits("0123456789abcdef") && parsed.fits("fedcba9876543210") && !parsed.fits(""));
        for index in 0..link.len() {
            let mut torn = link.clone().into_bytes();
            torn[index] ^= 1;
            assert_eq!(Link::parse(&String::from_utf8(torn).unwrap()), None, "{index}");
        }
        for text in ["", " ", "  ", "a b c", names] {
            assert_eq!(Link::parse(text), None, "{text:?}");
        }
    }
}
