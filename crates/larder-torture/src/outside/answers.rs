//! What a process that perseveres was told, and whether each call was answered in time.

use std::collections::BTreeMap;
use std::ops::Range;

use super::persevering::READER;
use super::worker::THREADS;

/// One line that the process has printed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    thread: u64,
    /// In nanoseconds, as all processes measure it.
    moment: u64,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// A write with this number was acknowledged.
    Acknowledged(u64),
    Read,
    /// Another thread opens the store.
    Waits,
    Reopened,
    /// The first number is that of the thread's last write that is there, the second that of the last one that it knew of.
    Lost(u64, u64),
    /// The number of the thread's last write that is there when the process starts.
    Found(u64),
    /// What failed, and the kind of the error.
    Failed(String, String),
}

impl Answer {
    fn is_within(&self, times: &[Range<u64>]) -> bool {
        times.iter().any(|time| time.contains(&self.moment))
    }
}

/// Everything that the lives of one process in a round have printed.
#[derive(Debug, Default)]
pub struct Answers {
    answers: Vec<Answer>,
    /// What the process itself saw to be wrong.
    pub wrong: Vec<String>,
}

impl Answers {
    /// Takes a line that is whole.
    pub fn take(&mut self, line: &str) {
        let Some(line) = line.strip_suffix('.') else { return };
        if let Some(wrong) = line.strip_prefix("wrong: ") {
            return self.wrong.push(wrong.into());
        }
        let words: Vec<&str> = line.split(' ').collect();
        let number = |place: usize| words.get(place).and_then(|word: &&str| word.parse::<u64>().ok());
        let answer = match words.first().copied() {
            Some(first) if first.parse::<u64>().is_ok() => match (number(0), number(1), number(2)) {
                (Some(thread), Some(number), Some(moment)) => {
                    Some(Answer { thread, moment, what: What::Acknowledged(number) })
                }
                _ => None,
            },
            Some(first) => number(1).zip(number(2)).map(|(thread, moment)| {
                let what = match first {
                    "read" => What::Read,
                    "waits" => What::Waits,
                    "reopened" => What::Reopened,
                    "found" => What::Found(number(3).unwrap_or_default()),
                    "lost" => What::Lost(number(3).unwrap_or_default(), number(4).unwrap_or(u64::MAX)),
                    failed => What::Failed(failed.into(), words.get(3).copied().unwrap_or_default().into()),
                };
                Answer { thread, moment, what }
            }),
            None => None,
        };
        self.answers.extend(answer);
    }

    /// Acknowledged writes, as the judge wants them, and how many more were acknowledged in times in which the system
    /// confirms what it does not do.
    pub fn acknowledged(&self, not_counted: &[Range<u64>]) -> (Vec<Vec<u64>>, u64) {
        let writes = self.answers.iter().filter_map(|answer| match answer.what {
            What::Acknowledged(number) => Some((answer, vec![answer.thread, number])),
            _ => None,
        });
        let (late, counted): (Vec<_>, Vec<_>) = writes.partition(|(answer, _)| answer.is_within(not_counted));
        (counted.into_iter().map(|(_, line)| line).collect(), late.len() as u64)
    }

    /// What the process missed of its own writes, and how many it missed that do not count.
    pub fn lost(&self, not_counted: &[Range<u64>]) -> (Vec<String>, u64) {
        let (mut complaints, mut late) = (Vec::new(), 0);
        for answer in &self.answers {
            let (found, last) = match answer.what {
                What::Lost(found, last) => (found, last),
                What::Found(found) => (found, u64::MAX),
                _ => continue,
            };
            let mut missing = self.answers.iter().filter(|other| {
                matches!(other.what, What::Acknowledged(number) if number > found && number <= last)
                    && other.thread == answer.thread
                    && other.moment < answer.moment
            });
            if let Some(missed) = missing.clone().find(|other| !other.is_within(not_counted)) {
                let (thread, what) = (answer.thread, &missed.what);
                complaints.push(format!("thread {thread} reads {found} and misses one: {what:?}"));
            } else if missing.next().is_some() || matches!(answer.what, What::Lost(..)) {
                late += 1;
            }
        }
        (complaints, late)
    }

    /// When every writer has been told after a moment that a write is there.
    pub fn all_write_since(&self, moment: u64) -> Option<u64> {
        (0..THREADS)
            .map(|thread| self.first(thread, moment))
            .try_fold(moment, |latest, first| Some(latest.max(first?)))
    }

    fn first(&self, thread: u64, since: u64) -> Option<u64> {
        let is_it = |answer: &&Answer| {
            answer.thread == thread && answer.moment > since && matches!(answer.what, What::Acknowledged(_))
        };
        self.answers.iter().find(is_it).map(|answer| answer.moment)
    }

    /// The longest that a thread was told nothing from one moment to another, in which the process was alive.
    pub fn longest_wait(&self, from: u64, until: u64) -> u64 {
        let threads = (0..THREADS).chain([READER]);
        let longest = threads.map(|thread| {
            let own = self.answers.iter().filter(|answer| answer.thread == thread);
            let moments = own.map(|answer| answer.moment).filter(|moment| (from..until).contains(moment));
            let ends = moments.clone().chain([until]);
            [from].into_iter().chain(moments).zip(ends).map(|(one, next)| next.saturating_sub(one)).max()
        });
        longest.flatten().max().unwrap_or_default()
    }

    /// How often each thing was answered, such as `acknowledged` or `refused: failed`.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for answer in &self.answers {
            let name = match &answer.what {
                What::Acknowledged(_) => "acknowledged".into(),
                What::Read => "read".into(),
                What::Waits | What::Found(_) => continue,
                What::Reopened => "reopened".into(),
                What::Lost(..) => "lost".into(),
                What::Failed(what, kind) => format!("{what}: {kind}"),
            };
            *counts.entry(name).or_default() += 1;
        }
        counts
    }
}
