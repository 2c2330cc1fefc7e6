//! A queue that serves its parties by turns, so that the backlog of one does not hold up the others.

use std::collections::{HashMap, VecDeque};

use super::party::Party;

/// A queue that serves its parties by turns. What one party has in it stays in order; what belongs to
/// [`Party::Several`] keeps its place among all.
pub(crate) struct Turns<T> {
    /// Never two that are served by turns in a row. The next item is in the first.
    sections: VecDeque<Section<T>>,
}

/// A part of the queue that nothing leaves before the part in front of it is empty.
enum Section<T> {
    ByTurns(Lanes<T>),
    Several(T),
}

/// What the parties have waiting. No lane is empty.
struct Lanes<T> {
    waiting: HashMap<Party, VecDeque<T>>,
    /// Who has the next turn, and so on.
    order: VecDeque<Party>,
}

/// What becomes of an item whose turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It leaves the queue.
    Take,
    /// It stays, and with it what is behind it. The next party has its turn, and this one comes first the next time.
    Pass,
    /// It stays, and so does everything else.
    Stop,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { sections: VecDeque::new() }
    }
}

impl<T> Turns<T> {
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    pub fn push(&mut self, party: Party, item: T) {
        if party == Party::Several {
            return self.sections.push_back(Section::Several(item));
        }
        if !matches!(self.sections.back(), Some(Section::ByTurns(_))) {
            let lanes = Lanes { waiting: HashMap::new(), order: VecDeque::new() };
            self.sections.push_back(Section::ByTurns(lanes));
        }
        if let Some(Section::ByTurns(lanes)) = self.sections.back_mut() {
            let lane = lanes.waiting.entry(party).or_default();
            if lane.is_empty() {
                lanes.order.push_back(party);
            }
            lane.push_back(item);
        }
    }

    /// Takes out the next item that `decide` lets go. It is asked for the first item of each party, in the order of
    /// their turns, and told whether others wait as well.
    pub fn take(&mut self, mut decide: impl FnMut(&T, bool) -> Turn) -> Option<T> {
        let others_behind = self.sections.len() > 1;
        let taken = match self.sections.front_mut()? {
            Section::Several(item) => {
                if decide(item, others_behind) != Turn::Take {
                    return None;
                }
                let Some(Section::Several(item)) = self.sections.pop_front() else { return None };
                return Some(item);
            }
            Section::ByTurns(lanes) => lanes.take(others_behind, decide)?,
        };
        if matches!(self.sections.front(), Some(Section::ByTurns(lanes)) if lanes.order.is_empty()) {
            self.sections.pop_front();
        }
        Some(taken)
    }

    /// Every item: first the one whose turn is next, and those of its party behind it.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.sections.iter().flat_map(|section| {
            let (several, lanes) = match section {
                Section::Several(item) => (Some(item), None),
                Section::ByTurns(lanes) => (None, Some(lanes)),
            };
            let of_lanes = lanes
                .into_iter()
                .flat_map(|lanes| lanes.order.iter().filter_map(|party| lanes.waiting.get(party)).flatten());
            several.into_iter().chain(of_lanes)
        })
    }
}

impl<T> Lanes<T> {
    fn take(&mut self, others_behind: bool, mut decide: impl FnMut(&T, bool) -> Turn) -> Option<T> {
        let others = others_behind || self.order.len() > 1;
        for place in 0..self.order.len() {
            let party = *self.order.get(place)?;
            let lane = self.waiting.get_mut(&party)?;
            match decide(lane.front()?, others) {
                Turn::Stop => return None,
                Turn::Pass => continue,
                Turn::Take => {}
            }
            let item = lane.pop_front()?;
            self.order.remove(place);
            if lane.is_empty() {
                self.waiting.remove(&party);
            } else {
                self.order.push_back(party);
            }
            return Some(item);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(items: &[(Party, u32)]) -> Turns<u32> {
        let mut turns = Turns::default();
        for (party, item) in items {
            turns.push(*party, *item);
        }
        turns
    }

    fn drained(mut turns: Turns<u32>) -> Vec<u32> {
        let items = std::iter::from_fn(|| turns.take(|_, _| Turn::Take)).collect();
        assert!(turns.is_empty());
        items
    }

    const A: Party = Party::Namespace(1);
    const B: Party = Party::Namespace(2);

    #[test]
    fn a_party_with_a_backlog_waits_for_the_others_after_each_item() {
        assert_eq!(drained(queue(&[(A, 1), (A, 2), (A, 3), (B, 10), (B, 11)])), [1, 10, 2, 11, 3]);
    }

    #[test]
    fn nothing_overtakes_what_belongs_to_several_parties_and_it_overtakes_nothing() {
        let items = [(A, 1), (A, 2), (B, 10), (Party::Several, 50), (B, 11), (A, 3)];
        assert_eq!(drained(queue(&items)), [1, 10, 2, 50, 11, 3]);
    }

    #[test]
    fn who_is_passed_over_comes_first_the_next_time() {
        let mut turns = queue(&[(A, 1), (B, 10), (B, 11)]);
        let small = |item: &u32, _| if *item < 10 { Turn::Pass } else { Turn::Take };
        assert_eq!(turns.take(small), Some(10));
        assert_eq!(turns.take(small), Some(11));
        assert_eq!(turns.take(small), None);
        assert_eq!(turns.iter().collect::<Vec<_>>(), [&1]);
        assert_eq!(drained(turns), [1]);
    }

    #[test]
    fn an_item_that_stops_the_others_stays_first() {
        let mut turns = queue(&[(A, 1), (B, 10)]);
        assert_eq!(turns.take(|_, _| Turn::Stop), None);
        assert_eq!(drained(turns), [1, 10]);
    }

    #[test]
    fn each_item_is_asked_for_knowing_whether_others_wait() {
        let mut turns = queue(&[(A, 1), (A, 2), (B, 10)]);
        let mut asked = Vec::new();
        while turns
            .take(|_, others| {
                asked.push(others);
                Turn::Take
            })
            .is_some()
        {}
        assert_eq!(asked, [true, true, false]);
    }
}
