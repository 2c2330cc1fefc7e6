//! One page of a B-tree: section 1.6 of "Database File Format" in SQLite's documentation.
//!
//! Nothing here trusts a page: what does not fit is `None`.

use std::cmp::Ordering;

use super::record;

/// What kind of tree a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// Its records are its keys: a table without rowids.
    Index,
    /// Its keys are rowids.
    Table,
}

/// A page that was found to begin as a page of a tree.
#[derive(Clone, Copy)]
pub(super) struct Page<'p> {
    bytes: &'p [u8],
    /// The bytes that a page has for its tree.
    usable: usize,
    /// How long a record may be that lies in one page: the formulas are SQLite's.
    most: usize,
    is_leaf: bool,
    cells: usize,
}

/// The record of a cell.
#[derive(Clone, Copy)]
pub(super) struct Payload<'p> {
    /// What lies in the page.
    pub here: &'p [u8],
    /// The length of the whole.
    pub length: usize,
    /// The first page with the rest.
    pub rest: Option<u32>,
}

impl<'p> Page<'p> {
    /// Looks at a page, of which SQLite leaves the last `reserved` bytes alone.
    pub fn of(bytes: &'p [u8], reserved: usize, wanted: Tree) -> Option<Self> {
        let (tree, is_leaf) = match bytes.first()? {
            0x02 => (Tree::Index, false),
            0x0a => (Tree::Index, true),
            0x05 => (Tree::Table, false),
            0x0d => (Tree::Table, true),
            _ => return None,
        };
        let usable = bytes.len().checked_sub(reserved).filter(|usable| *usable >= 480)?;
        let cells = usize::from(u16::from_be_bytes([*bytes.get(3)?, *bytes.get(4)?]));
        let most = match tree {
            Tree::Index => (usable - 12) * 64 / 255 - 23,
            Tree::Table => usable - 35,
        };
        let page = Self { bytes, usable, most, is_leaf, cells };
        (tree == wanted && page.pointers() + 2 * cells <= usable).then_some(page)
    }

    pub fn is_leaf(self) -> bool {
        self.is_leaf
    }

    /// How many cells it has.
    pub fn cells(self) -> usize {
        self.cells
    }

    /// Where the offsets of the cells begin.
    #[inline]
    fn pointers(self) -> usize {
        if self.is_leaf { 8 } else { 12 }
    }

    #[inline]
    fn cell(self, number: usize) -> Option<&'p [u8]> {
        let at = self.pointers() + 2 * number;
        let offset = u16::from_be_bytes([*self.bytes.get(at)?, *self.bytes.get(at + 1)?]);
        self.bytes.get(usize::from(offset)..self.usable)
    }

    /// The page with everything before a cell; after the last cell, with everything after it.
    pub fn child(self, number: usize) -> Option<u32> {
        let bytes =
            if number == self.cells { self.bytes.get(8..12)? } else { self.cell(number)?.get(..4)? };
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    /// The record of a cell of an index.
    #[inline]
    pub fn record(self, number: usize) -> Option<Payload<'p>> {
        let cell = self.cell(number)?;
        let cell = if self.is_leaf { cell } else { cell.get(4..)? };
        let (length, bytes) = record::varint(cell)?;
        self.payload(length, cell.get(bytes..)?)
    }

    /// The rowid of a cell of a table.
    fn rowid(self, number: usize) -> Option<i64> {
        let cell = self.cell(number)?;
        let skipped = if self.is_leaf { record::varint(cell)?.1 } else { 4 };
        record::varint(cell.get(skipped..)?).map(|(rowid, _)| rowid.cast_signed())
    }

    /// The record of a cell of a leaf of a table.
    pub fn row(self, number: usize) -> Option<Payload<'p>> {
        let cell = self.cell(number)?;
        let (length, bytes) = record::varint(cell)?;
        let cell = cell.get(bytes..)?;
        let (_, bytes) = record::varint(cell)?;
        self.payload(length, cell.get(bytes..)?)
    }

    /// A record, of which only the beginning lies in the page if it is long.
    #[inline]
    fn payload(self, length: u64, from: &'p [u8]) -> Option<Payload<'p>> {
        let length = usize::try_from(length).ok()?;
        if length <= self.most {
            return Some(Payload { here: from.get(..length)?, length, rest: None });
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let filling = least + (length - least) % (self.usable - 4);
        let here = if filling <= self.most { filling } else { least };
        let rest = from.get(here..here + 4)?;
        Some(Payload { here: &from[..here], length, rest: Some(u32::from_be_bytes(rest.try_into().ok()?)) })
    }

    /// The first cell that is not before what is sought, and whether it is that. `compare` compares a cell with it.
    #[inline]
    pub fn search(self, mut compare: impl FnMut(usize) -> Option<Ordering>) -> Option<(usize, bool)> {
        let (mut low, mut high) = (0, self.cells);
        while low < high {
            let middle = usize::midpoint(low, high);
            match compare(middle)? {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Some((middle, true)),
            }
        }
        Some((low, false))
    }

    /// As `search`, for a rowid.
    pub fn search_rowid(self, rowid: i64) -> Option<(usize, bool)> {
        self.search(|number| self.rowid(number).map(|found| found.cmp(&rowid)))
    }
}
