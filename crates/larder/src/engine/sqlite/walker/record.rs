//! Records: section 2 of "Database File Format" in SQLite's documentation.

/// The value of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Column<'r> {
    Null,
    Integer(i64),
    Text(&'r [u8]),
    Blob(&'r [u8]),
}

/// An integer of one to nine bytes, and how many it has.
#[inline]
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    // Nearly all have one byte.
    match bytes.first() {
        Some(byte) if *byte < 0x80 => return Some((u64::from(*byte), 1)),
        Some(_) => {}
        None => return None,
    }
    let mut value = 0;
    for (at, byte) in bytes.iter().take(8).enumerate() {
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    Some((value << 8 | u64::from(*bytes.get(8)?), 9))
}

/// Reads the columns of a record one after the other.
pub(super) struct Columns<'r> {
    /// The kinds of the columns that follow.
    kinds: &'r [u8],
    content: &'r [u8],
}

impl<'r> Columns<'r> {
    /// The columns of a record, of which only the beginning may be there.
    #[inline]
    pub fn of(record: &'r [u8]) -> Option<Self> {
        let (length, from) = varint(record)?;
        let (header, content) = record.split_at_checked(usize::try_from(length).ok()?)?;
        Some(Self { kinds: header.get(from..)?, content })
    }

    /// The next column. `None` where there is none, where not all of it is there, and for a number with a fraction, which
    /// larder never writes.
    #[inline]
    pub fn next(&mut self) -> Option<Column<'r>> {
        let (kind, bytes) = varint(self.kinds)?;
        self.kinds = self.kinds.get(bytes..)?;
        let length = match kind {
            0 => return Some(Column::Null),
            8 => return Some(Column::Integer(0)),
            9 => return Some(Column::Integer(1)),
            1..=4 => kind,
            5 => 6,
            6 => 8,
            7 | 10 | 11 => return None,
            kind => (kind - 12) / 2,
        };
        let (value, rest) = self.content.split_at_checked(usize::try_from(length).ok()?)?;
        self.content = rest;
        Some(match kind {
            ..=6 => Column::Integer(integer(value)),
            kind if kind % 2 == 0 => Column::Blob(value),
            _ => Column::Text(value),
        })
    }

    #[inline]
    pub fn text(&mut self) -> Option<&'r [u8]> {
        match self.next()? {
            Column::Text(text) => Some(text),
            _ => None,
        }
    }

    #[inline]
    pub fn integer(&mut self) -> Option<i64> {
        match self.next()? {
            Column::Integer(number) => Some(number),
            _ => None,
        }
    }

    #[inline]
    pub fn integer_or_null(&mut self) -> Option<Option<i64>> {
        match self.next()? {
            Column::Integer(number) => Some(Some(number)),
            Column::Null => Some(None),
            _ => None,
        }
    }
}

/// A number in two's complement, the highest byte first.
#[inline]
fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    bytes.iter().fold(if negative { -1 } else { 0 }, |number, byte| number << 8 | i64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_length_are_read_as_sqlite_writes_them() {
        assert_eq!(varint(&[0x7f, 1]), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00]), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, 9)));
        assert_eq!((varint(&[0xff; 8]), varint(&[])), (None, None));
        for number in [0, 1, -1, 127, -128, 128, i64::from(i32::MIN), 1 << 40, i64::MAX, i64::MIN] {
            let bytes = number.to_be_bytes();
            assert_eq!(integer(&bytes), number);
            let short: Vec<u8> = bytes[bytes.iter().take_while(|byte| **byte == 0).count().min(7)..].to_vec();
            assert!(number < 0 || short[0] & 0x80 != 0 || integer(&short) == number);
        }
        assert_eq!((integer(&[0xff]), integer(&[0xff, 0x7f]), integer(&[])), (-1, -129, 0));
    }

    #[test]
    fn a_record_that_says_too_much_has_no_columns() {
        // Two columns: the text "ab", and an integer of one byte.
        let record = [3, 17, 1, b'a', b'b', 7];
        let mut columns = Columns::of(&record).unwrap();
        assert_eq!((columns.text(), columns.integer()), (Some(&b"ab"[..]), Some(7)));
        assert!(columns.next().is_none());
        for length in 0..record.len() {
            let whole = Columns::of(&record[..length]).and_then(|mut columns| {
                columns.text()?;
                columns.integer()
            });
            assert_eq!(whole, None, "{length}");
        }
        for kind in [7, 10, 11] {
            assert!(Columns::of(&[2, kind, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap().next().is_none());
        }
    }
}
