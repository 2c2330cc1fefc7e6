//! The pages of one moment. Some that were read are kept until the next moment.

use crate::engine::sabotage::{Sabotage, is_planted};

/// From where pages are read.
pub(super) trait Source {
    /// Reads a page. Returns whether all of it was there.
    fn read(&self, number: u32, into: &mut [u8]) -> bool;
}

/// How many bytes of branches are kept at most, of the entries' leaves, and of pages with large values.
const BRANCH_BYTES: usize = 1 << 20;
const LEAF_BYTES: usize = 2 << 20;
const VALUE_BYTES: usize = 1 << 19;

/// How many buffers of pages that are not kept wait for the next.
const SPARE: usize = 4;

/// What a page belongs to.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Entries,
    LargeValues,
}

/// Pages that were read. Branches, the entries' leaves and pages with large values have places of their own: what there is
/// more of does not drive out what is wanted more often.
#[derive(Default)]
pub(super) struct Pages {
    page_bytes: usize,
    /// Counts moments.
    moment: u64,
    branches: Vec<Place>,
    leaves: Vec<Place>,
    values: Vec<Place>,
    spare: Vec<Box<[u8]>>,
}

#[derive(Clone, Default)]
struct Place {
    number: u32,
    moment: u64,
    /// Empty while it is lent, and before the first page.
    bytes: Box<[u8]>,
}

impl Place {
    fn take(&mut self, number: u32, moment: u64) -> Option<Box<[u8]>> {
        let is_it = self.number == number && self.moment == moment && !self.bytes.is_empty();
        is_it.then(|| std::mem::take(&mut self.bytes))
    }
}

/// A page that was read, to be given back.
pub(super) struct Lent {
    pub number: u32,
    pub bytes: Box<[u8]>,
    part: Part,
    /// Whether it is kept for the next that wants it.
    keeps: bool,
}

impl Pages {
    /// Forgets what was read of another moment.
    pub fn begin_moment(&mut self, page_bytes: usize) {
        if !is_planted(Sabotage::WalkerKeepsPages) {
            self.moment += 1;
        }
        if self.page_bytes != page_bytes {
            let places = |bytes: usize| vec![Place::default(); (bytes / page_bytes.max(1)).max(1)];
            let (branches, leaves, values) = (places(BRANCH_BYTES), places(LEAF_BYTES), places(VALUE_BYTES));
            *self = Self { page_bytes, moment: self.moment, branches, leaves, values, spare: Vec::new() };
        }
    }

    fn leaves_of(&mut self, part: Part) -> &mut Vec<Place> {
        match part {
            Part::Entries => &mut self.leaves,
            Part::LargeValues => &mut self.values,
        }
    }

    /// A page: one that is kept, or one that is read now, which is then kept only if `keeps` says so.
    pub fn lend(&mut self, source: &impl Source, part: Part, number: u32, keeps: bool) -> Option<Lent> {
        let moment = self.moment;
        let branch = place(&mut self.branches, number)?;
        let mut kept = branch.take(number, moment);
        let leaf = place(self.leaves_of(part), number)?;
        kept = kept.or_else(|| leaf.take(number, moment));
        if let Some(bytes) = kept {
            return Some(Lent { number, bytes, part, keeps: true });
        }
        let mut bytes =
            if keeps { std::mem::take(&mut leaf.bytes) } else { self.spare.pop().unwrap_or_default() };
        if bytes.len() != self.page_bytes {
            bytes = vec![0; self.page_bytes].into();
        }
        source.read(number, &mut bytes).then_some(Lent { number, bytes, part, keeps })
    }

    /// Takes a page back. One that is kept takes the place of another.
    pub fn give_back(&mut self, Lent { number, bytes, part, keeps }: Lent, is_leaf: bool) {
        if !keeps {
            if self.spare.len() < SPARE {
                self.spare.push(bytes);
            }
            return;
        }
        let moment = self.moment;
        let places = if is_leaf { self.leaves_of(part) } else { &mut self.branches };
        if let Some(place) = place(places, number) {
            *place = Place { number, moment, bytes };
        }
    }
}

/// The place that a page may have.
fn place(places: &mut [Place], number: u32) -> Option<&mut Place> {
    let at = (number as usize).checked_rem(places.len())?;
    places.get_mut(at)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Has every page, and counts how many were read.
    #[derive(Default)]
    struct Counting(Cell<usize>);

    impl Source for Counting {
        fn read(&self, _: u32, _: &mut [u8]) -> bool {
            self.0.set(self.0.get() + 1);
            true
        }
    }

    #[test]
    fn many_pages_with_large_values_drive_out_no_page_of_an_entry() {
        let (source, mut pages) = (Counting::default(), Pages::default());
        pages.begin_moment(4096);
        let mut read = |part, number, is_leaf| {
            let lent = pages.lend(&source, part, number, true);
            pages.give_back(lent.unwrap(), is_leaf);
            source.0.get()
        };
        assert_eq!(read(Part::Entries, 2, false), 1);
        assert_eq!(read(Part::Entries, 3, true), 2);
        for number in 4..2004 {
            read(Part::LargeValues, number, true);
        }
        assert_eq!(read(Part::Entries, 2, false), 2002);
        assert_eq!(read(Part::Entries, 3, true), 2002);
        // The last of them is still there, too.
        assert_eq!(read(Part::LargeValues, 2003, true), 2002);
    }
}
