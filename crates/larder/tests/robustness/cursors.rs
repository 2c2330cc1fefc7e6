//! Over all its lives, a cursor continues after its last acknowledged event: the last that the store still knows of.

use super::eras::Eras;
use super::feed::Feed;
use super::listeners::{Listener, Segment, common_prefix};
use super::record::ReceivedEvent;

/// What is known of one cursor.
#[derive(Default)]
pub struct CursorCheck {
    /// How the position in the store has changed, in the order of the eras.
    moves: Vec<Move>,
}

/// Something by which the store may remember a later position.
#[derive(Clone, Copy, Debug)]
struct Move {
    era: usize,
    began_ns: u64,
    /// When it had certainly happened.
    done_ns: Option<u64>,
    /// The position in the feed is at least this once it has happened, and at most the other.
    least: usize,
    most: usize,
}

impl CursorCheck {
    /// Checks what the lives of the cursor have received in an era. The eras come in order.
    pub fn check(&mut self, era: usize, lives: &[&Listener], feed: &Feed, eras: &Eras) -> Vec<String> {
        let events: Vec<&ReceivedEvent> = feed.events().collect();
        let mut wrong = Vec::new();
        let count_to = |revision: u64| events.partition_point(|event| event.revision <= revision);
        // The positions at which the next life may begin.
        let mut starts = self.starts(era, eras, count_to(feed.fork()));
        let before = lives.iter().flat_map(|life| &life.segments).filter(|segment| segment.era + 1 == era);
        for revision in before.flat_map(|segment| &segment.late) {
            starts = starts.map(|(least, most)| (least, most.max(count_to(*revision))));
        }
        for life in lives {
            for segment in life.segments.iter().filter(|segment| segment.era == era) {
                let Some(begin) = position(&events, segment, starts) else { continue };
                if segment.resumes
                    && !segment.is_unsettled
                    && feed.is_whole()
                    && let Some((least, most)) = starts
                    && !(least..=most).contains(&begin)
                {
                    wrong.push(format!(
                        "{}, era {era}: began with {:?}, event {begin} of the feed, instead of one of {least} to {most}",
                        life.name, segment.events[0]
                    ));
                }
                if starts.is_none() {
                    self.note(
                        &mut starts,
                        Move {
                            era,
                            began_ns: life.began_ns,
                            done_ns: Some(life.began_ns),
                            least: begin,
                            most: begin,
                        },
                    );
                }
                for acknowledgement in &segment.acknowledgements {
                    let (count, done_ns) = (acknowledgement.count, acknowledgement.done_ns);
                    // Of two equal events in one commit, assume that the first was acknowledged.
                    let first = segment.events.get(count - 1).and_then(|event| equals(&events, event).next());
                    let least = first.filter(|_| done_ns.is_some()).map_or(0, |first| first + 1);
                    let (began_ns, most) = (acknowledgement.began_ns, begin + count);
                    self.note(&mut starts, Move { era, began_ns, done_ns, least, most });
                }
            }
            // A cursor skips compacted events, so the position moves beyond them.
            for gap in life.gaps.iter().filter(|gap| gap.era == era) {
                let most = count_to(gap.oldest);
                self.note(&mut starts, Move { era, began_ns: gap.at_ns, done_ns: None, least: 0, most });
            }
        }
        wrong
    }

    fn note(&mut self, starts: &mut Option<(usize, usize)>, next: Move) {
        self.moves.push(next);
        let (least, most) = starts.unwrap_or((next.least, next.most));
        *starts = Some((least.max(next.least), most.max(next.most)));
    }

    /// The positions of which the store that an era began with remembers one. `shared` is the number of events that
    /// this era has in common with the one that was saved.
    fn starts(&self, era: usize, eras: &Eras, shared: usize) -> Option<(usize, usize)> {
        let mut starts: Option<(usize, usize)> = None;
        let (mut current, mut certain_ns, mut possible_ns) = (era, u64::MAX, u64::MAX);
        while let Some(restore) = eras.beginning(current) {
            (current, certain_ns, possible_ns) = (
                restore.save.era,
                certain_ns.min(restore.save.at_ns.0),
                possible_ns.min(restore.save.at_ns.1),
            );
            for made in self.moves.iter().filter(|made| made.era == current && made.began_ns <= possible_ns) {
                let least = made.done_ns.filter(|done_ns| *done_ns <= certain_ns).map_or(0, |_| made.least);
                let (known, most) = starts.unwrap_or((least, made.most));
                starts = Some((known.max(least), most.max(made.most)));
            }
        }
        // What was going on during the restore may have been acknowledged after it.
        let crossing = self.moves.iter().filter(|made| {
            made.era + 1 == era
                && made.most <= shared
                && eras.crosses_beginning(era, (made.began_ns, made.done_ns.unwrap_or(u64::MAX)))
        });
        let crossing = crossing.map(|made| made.most).max();
        starts.map(|(least, most)| (least.min(shared), most.max(crossing.unwrap_or_default()).min(shared)))
    }
}

/// The places of an event in the feed: a commit may have equal ones, of a key that was deleted, set and deleted again.
fn equals(events: &[&ReceivedEvent], event: &ReceivedEvent) -> impl Iterator<Item = usize> {
    let start = events.partition_point(|other| other.revision < event.revision);
    let end = events.partition_point(|other| other.revision <= event.revision);
    (start..end).filter(|index| events[*index] == event).collect::<Vec<_>>().into_iter()
}

/// Where the events of a segment fit best; of several such positions, one where the cursor may begin.
fn position(events: &[&ReceivedEvent], segment: &Segment, starts: Option<(usize, usize)>) -> Option<usize> {
    let received: Vec<&ReceivedEvent> = segment.events.iter().collect();
    let may_begin = |start: usize| starts.is_some_and(|(least, most)| (least..=most).contains(&start));
    let fit = |start: &usize| (common_prefix(&events[*start..], &received), may_begin(*start));
    equals(events, received.first()?).max_by_key(fit)
}
