//! The watchers and cursors of the clients: each must have received the feed in order, complete and once.

use std::collections::HashMap;

use super::eras::Eras;
use super::feed::Feed;
use super::record::{ReceivedEvent, Record, Scope};

/// One life of a watcher or cursor.
pub struct Listener {
    pub name: String,
    pub scope: Scope,
    /// The cursor's name. A cursor begins after its last acknowledged event.
    pub cursor: Option<String>,
    pub began_ns: u64,
    /// What it received, split at gaps and at restores of the cluster.
    pub segments: Vec<Segment>,
    pub gaps: Vec<Gap>,
    /// The last era of whose beginning it was told.
    pub told_of: Option<usize>,
    /// Whether it could not acknowledge an event, and was not told of a restore yet.
    pub is_owed: bool,
    /// What it was told without reason, or not told.
    pub wrong: Vec<String>,
    pub reached_end: bool,
    pub failures: u64,
}

/// Events received without a gap, in one era.
#[derive(Default)]
pub struct Segment {
    pub era: usize,
    /// Whether it begins a life, or follows a restore: a cursor begins where the store remembers it.
    pub resumes: bool,
    /// Whether the listener began after a restore that it was told of only later. What it received until then may
    /// be of either era.
    pub is_unsettled: bool,
    /// The revision after which it begins, if that is known.
    pub after: Option<u64>,
    pub events: Vec<ReceivedEvent>,
    pub acknowledgements: Vec<Acknowledgement>,
    /// The revisions of events whose acknowledgement may be of this era or of the next.
    pub late: Vec<u64>,
    /// Whether the last revision was received completely.
    pub closed: bool,
}

#[derive(Clone, Copy)]
pub struct Acknowledgement {
    /// How many events of the segment had been received.
    pub count: usize,
    pub began_ns: u64,
    /// When it had certainly succeeded.
    pub done_ns: Option<u64>,
}

pub struct Gap {
    pub era: usize,
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

    /// Leaves out the events after a revision, if all of them are there in the next era as well.
    fn leave_out_after(&mut self, begin: u64, next: &HashMap<u64, Vec<ReceivedEvent>>) {
        let kept = self.events.partition_point(|event| event.revision <= begin);
        let is_next =
            |event: &ReceivedEvent| next.get(&event.revision).is_some_and(|events| events.contains(event));
        if kept == self.events.len() || !self.events[kept..].iter().all(is_next) {
            return;
        }
        let (certain, late): (Vec<_>, Vec<_>) =
            self.acknowledgements.drain(..).partition(|acknowledgement| acknowledgement.count <= kept);
        self.acknowledgements = certain;
        self.late = late.iter().map(|late| self.events[late.count - 1].revision).collect();
        self.events.truncate(kept);
        // A later commit was received, so the last one that is left is complete.
        self.closed = true;
    }

    fn last(&self) -> Option<u64> {
        self.events.last().map(|event| event.revision).or(self.after)
    }
}

/// The listeners in a client's journal.
pub fn listeners_of(client: u64, life: u64, records: &[Record], eras: &Eras) -> Vec<Listener> {
    let mut all: Vec<(String, Listener)> = Vec::new();
    for record in records {
        if let Record::ListenerBegan { listener, pattern, after, at_ns } = record {
            let first = Segment { era: eras.at(*at_ns), resumes: true, after: *after, ..Segment::default() };
            all.push((
                listener.clone(),
                Listener {
                    name: format!("{listener} of {client}.{life}"),
                    scope: pattern.clone(),
                    cursor: listener.starts_with("cursor").then(|| listener.clone()),
                    began_ns: *at_ns,
                    segments: vec![first],
                    gaps: Vec::new(),
                    told_of: None,
                    is_owed: false,
                    wrong: Vec::new(),
                    reached_end: false,
                    failures: 0,
                },
            ));
            continue;
        }
        let (Record::Received { listener, .. }
        | Record::Gap { listener, .. }
        | Record::AcknowledgeBegan { listener, .. }
        | Record::Acknowledged { listener, .. }
        | Record::NotAcknowledged { listener }
        | Record::Restored { listener, .. }
        | Record::Refused { listener, .. }
        | Record::ListenerFailed { listener, .. }
        | Record::ReachedEnd { listener }) = record
        else {
            continue;
        };
        if let Some((_, listener)) = all.iter_mut().find(|(name, _)| name == listener) {
            listener.add(record, eras);
        }
    }
    all.into_iter().map(|(_, listener)| listener).collect()
}

/// What a client saw that must not happen.
pub fn violations_of(client: u64, life: u64, records: &[Record], eras: &Eras) -> Vec<String> {
    let violation = |record: &Record| match record {
        Record::Violation(what) => Some(format!("{client}.{life}: {what}")),
        Record::FutureRevision { listener, asked, latest, since_ns, at_ns }
            if !eras.may_have_taken_back(*asked, *latest, (*since_ns, *at_ns)) =>
        {
            Some(format!(
                "{listener} of {client}.{life}: the store is at {latest}, before {asked}, without a restore"
            ))
        }
        _ => None,
    };
    records.iter().filter_map(violation).collect()
}

impl Listener {
    /// Adds what happened to it.
    fn add(&mut self, record: &Record, eras: &Eras) {
        let segment = self.segments.last_mut().unwrap();
        match record {
            Record::Received { event, .. } => {
                segment.events.push(event.clone());
                if std::mem::take(&mut self.is_owed) {
                    self.wrong.push(format!("could not acknowledge an event, but went on with {event:?}"));
                }
            }
            Record::Gap { oldest, at_ns, .. } => {
                let (last, era) = (segment.last(), segment.era);
                self.gaps.push(Gap { era, oldest: *oldest, at_ns: *at_ns, last });
                self.segments.push(Segment { era, after: Some(*oldest), ..Segment::default() });
            }
            Record::AcknowledgeBegan { at_ns, .. } => {
                let count = segment.events.len();
                segment.acknowledgements.push(Acknowledgement { count, began_ns: *at_ns, done_ns: None });
            }
            Record::Acknowledged { at_ns, .. } => {
                segment.acknowledgements.last_mut().unwrap().done_ns = Some(*at_ns);
            }
            // Only a restore takes away what was received; the listener is told of it next.
            Record::NotAcknowledged { .. } => self.is_owed = true,
            Record::Restored { latest, at_ns, .. } => self.begin_era(eras.at(*at_ns), *latest),
            Record::Refused { at_ns, .. } => {
                self.failures += 1;
                if !eras.refusals.iter().any(|(from_ns, _)| from_ns < at_ns) {
                    self.wrong.push("was refused although nobody had been".into());
                }
            }
            Record::ListenerFailed { .. } => self.failures += 1,
            Record::ReachedEnd { .. } => {
                segment.closed = true;
                self.reached_end = true;
            }
            _ => {}
        }
    }

    /// Continues after a restore.
    fn begin_era(&mut self, era: usize, latest: u64) {
        if era == 0 || self.told_of.replace(era) == Some(era) {
            self.wrong.push(format!("was told in era {era} of a restore that had not happened"));
        }
        self.is_owed = false;
        for unsettled in self.segments.iter_mut().filter(|segment| segment.era == era) {
            unsettled.is_unsettled = true;
        }
        let after = self.cursor.is_none().then_some(latest);
        self.segments.push(Segment { era, resumes: true, after, ..Segment::default() });
    }

    /// Returns every inconsistency with the feed of an era.
    pub fn check(&self, era: usize, feed: &Feed, compactions: &[(u64, u64)]) -> Vec<String> {
        let parts = self.settled(era).filter_map(|segment| self.check_segment(segment, feed));
        let gaps = self.gaps.iter().filter(|gap| gap.era == era);
        let gaps = gaps.filter_map(|gap| self.check_gap(gap, feed, compactions));
        parts.chain(gaps).map(|what| format!("{}, era {era}: {what}", self.name)).collect()
    }

    /// The segments of an era that can be compared with its feed.
    pub fn settled(&self, era: usize) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(move |segment| segment.era == era && !segment.is_unsettled)
    }

    /// Checks that nothing of the next era was received before the listener was told of the restore.
    pub fn check_end_of(&self, era: usize, feed: &Feed, next: &Feed) -> Vec<String> {
        let uncovered = |segment: &&ReceivedEvent| !feed.covers(segment.revision);
        let untold = self
            .settled(era)
            .flat_map(|segment| segment.events.iter().filter(uncovered))
            .filter(|event| next.has_own(event));
        untold.map(|event| format!("{}: received {event:?} before the restore", self.name)).collect()
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

/// A restore takes nothing away from a listener that has received nothing since the save. It cannot notice the restore by
/// itself, and receives what is new until it is told. What it has received since may be of either era, so it is left out.
pub fn leave_out_what_may_be_of_either_era(listeners: &mut [Listener], eras: &Eras) {
    for era in 1..eras.count() {
        let Some(restore) = eras.beginning(era) else { continue };
        let begin = restore.save.begin;
        let everything = listeners.iter().filter(|listener| listener.scope == Scope::All);
        let mut next: HashMap<u64, Vec<ReceivedEvent>> = HashMap::new();
        for event in everything.flat_map(|listener| listener.settled(era)).flat_map(|segment| &segment.events)
        {
            next.entry(event.revision).or_default().push(event.clone());
        }
        for listener in listeners.iter_mut() {
            for segment in listener.segments.iter_mut().filter(|segment| segment.era == era - 1) {
                segment.leave_out_after(begin, &next);
            }
        }
    }
}

/// The length of the common prefix of two lists.
pub fn common_prefix(left: &[&ReceivedEvent], right: &[&ReceivedEvent]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}
