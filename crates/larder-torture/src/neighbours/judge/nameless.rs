//! The writes that the log does not name, such as a delete that did not say its revision.
//!
//! Several writes may fit one revision, and one write may fit several. So they are matched at the end: each revision needs
//! a writer, and each acknowledged write a revision.

use std::collections::BTreeSet;

use super::held::Row;
use super::state::State;
use super::{Window, fit};
use crate::neighbours::history::{Asked, Told};

/// A revision that a nameless write has made.
struct Place {
    revision: u64,
    rows: String,
    /// Those that may have made it.
    writers: Vec<usize>,
}

pub struct Nameless<'a> {
    writes: Vec<Window<'a>>,
    /// How many of them had begun at the revision that was looked at last.
    begun: usize,
    /// Those whose time is not over.
    active: Vec<usize>,
    places: Vec<Place>,
}

impl<'a> Nameless<'a> {
    pub fn new(mut writes: Vec<Window<'a>>) -> Self {
        writes.sort_by_key(|write| write.first);
        Self { writes, begun: 0, active: Vec::new(), places: Vec::new() }
    }

    /// Finds the writes that may have made these rows of the log.
    pub fn look(&mut self, state: &State, revision: u64, rows: &[&Row]) {
        let begun = self.writes.partition_point(|write| write.first < revision);
        self.active.extend(self.begun..begun);
        self.begun = begun;
        self.active.retain(|write| self.writes[*write].last >= revision);
        let may_be = |write: &&usize| {
            let Window { record, .. } = &self.writes[**write];
            let Asked::Write { seen, effects } = &record.asked else { return false };
            fit(&state.after(revision, effects), rows)
                && seen.iter().all(|look| state.shows(look, record.wall))
        };
        let writers = self.active.iter().filter(may_be).copied().collect();
        self.places.push(Place { revision, rows: format!("{rows:?}"), writers });
    }

    /// Complains of acknowledged writes that have no revision, and of revisions that have no writer.
    pub fn complain(self, wrong: &mut Vec<String>) {
        let writers: Vec<_> = self.places.iter().map(|place| place.writers.clone()).collect();
        let mut places = vec![Vec::new(); self.writes.len()];
        for (place, writers) in writers.iter().enumerate() {
            writers.iter().for_each(|write| places[*write].push(place));
        }
        let (mut place_of, mut writer_of) = (vec![None; places.len()], vec![None; writers.len()]);
        for (write, Window { record, first, last }) in self.writes.iter().enumerate() {
            let must_be = matches!(record.told, Told::Done(_));
            if must_be && !share(write, &places, &mut place_of, &mut writer_of, &mut BTreeSet::new()) {
                wrong.push(format!(
                    "an acknowledged write is not in the log between revisions {first} and {last}: {record:?}"
                ));
            }
        }
        // A write that is matched stays matched, although perhaps with another revision.
        for (place, Place { revision, rows, .. }) in self.places.iter().enumerate() {
            let has_writer = writer_of[place].is_some()
                || share(place, &writers, &mut writer_of, &mut place_of, &mut BTreeSet::new());
            if !has_writer {
                wrong.push(format!("nobody wrote revision {revision}: {rows}"));
            }
        }
    }
}

/// Matches `one` with a partner that it may have. Others change their partners for that if they can. False if there is no
/// way: a path of a bipartite matching.
fn share(
    one: usize,
    may_have: &[Vec<usize>],
    partners: &mut [Option<usize>],
    of_others: &mut [Option<usize>],
    asked: &mut BTreeSet<usize>,
) -> bool {
    for &other in &may_have[one] {
        if !asked.insert(other) {
            continue;
        }
        let is_free = match of_others[other] {
            None => true,
            Some(partner) => share(partner, may_have, partners, of_others, asked),
        };
        if is_free {
            (partners[one], of_others[other]) = (Some(other), Some(one));
            return true;
        }
    }
    false
}
