//! The pages of one moment. Some that were read are kept until the next moment.

use crate::engine::sabotage::{Sabotage, is_planted};

/// From where pages are read.
pub(super) trait Source {
    /// Reads a page. Returns whether all of it was there.
    fn read(&self, number: u32, into: &mut [u8]) -> bool;
}

/// How many bytes of branches are kept at most, and of leaves.
const BRANCH_BYTES: usize = 1 << 20;
const LEAF_BYTES: usize = 2 << 20;

/// How many buffers of pages that are not kept wait for the next.
const SPARE: usize = 4;

/// Pages that were read. There are two places for a page, so that leaves, which are many, do not drive out the branches
/// above them.
#[derive(Default)]
pub(super) struct Pages {
    page_bytes: usize,
    /// Counts moments.
    moment: u64,
    branches: Vec<Place>,
    leaves: Vec<Place>,
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
            let (branches, leaves) = (places(BRANCH_BYTES), places(LEAF_BYTES));
            *self = Self { page_bytes, moment: self.moment, branches, leaves, spare: Vec::new() };
        }
    }

    /// A page: one that is kept, or one that is read now, which is then kept only if `keeps` says so.
    pub fn lend(&mut self, source: &impl Source, number: u32, keeps: bool) -> Option<Lent> {
        let (in_branches, in_leaves) = (place(&self.branches, number)?, place(&self.leaves, number)?);
        let (branch, leaf) = (&mut self.branches[in_branches], &mut self.leaves[in_leaves]);
        let kept = branch.take(number, self.moment).or_else(|| leaf.take(number, self.moment));
        if let Some(bytes) = kept {
            return Some(Lent { number, bytes, keeps: true });
        }
        let mut bytes =
            if keeps { std::mem::take(&mut leaf.bytes) } else { self.spare.pop().unwrap_or_default() };
        if bytes.len() != self.page_bytes {
            bytes = vec![0; self.page_bytes].into();
        }
        source.read(number, &mut bytes).then_some(Lent { number, bytes, keeps })
    }

    /// Takes a page back. One that is kept takes the place of another.
    pub fn give_back(&mut self, Lent { number, bytes, keeps }: Lent, is_leaf: bool) {
        if !keeps {
            if self.spare.len() < SPARE {
                self.spare.push(bytes);
            }
            return;
        }
        let places = if is_leaf { &mut self.leaves } else { &mut self.branches };
        if let Some(at) = place(places, number) {
            places[at] = Place { number, moment: self.moment, bytes };
        }
    }
}

/// Which of the places a page may have.
fn place(places: &[Place], number: u32) -> Option<usize> {
    (number as usize).checked_rem(places.len())
}
