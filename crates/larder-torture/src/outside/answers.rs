//! What a process was told, and whether each call was answered in time.

use std::collections::BTreeMap;
use std::ops::Range;

use super::worker::THREADS;

/// A write of a thread: the thread, and the number that it gave the write.
pub type Numbered = (u64, u64);

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
    /// The watcher received this thread's write with this number.
    Told(u64, u64),
    /// The thread asks for nothing more.
    Ends,
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
                    "told" => What::Told(number(3).unwrap_or_default(), number(4).unwrap_or_default()),
                    "ends" => What::Ends,
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

    /// What was acknowledged, by thread and number; and what was acknowledged in times in which the system confirms what
    /// it does not do.
    pub fn acknowledged(&self, not_counted: &[Range<u64>]) -> (Vec<Numbered>, Vec<Numbered>) {
        let (mut counted, mut late) = (Vec::new(), Vec::new());
        for answer in &self.answers {
            if let What::Acknowledged(number) = answer.what {
                let list = if answer.is_within(not_counted) { &mut late } else { &mut counted };
                list.push((answer.thread, number));
            }
        }
        (counted, late)
    }

    /// What a watcher was told outside of these times. So it has been committed.
    pub fn told(&self, not_counted: &[Range<u64>]) -> impl Iterator<Item = Numbered> {
        self.answers.iter().filter(move |answer| !answer.is_within(not_counted)).filter_map(|answer| {
            match answer.what {
                What::Told(thread, number) => Some((thread, number)),
                _ => None,
            }
        })
    }

    /// What was acknowledged before a moment and the watcher was not told of: the last number of a thread.
    pub fn untold(&self, before: u64) -> Vec<Numbered> {
        let mut last = BTreeMap::<u64, u64>::new();
        for answer in self.answers.iter().filter(|answer| answer.moment < before) {
            if let What::Acknowledged(number) = answer.what {
                last.insert(answer.thread, number);
            }
        }
        for (thread, number) in self.told(&[]) {
            if last.get(&thread).is_some_and(|last| *last <= number) {
                last.remove(&thread);
            }
        }
        last.into_iter().collect()
    }

    /// Writes that the watcher received twice, in a wrong order, or not at all. A gap is right if the watcher received
    /// `Compacted`.
    pub fn told_wrongly(&self) -> Vec<String> {
        let missed = |answer: &Answer| matches!(&answer.what, What::Failed(_, kind) if kind == "compacted");
        let may_have_gaps = self.answers.iter().any(missed);
        let (mut last, mut complaints) = (BTreeMap::<u64, u64>::new(), Vec::new());
        for (thread, number) in self.told(&[]) {
            let before = last.insert(thread, number).unwrap_or_default();
            if number <= before || number > before + 1 && !may_have_gaps {
                complaints.push(format!("the watcher is told of {number} of thread {thread} after {before}"));
            }
        }
        complaints
    }

    /// Those of the threads that have asked for something and were told nothing since a moment.
    pub fn without_answer(&self, threads: Range<u64>, since: u64) -> Vec<u64> {
        let is_answered = |thread: u64| {
            let mut own = self.answers.iter().filter(|answer| answer.thread == thread);
            own.any(|answer| answer.moment > since || answer.what == What::Ends)
        };
        threads.filter(|thread| !is_answered(*thread)).collect()
    }

    /// Whether none of these threads asks for anything any more.
    pub fn all_ended(&self, mut threads: Range<u64>) -> bool {
        let has_ended =
            |thread| self.answers.iter().any(|answer| answer.thread == thread && answer.what == What::Ends);
        !threads.is_empty() && threads.all(has_ended)
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
            .map(|thread| self.writes_since(thread, moment).next().map(|(moment, _)| moment))
            .try_fold(moment, |latest, first| Some(latest.max(first?)))
    }

    /// Whether the watcher received, from every writer, a write that was acknowledged after a moment.
    pub fn all_told_since(&self, moment: u64) -> bool {
        (0..THREADS).all(|thread| {
            let first = self.writes_since(thread, moment).next();
            first.is_some_and(|(_, first)| self.told(&[]).any(|told| told.0 == thread && told.1 >= first))
        })
    }

    /// The acknowledged writes of a thread after a moment: when, and which number.
    fn writes_since(&self, thread: u64, moment: u64) -> impl Iterator<Item = (u64, u64)> {
        let own = self.answers.iter().filter(move |answer| answer.thread == thread && answer.moment > moment);
        own.filter_map(|answer| match answer.what {
            What::Acknowledged(number) => Some((answer.moment, number)),
            _ => None,
        })
    }

    /// The longest that one of these threads was told nothing from one moment to another, in which the process was alive.
    pub fn longest_wait(&self, threads: impl IntoIterator<Item = u64>, from: u64, until: u64) -> u64 {
        let longest = threads.into_iter().map(|thread| {
            let own = self.answers.iter().filter(|answer| answer.thread == thread);
            let has_ended = own.clone().any(|answer| answer.what == What::Ends);
            let moments = own.map(|answer| answer.moment).filter(|moment| (from..until).contains(moment));
            let ends = moments.clone().chain((!has_ended).then_some(until));
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
                What::Waits | What::Found(_) | What::Told(..) | What::Ends => continue,
                What::Reopened => "reopened".into(),
                What::Lost(..) => "lost".into(),
                What::Failed(what, kind) => format!("{what}: {kind}"),
            };
            *counts.entry(name).or_default() += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(lines: &[&str]) -> Answers {
        let mut answers = Answers::default();
        lines.iter().for_each(|line| answers.take(line));
        answers
    }

    #[test]
    fn a_watcher_is_told_each_number_once_and_in_order_unless_it_was_told_that_it_missed_some() {
        let in_order = ["told 5 10 0 1.", "told 5 11 1 1.", "told 5 12 0 2."];
        assert!(answers(&in_order).told_wrongly().is_empty());
        let twice = ["told 5 10 0 1.", "told 5 11 0 1."];
        assert_eq!(answers(&twice).told_wrongly(), ["the watcher is told of 1 of thread 0 after 1"]);
        let with_a_gap = ["told 5 10 0 1.", "told 5 11 0 3."];
        assert_eq!(answers(&with_a_gap).told_wrongly(), ["the watcher is told of 3 of thread 0 after 1"]);
        let compacted = ["told 5 10 0 1.", "untold 5 11 compacted.", "told 5 12 0 3."];
        assert!(answers(&compacted).told_wrongly().is_empty());
    }

    #[test]
    fn what_was_acknowledged_before_a_moment_has_to_be_told_and_every_thread_answered_since_or_at_its_end() {
        let lines = ["0 1 10.", "1 1 11.", "told 5 12 0 1.", "0 2 30.", "refused 1 31 busy.", "ends 2 15."];
        assert_eq!(answers(&lines).untold(20), [(1, 1)]);
        assert_eq!(answers(&lines).without_answer(0..4, 20), [3]);
        assert_eq!(answers(&lines).without_answer(0..3, 30), [0]);
        assert_eq!(answers(&lines).longest_wait(0..3, 5, 40), 20);
        // An end is no answer that others wait for.
        assert_eq!(answers(&lines).longest_wait(2..3, 5, 40), 10);
        assert!(answers(&lines).all_ended(2..3) && !answers(&lines).all_ended(1..3));
        assert!(!answers(&lines).all_ended(0..0));
    }
}
