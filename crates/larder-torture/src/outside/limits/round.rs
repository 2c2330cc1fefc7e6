//! One round: a process works, and now and then something is taken away from it. It may be killed at any time.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::field::Field;
use super::{ANSWERED_WITHIN, Limit, WRITES_WITHIN};
use crate::moment;
use crate::outside::answers::Answers;
use crate::outside::liveness::judge_in_time;
use crate::outside::worker::{self, READER, THREADS, Worker};
use crate::outside::{Plant, Work};
use crate::random::Random;

/// Within which time a process that is asked to end does so.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// What a round came to. Times are in nanoseconds.
#[derive(Default)]
pub struct Outcome {
    pub answers: Answers,
    pub times: u64,
    pub killed: u64,
    /// How many processes the system has ended, because a disk had no room for shared memory.
    pub ended_by_the_system: u64,
    /// Writes that are not there, of those that were acknowledged when the system confirms what it does not do.
    pub late_lost: u64,
    pub longest_answer: u64,
    pub longest_return: u64,
    pub complaints: Vec<String>,
}

struct Round {
    limit: Limit,
    plant: Option<Plant>,
    field: Field,
    worker: Worker,
    /// When the process was started.
    begun: u64,
    outcome: Outcome,
}

/// Lets a process work, and takes something away from it up to three times.
pub fn run(seed: u64, limit: Limit, plant: Option<Plant>) -> io::Result<Outcome> {
    let mut random = Random::new(seed);
    let folder = crate::scratch::folder()?;
    let field = Field::new(limit, &mut random, folder.path())?;
    worker::prepare(Work::Persevere, field.path())?;
    let (worker, begun) = start(plant, &field)?;
    let mut round = Round { limit, plant, field, worker, begun, outcome: Outcome::default() };
    round.wait_for_writes(begun, "the start")?;
    let mut not_counted = Vec::new();
    for _ in 0..=random.below(3) {
        round.hear_for(millis(&mut random, 150));
        round.outcome.times += 1;
        let begins = moment::now();
        round.field.begin(&mut random, &round.worker)?;
        if random.one_in(4) {
            round.hear_for(millis(&mut random, 300));
            // The next one finds things as they are.
            round.kill_and_start()?;
        }
        // Longer than a call waits for a lock.
        let most = if limit == Limit::Frozen { 1_500 } else { 700 };
        round.hear_for(millis(&mut random, most));
        round.field.end(&mut random, &round.worker, &mut round.outcome.answers)?;
        let ends = moment::now();
        // A file system that ends may confirm what it does not do, as in a power cut.
        if limit == Limit::ReadOnly {
            not_counted.push(begins..ends);
        }
        round.wait_for_writes(ends, "everything was given back")?;
    }
    let (mut outcome, field) = if random.one_in(2) {
        round.hear_for(millis(&mut random, 100));
        round.killed()?
    } else {
        round.ended()?
    };
    let wrong = std::mem::take(&mut outcome.answers.wrong);
    outcome.complaints.extend(wrong);
    let (lost, late_lost) = outcome.answers.lost(&not_counted);
    outcome.complaints.extend(lost);
    outcome.late_lost = late_lost;
    outcome.complaints.extend(not_promised(limit, &outcome.answers));
    let (acknowledged, late) = outcome.answers.acknowledged(&not_counted);
    let judged = judge_in_time(Work::Persevere, field.path(), &acknowledged, late.len() as u64, plant);
    outcome.complaints.extend(judged);
    Ok(outcome)
}

/// Answers that nobody should get: where only writes have to fail, reads go on, and a store stays open while nothing is
/// wrong with its disk.
fn not_promised(limit: Limit, answers: &Answers) -> Vec<String> {
    let has_readers = matches!(limit, Limit::FullDisk | Limit::FileSize | Limit::Frozen);
    let stays_open = has_readers || limit == Limit::Descriptors;
    let counts = answers.counts().into_iter();
    let unwanted = counts.filter(|(answer, _)| {
        has_readers && answer.starts_with("unread") || stays_open && answer == "reopened"
    });
    unwanted.map(|(answer, number)| format!("{number} times {answer}")).collect()
}

/// Starts a process. Like a service with a limit on the size of files, it ignores the signal that comes with that.
fn start(plant: Option<Plant>, field: &Field) -> io::Result<(Worker, u64)> {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(std::env::current_exe()?);
    let mut worker = Worker::start_with(command, Work::Persevere, plant, field.path())?;
    worker.wait_until_it_begins()?;
    Ok((worker, moment::now()))
}

impl Round {
    fn hear_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.worker.line_within(left) {
                Some(line) => self.outcome.answers.take(&line),
                // Without a process there are no lines to wait for.
                None => return sleep(until.saturating_duration_since(Instant::now())),
            }
        }
    }

    /// Waits until every thread has written since a moment, and the watcher has received such a write of each.
    fn wait_for_writes(&mut self, since: u64, after: &str) -> io::Result<()> {
        let mut deadline = Instant::now() + WRITES_WITHIN;
        loop {
            let all_write = self.outcome.answers.all_write_since(since);
            if let Some(all) = all_write
                && self.outcome.answers.all_told_since(since)
            {
                self.outcome.longest_return = self.outcome.longest_return.max(all - since);
                return Ok(());
            }
            if Instant::now() >= deadline {
                let what = match all_write {
                    None => "not every thread writes",
                    Some(_) => "the watcher is not told of a write of every thread",
                };
                self.outcome.complaints.push(format!("{what} within {WRITES_WITHIN:?} after {after}"));
                return Ok(());
            }
            self.hear_for(Duration::from_millis(10));
            if let Some(status) = self.worker.end_within(Duration::ZERO)? {
                self.died(status);
                self.start_next()?;
                deadline = Instant::now() + WRITES_WITHIN;
            }
        }
    }

    /// A process has ended that should not have.
    fn died(&mut self, status: std::process::ExitStatus) {
        // On a file system that copies what is written, shared memory needs room that nobody can ask for in advance.
        if self.limit == Limit::Quota && status.signal() == Some(libc::SIGBUS) {
            self.outcome.ended_by_the_system += 1;
        } else {
            self.outcome.complaints.push(format!("the process ended by itself, with {status}"));
        }
    }

    fn start_next(&mut self) -> io::Result<()> {
        let (next, begun) = start(self.plant, &self.field)?;
        let before = std::mem::replace(&mut self.worker, next);
        self.take_all(before)?;
        self.begun = begun;
        self.field.hold_for(&self.worker)
    }

    fn take_all(&mut self, worker: Worker) -> io::Result<()> {
        worker.end()?.iter().for_each(|line| self.outcome.answers.take(line));
        Ok(())
    }

    fn kill_and_start(&mut self) -> io::Result<()> {
        let (status, until, begun) = (self.worker.end_within(Duration::ZERO)?, moment::now(), self.begun);
        if let Some(status) = status {
            self.died(status);
            return self.start_next();
        }
        self.outcome.killed += 1;
        self.worker.kill_at_once()?;
        self.start_next()?;
        self.outcome.look_at_waits(begun, until);
        Ok(())
    }

    /// Kills the process, and looks how long it let its callers wait.
    fn killed(mut self) -> io::Result<(Outcome, Field)> {
        let (status, until) = (self.worker.end_within(Duration::ZERO)?, moment::now());
        match status {
            Some(status) => self.died(status),
            None => self.outcome.killed += 1,
        }
        let Self { worker, mut outcome, field, begun, .. } = self;
        worker.end()?.iter().for_each(|line| outcome.answers.take(line));
        if status.is_none() {
            outcome.look_at_waits(begun, until);
        }
        Ok((outcome, field))
    }

    /// Asks the process to end, which it has to do with all it holds closed.
    fn ended(mut self) -> io::Result<(Outcome, Field)> {
        let until = moment::now();
        self.worker.ask_to_end();
        let status = self.worker.end_within(ENDS_WITHIN)?;
        match status {
            None => self.outcome.complaints.push(format!("the process does not end within {ENDS_WITHIN:?}")),
            Some(status) if status.success() => {}
            Some(status) => self.died(status),
        }
        let Self { worker, mut outcome, field, begun, .. } = self;
        worker.end()?.iter().for_each(|line| outcome.answers.take(line));
        if status.is_some_and(|status| status.success()) {
            outcome.look_at_waits(begun, until);
        }
        Ok((outcome, field))
    }
}

impl Outcome {
    fn look_at_waits(&mut self, begun: u64, until: u64) {
        let longest = self.answers.longest_wait((0..THREADS).chain([READER]), begun, until);
        self.longest_answer = self.longest_answer.max(longest);
        if u128::from(longest) > ANSWERED_WITHIN.as_nanos() {
            self.complaints.push(format!("a thread had no answer for {} ms", longest / 1_000_000));
        }
    }
}

fn millis(random: &mut Random, most: u64) -> Duration {
    Duration::from_micros(random.below(most * 1_000))
}
