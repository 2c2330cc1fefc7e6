//! What each listener has heard, held against the feed: in order, complete, and once.

use super::feed::Feed;
use super::record::{Heard, Record, Scope};

/// What one listener has heard in its life.
pub struct Listened {
    pub name: String,
    pub scope: Scope,
    /// Of a cursor, which may begin anywhere after what was acknowledged.
    pub cursor: Option<String>,
    /// From one gap to the next.
    pub segments: Vec<Segment>,
    pub gaps: Vec<Gap>,
    pub reached_end: bool,
    pub troubles: u64,
}

/// What was heard without a gap.
#[derive(Default)]
pub struct Segment {
    /// It begins after this revision, where that is known.
    pub after: Option<u64>,
    pub heard: Vec<Heard>,
    /// How many had been heard each time that an acknowledgement began, and whether it is known to have
    /// been written.
    pub acknowledgements: Vec<(usize, bool)>,
    /// Whether nothing more can have come of the last revision.
    pub closed: bool,
}

pub struct Gap {
    pub oldest: u64,
    pub at_ns: u64,
    /// The last revision that was heard before it, or after which it began.
    pub last: Option<u64>,
}

impl Segment {
    /// After which revision and up to which everything of its scope was heard.
    pub fn whole(&self) -> Option<(u64, u64)> {
        let last = self.heard.last()?.revision;
        let after = self.after.unwrap_or(self.heard[0].revision);
        let until = if self.closed { last } else { last - 1 };
        (after < until).then_some((after, until))
    }

    fn last(&self) -> Option<u64> {
        self.heard.last().map(|event| event.revision).or(self.after)
    }
}

/// Sorts what a client has noted by who has heard it.
pub fn listened(client: u64, life: u64, records: &[Record]) -> Vec<Listened> {
    let mut all: Vec<(String, Listened)> = Vec::new();
    for record in records {
        if let Record::Listens { listener, pattern, after } = record {
            let first = Segment { after: *after, ..Segment::default() };
            all.push((
                listener.clone(),
                Listened {
                    name: format!("{listener} of {client}.{life}"),
                    scope: pattern.clone(),
                    cursor: listener.starts_with("cursor").then(|| listener.clone()),
                    segments: vec![first],
                    gaps: Vec::new(),
                    reached_end: false,
                    troubles: 0,
                },
            ));
            continue;
        }
        let (Record::Heard { listener, .. }
        | Record::Gap { listener, .. }
        | Record::Acknowledges { listener }
        | Record::Acknowledged { listener }
        | Record::Trouble { listener, .. }
        | Record::Reached { listener }) = record
        else {
            continue;
        };
        let found = all.iter_mut().find(|(name, _)| name == listener);
        let Some((_, listened)) = found else { continue };
        let segment = listened.segments.last_mut().unwrap();
        match record {
            Record::Heard { event, .. } => segment.heard.push(event.clone()),
            Record::Gap { oldest, at_ns, .. } => {
                let last = segment.last();
                listened.gaps.push(Gap { oldest: *oldest, at_ns: *at_ns, last });
                listened.segments.push(Segment { after: Some(*oldest), ..Segment::default() });
            }
            Record::Acknowledges { .. } => segment.acknowledgements.push((segment.heard.len(), false)),
            Record::Acknowledged { .. } => segment.acknowledgements.last_mut().unwrap().1 = true,
            Record::Trouble { .. } => listened.troubles += 1,
            Record::Reached { .. } => {
                segment.closed = true;
                listened.reached_end = true;
            }
            _ => {}
        }
    }
    all.into_iter().map(|(_, listened)| listened).collect()
}

impl Listened {
    /// What is wrong with what it has heard.
    pub fn check(&self, feed: &Feed, compactions: &[(u64, u64)]) -> Vec<String> {
        let parts = self.segments.iter().filter_map(|segment| self.check_segment(segment, feed));
        let gaps = self.gaps.iter().filter_map(|gap| self.check_gap(gap, feed, compactions));
        parts.chain(gaps).map(|what| format!("{}: {what}", self.name)).collect()
    }

    fn check_segment(&self, segment: &Segment, feed: &Feed) -> Option<String> {
        let heard = &segment.heard;
        let (first, last) = (heard.first()?, heard.last()?);
        if let Some(pair) = heard.windows(2).find(|pair| pair[0].revision > pair[1].revision) {
            return Some(format!("out of order: {pair:?}"));
        }
        let after = segment.after.unwrap_or(first.revision - 1);
        if first.revision <= after {
            return Some(format!("heard {first:?}, and began after {after}"));
        }
        let mut expected = feed.between(&self.scope, after, last.revision);
        // What nobody heard of without a gap, nobody can be held against.
        expected.retain(|event| feed.covers(event.revision));
        let heard: Vec<&Heard> = heard.iter().filter(|event| feed.covers(event.revision)).collect();
        if segment.after.is_none() {
            // It may have begun in the middle of a commit, behind one of several that are alike.
            let starts = (0..expected.len()).filter(|start| expected[*start] == first);
            let start = starts.max_by_key(|start| alike(&expected[*start..], &heard)).unwrap_or_default();
            expected.drain(..start);
        }
        if !segment.closed {
            // It was killed, perhaps in the middle of a commit.
            expected.truncate(heard.len());
        }
        let index =
            (0..expected.len().max(heard.len())).find(|index| expected.get(*index) != heard.get(*index))?;
        let around = |events: &[&Heard]| {
            events
                .iter()
                .skip(index.saturating_sub(2))
                .take(5)
                .map(|event| format!("{event:?}"))
                .collect::<Vec<_>>()
        };
        Some(format!(
            "event {index} of {} after {after} is not what comes next in the feed: heard {:#?}, expected {:#?}",
            heard.len(),
            around(&heard),
            around(&expected)
        ))
    }

    /// A gap is told of only where something was lost that was still to come, and because it was compacted.
    fn check_gap(&self, gap: &Gap, feed: &Feed, compactions: &[(u64, u64)]) -> Option<String> {
        let last = gap.last?;
        let by_then = compactions.iter().filter(|(_, began_ns)| *began_ns < gap.at_ns);
        let compacted = by_then.map(|(revision, _)| *revision).max().unwrap_or_default();
        if gap.oldest > compacted {
            return Some(format!(
                "told that the log reaches back to {} only, and it was compacted up to {compacted}",
                gap.oldest
            ));
        }
        let covered = feed.covers(last.max(1)) && feed.covers(gap.oldest);
        let lost_any = !feed.between(&Scope::All, last.saturating_sub(1), gap.oldest).is_empty();
        (covered && !lost_any).then(|| {
            format!("told that something was lost between {last} and {}, and nothing was", gap.oldest)
        })
    }
}

/// How many events two lists begin with that are the same in both.
fn alike(left: &[&Heard], right: &[&Heard]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

/// Over all its lives, a cursor goes on after what was acknowledged, without a gap.
pub fn check_cursor(lives: &[&Listened], feed: &Feed) -> Vec<String> {
    let events: Vec<&Heard> = feed.events().collect();
    // An event may have its like in the same commit: a key that was deleted, set and deleted again.
    let likes = |event: &Heard| {
        let start = events.partition_point(|other| other.revision < event.revision);
        let end = events.partition_point(|other| other.revision <= event.revision);
        (start..end).filter(|index| events[*index] == event).collect::<Vec<_>>()
    };
    // Where what was heard fits best; of several such places, one where it may begin.
    let position = |heard: &[Heard], starts: Option<(usize, usize)>| {
        let heard: Vec<&Heard> = heard.iter().collect();
        let may_begin = |start: usize| starts.is_some_and(|(least, most)| (least..=most).contains(&start));
        let fit = |start: &usize| (alike(&events[*start..], &heard), may_begin(*start));
        likes(heard.first()?).into_iter().max_by_key(fit)
    };
    let mut wrong = Vec::new();
    // Where the next life may begin.
    let mut starts: Option<(usize, usize)> = None;
    for life in lives {
        for (number, segment) in life.segments.iter().enumerate() {
            let Some(first) = segment.heard.first() else { continue };
            let Some(begin) = position(&segment.heard, starts) else { continue };
            if number == 0
                && let Some((least, most)) = starts
                && !(least..=most).contains(&begin)
                && feed.is_whole()
            {
                wrong.push(format!(
                    "{}: began with {first:?}, the event {begin} of the feed, and not with one of {least} to {most}",
                    life.name
                ));
            }
            for (count, is_sure) in &segment.acknowledgements {
                let next = begin + count;
                let (least, most) = starts.unwrap_or((begin, begin));
                // Of two that are alike in one commit, the first is taken to be acknowledged.
                let sure = segment.heard.get(count - 1).and_then(|event| likes(event).first().copied());
                let sure = sure.filter(|_| *is_sure).map_or(least, |first| least.max(first + 1));
                starts = Some((sure, most.max(next)));
            }
            if starts.is_none() {
                starts = Some((begin, begin));
            }
        }
        // What was compacted is not waited for: the place moves on where the log says so.
        if !life.gaps.is_empty() {
            let oldest = life.gaps.iter().map(|gap| gap.oldest).max().unwrap_or_default();
            let behind = events.partition_point(|event| event.revision <= oldest);
            starts = starts.map(|(least, most)| (least, most.max(behind)));
        }
    }
    wrong
}
