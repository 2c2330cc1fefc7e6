//! The watchers and cursors of the clients: each must have received the feed in order, complete and once.

use super::feed::Feed;
use super::record::{ReceivedEvent, Record, Scope};

/// One life of a watcher or cursor.
pub struct Listener {
    pub name: String,
    pub scope: Scope,
    /// The cursor's name. A cursor begins after its last acknowledged event.
    pub cursor: Option<String>,
    /// What it received, split at gaps.
    pub segments: Vec<Segment>,
    pub gaps: Vec<Gap>,
    pub reached_end: bool,
    pub failures: u64,
}

/// Events received without a gap.
#[derive(Default)]
pub struct Segment {
    /// The revision after which it begins, if that is known.
    pub after: Option<u64>,
    pub events: Vec<ReceivedEvent>,
    /// For each acknowledgement, how many events had been received, and whether it certainly succeeded.
    pub acknowledgements: Vec<(usize, bool)>,
    /// Whether the last revision was received completely.
    pub closed: bool,
}

pub struct Gap {
    pub oldest: u64,
    pub at_ns: u64,
    /// The last revision received before the gap, or the one after which the listener began.
    pub last: Option<u64>,
}

impl Segment {
    /// The range in which everything of the scope was received: after the first revision, up to the second.
    pub fn whole(&self) -> Option<(u64, u64)> {
        let last = self.events.last()?.revision;
        let after = self.after.unwrap_or(self.events[0].revision);
        let until = if self.closed { last } else { last - 1 };
        (after < until).then_some((after, until))
    }

    fn last(&self) -> Option<u64> {
        self.events.last().map(|event| event.revision).or(self.after)
    }
}

/// The listeners in a client's journal.
pub fn listeners_of(client: u64, life: u64, records: &[Record]) -> Vec<Listener> {
    let mut all: Vec<(String, Listener)> = Vec::new();
    for record in records {
        if let Record::ListenerBegan { listener, pattern, after } = record {
            let first = Segment { after: *after, ..Segment::default() };
            all.push((
                listener.clone(),
                Listener {
                    name: format!("{listener} of {client}.{life}"),
                    scope: pattern.clone(),
                    cursor: listener.starts_with("cursor").then(|| listener.clone()),
                    segments: vec![first],
                    gaps: Vec::new(),
                    reached_end: false,
                    failures: 0,
                },
            ));
            continue;
        }
        let (Record::Received { listener, .. }
        | Record::Gap { listener, .. }
        | Record::AcknowledgeBegan { listener }
        | Record::Acknowledged { listener }
        | Record::ListenerFailed { listener, .. }
        | Record::ReachedEnd { listener }) = record
        else {
            continue;
        };
        let found = all.iter_mut().find(|(name, _)| name == listener);
        let Some((_, listener)) = found else { continue };
        let segment = listener.segments.last_mut().unwrap();
        match record {
            Record::Received { event, .. } => segment.events.push(event.clone()),
            Record::Gap { oldest, at_ns, .. } => {
                let last = segment.last();
                listener.gaps.push(Gap { oldest: *oldest, at_ns: *at_ns, last });
                listener.segments.push(Segment { after: Some(*oldest), ..Segment::default() });
            }
            Record::AcknowledgeBegan { .. } => segment.acknowledgements.push((segment.events.len(), false)),
            Record::Acknowledged { .. } => segment.acknowledgements.last_mut().unwrap().1 = true,
            Record::ListenerFailed { .. } => listener.failures += 1,
            Record::ReachedEnd { .. } => {
                segment.closed = true;
                listener.reached_end = true;
            }
            _ => {}
        }
    }
    all.into_iter().map(|(_, listener)| listener).collect()
}

impl Listener {
    /// Returns every inconsistency with the feed.
    pub fn check(&self, feed: &Feed, compactions: &[(u64, u64)]) -> Vec<String> {
        let parts = self.segments.iter().filter_map(|segment| self.check_segment(segment, feed));
        let gaps = self.gaps.iter().filter_map(|gap| self.check_gap(gap, feed, compactions));
        parts.chain(gaps).map(|what| format!("{}: {what}", self.name)).collect()
    }

    fn check_segment(&self, segment: &Segment, feed: &Feed) -> Option<String> {
        let received = &segment.events;
        let (first, last) = (received.first()?, received.last()?);
        if let Some(pair) = received.windows(2).find(|pair| pair[0].revision > pair[1].revision) {
            return Some(format!("out of order: {pair:?}"));
        }
        let after = segment.after.unwrap_or(first.revision - 1);
        if first.revision <= after {
            return Some(format!("received {first:?}, but began after {after}"));
        }
        let mut expected = feed.between(&self.scope, after, last.revision);
        // Revisions that no listener received without a gap cannot be compared.
        expected.retain(|event| feed.covers(event.revision));
        let received: Vec<&ReceivedEvent> =
            received.iter().filter(|event| feed.covers(event.revision)).collect();
        if segment.after.is_none() {
            // It may have begun inside a commit, after one of several equal events.
            let starts = (0..expected.len()).filter(|start| expected[*start] == first);
            let start =
                starts.max_by_key(|start| common_prefix(&expected[*start..], &received)).unwrap_or_default();
            expected.drain(..start);
        }
        if !segment.closed {
            // It was killed, perhaps inside a commit.
            expected.truncate(received.len());
        }
        let index = (0..expected.len().max(received.len()))
            .find(|index| expected.get(*index) != received.get(*index))?;
        let around = |events: &[&ReceivedEvent]| {
            events
                .iter()
                .skip(index.saturating_sub(2))
                .take(5)
                .map(|event| format!("{event:?}"))
                .collect::<Vec<_>>()
        };
        Some(format!(
            "event {index} of {} after {after} is not the next one in the feed: received {:#?}, expected {:#?}",
            received.len(),
            around(&received),
            around(&expected)
        ))
    }

    /// Checks that events the listener still needed were lost, and that a compaction removed them.
    fn check_gap(&self, gap: &Gap, feed: &Feed, compactions: &[(u64, u64)]) -> Option<String> {
        let last = gap.last?;
        let by_then = compactions.iter().filter(|(_, began_ns)| *began_ns < gap.at_ns);
        let compacted = by_then.map(|(revision, _)| *revision).max().unwrap_or_default();
        if gap.oldest > compacted {
            return Some(format!(
                "got Compacted with revision {}, but only {compacted} was compacted",
                gap.oldest
            ));
        }
        let covered = feed.covers(last.max(1)) && feed.covers(gap.oldest);
        let lost_any = !feed.between(&Scope::All, last.saturating_sub(1), gap.oldest).is_empty();
        (covered && !lost_any)
            .then(|| format!("got Compacted between {last} and {}, but no event was lost", gap.oldest))
    }
}

/// The length of the common prefix of two lists.
fn common_prefix(left: &[&ReceivedEvent], right: &[&ReceivedEvent]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

/// Checks that over all its lives a cursor resumes after its last acknowledged event, without a gap.
pub fn check_cursor(lives: &[&Listener], feed: &Feed) -> Vec<String> {
    let events: Vec<&ReceivedEvent> = feed.events().collect();
    // A commit may have equal events: a key that was deleted, set and deleted again.
    let equal_events = |event: &ReceivedEvent| {
        let start = events.partition_point(|other| other.revision < event.revision);
        let end = events.partition_point(|other| other.revision <= event.revision);
        (start..end).filter(|index| events[*index] == event).collect::<Vec<_>>()
    };
    // Where the received events fit best; of several such positions, one where the cursor may begin.
    let position = |received: &[ReceivedEvent], starts: Option<(usize, usize)>| {
        let received: Vec<&ReceivedEvent> = received.iter().collect();
        let may_begin = |start: usize| starts.is_some_and(|(least, most)| (least..=most).contains(&start));
        let fit = |start: &usize| (common_prefix(&events[*start..], &received), may_begin(*start));
        equal_events(received.first()?).into_iter().max_by_key(fit)
    };
    let mut wrong = Vec::new();
    // The positions at which the next life may begin.
    let mut starts: Option<(usize, usize)> = None;
    for life in lives {
        for (number, segment) in life.segments.iter().enumerate() {
            let Some(first) = segment.events.first() else { continue };
            let Some(begin) = position(&segment.events, starts) else { continue };
            if number == 0
                && let Some((least, most)) = starts
                && !(least..=most).contains(&begin)
                && feed.is_whole()
            {
                wrong.push(format!(
                    "{}: began with {first:?}, event {begin} of the feed, instead of one of {least} to {most}",
                    life.name
                ));
            }
            for (count, is_sure) in &segment.acknowledgements {
                let next = begin + count;
                let (least, most) = starts.unwrap_or((begin, begin));
                // Of two equal events in one commit, assume that the first was acknowledged.
                let sure =
                    segment.events.get(count - 1).and_then(|event| equal_events(event).first().copied());
                let sure = sure.filter(|_| *is_sure).map_or(least, |first| least.max(first + 1));
                starts = Some((sure, most.max(next)));
            }
            if starts.is_none() {
                starts = Some((begin, begin));
            }
        }
        // A cursor skips compacted events, so the position moves beyond them.
        if !life.gaps.is_empty() {
            let oldest = life.gaps.iter().map(|gap| gap.oldest).max().unwrap_or_default();
            let behind = events.partition_point(|event| event.revision <= oldest);
            starts = starts.map(|(least, most)| (least, most.max(behind)));
        }
    }
    wrong
}
