//! Whether everybody gets an answer within a bound: the threads of a process, its watcher, and the next process.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::answers::{Answers, Numbered};
use super::judge::judge;
use super::persevering::SILENCE;
use super::worker::Worker;
use super::{Plant, Work};
use crate::moment;

/// Within which time each call has to be answered that has larder's own timeout of 5 s, whatever fails. Within the same
/// time a watcher has to be told what was acknowledged.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// Within which time the next process has to open the store, check it, read it, watch it from the beginning of its log,
/// write to it and close it.
const JUDGED_WITHIN: Duration = Duration::from_secs(20);

/// Bounds are counted in steps of this length. Where the machine has no time for the trial and its process, a step and so
/// the bound takes longer.
const STEP: Duration = Duration::from_millis(5);

fn steps(bound: Duration) -> u128 {
    bound.as_millis() / STEP.as_millis()
}

/// How a process came through its time.
pub struct Life {
    /// How it ended by itself; nothing if it is still at work.
    pub ending: Option<ExitStatus>,
    pub answers: Answers,
    /// The longest that one of its threads was told nothing, in nanoseconds.
    pub longest_wait: u64,
    pub complaints: Vec<String>,
}

/// Lets a process work for a time, and then until each of these threads has an answer to what it asks for. If
/// `has_watcher`, that has to be told of everything that was acknowledged by then. A process whose threads have ended has
/// to end, too. Kills the process in the end.
pub fn live(mut worker: Worker, threads: Range<u64>, time: Duration, has_watcher: bool) -> io::Result<Life> {
    let begun = moment::now();
    let mut life = Life {
        ending: worker.end_within(time)?,
        answers: Answers::default(),
        longest_wait: 0,
        complaints: Vec::new(),
    };
    let (over, mut left) = (moment::now(), steps(ANSWERED_WITHIN));
    while life.ending.is_none() {
        worker.lines_until_now().for_each(|line| life.answers.take(&line));
        let waits = life.answers.without_answer(threads.clone(), over);
        let untold = if has_watcher { life.answers.untold(over) } else { Vec::new() };
        let has_to_end = life.answers.all_ended(threads.clone());
        if waits.is_empty() && untold.is_empty() && !has_to_end {
            break;
        }
        if left == 0 {
            let no_answer = |thread| format!("thread {thread} gets no answer within {ANSWERED_WITHIN:?}");
            life.complaints.extend(waits.into_iter().map(no_answer));
            let not_told = |(thread, number)| {
                format!("the watcher is not told within {ANSWERED_WITHIN:?} of {number} of thread {thread}")
            };
            life.complaints.extend(untold.into_iter().map(not_told));
            let does_not_end = || format!("the process does not end within {ANSWERED_WITHIN:?}");
            life.complaints.extend(has_to_end.then(does_not_end));
            break;
        }
        life.ending = worker.end_within(STEP)?;
        left -= 1;
    }
    let ends = moment::now();
    worker.end()?.iter().for_each(|line| life.answers.take(line));
    // How long a process that has ended by itself lived on after its last answer, nobody knows.
    if life.ending.is_none() {
        life.longest_wait = life.answers.longest_wait(threads, begun, ends);
    }
    life.complaints.extend(life.answers.told_wrongly());
    Ok(life)
}

/// Everything that is wrong with the store, and whether those who use it now are answered.
pub fn judge_in_time(
    work: Work,
    disk: &Path,
    acknowledged: &[Numbered],
    late: u64,
    plant: Option<Plant>,
) -> Vec<String> {
    let (disk, acknowledged) = (disk.to_owned(), acknowledged.to_owned());
    let (tell, told) = channel();
    thread::spawn(move || {
        if plant == Some(Plant::Stuck) {
            thread::sleep(SILENCE);
        }
        let complaints = judge(work, &disk, &acknowledged, late)
            .unwrap_or_else(|error| vec![format!("the store cannot be judged: {error}")]);
        // The trial may have given up.
        let _ = tell.send(complaints);
    });
    for _ in 0..steps(JUDGED_WITHIN) {
        match told.recv_timeout(STEP) {
            Ok(complaints) => return complaints,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return vec!["the judge has panicked".into()],
        }
    }
    vec![format!("whoever uses the store afterwards gets no answer within {JUDGED_WITHIN:?}")]
}
