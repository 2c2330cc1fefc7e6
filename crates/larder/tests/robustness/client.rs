//! A client process: threads that write and read, and threads that receive events, until it is stopped or
//! killed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use std::{process, thread};

use larder::{Consistency, Error, Options, Store};

use super::clock::{DIFFERENCE_MAX, SKEW_MAX_MS, SkewedClock};
use super::outside::{print_line, read_line};
use super::random::Random;
use super::record::{Journal, Record, journal_path};
use super::traffic::Worker;
use super::{listening, signs};

/// The timeout of a call: shorter than the longest faults.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// How long a refused client pauses, so that it does not keep the machine busy.
pub const PAUSE: Duration = Duration::from_millis(50);

/// What a client does.
#[derive(Clone, Debug)]
pub struct Task {
    pub location: String,
    pub seed: u64,
    pub client: u64,
    /// How often the client was killed before.
    pub life: u64,
    /// How many threads write and read. Without any, the client only watches everything.
    pub workers: u64,
    /// The revision after which it watches everything; `None` for the latest one.
    pub after: Option<u64>,
}

/// The client that reads single entries from memory.
pub const CACHED: u64 = 3;

/// How old what it reads may be.
pub const CACHE_AGE_MAX: Duration = Duration::from_secs(1);

impl Task {
    pub fn words(&self) -> String {
        let Self { location, seed, client, life, workers, after } = self;
        let after = after.map_or("now".to_owned(), |after| after.to_string());
        format!("{location} {seed} {client} {life} {workers} {after}")
    }

    fn from_words(words: &[String]) -> Self {
        let number = |index: usize| words[index].parse().unwrap();
        Self {
            location: words[0].clone(),
            seed: number(1),
            client: number(2),
            life: number(3),
            workers: number(4),
            after: words[5].parse().ok(),
        }
    }
}

/// What the threads of a client share.
pub struct Client {
    pub task: Task,
    pub store: Store,
    pub clock: SkewedClock,
    pub journal: Journal,
    /// The records by which the trial learns what the listeners were told.
    pub signs: Journal,
    /// Numbers the calls of this life.
    pub next_call: AtomicU64,
    /// Whether the traffic is over.
    pub stopped: AtomicBool,
    /// The last revision, at which listeners stop; 0 while it is unknown.
    pub end: AtomicU64,
    /// Whether the client has finished its task.
    pub is_done: AtomicBool,
    /// How many watchers have begun.
    pub listening: AtomicU64,
}

impl Client {
    /// A number for a call, unique among all clients.
    pub fn call_number(&self) -> u64 {
        let Task { client, life, .. } = self.task;
        (client * 1000 + life) * 1_000_000_000 + self.next_call.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes something that the trial waits for.
    pub fn sign(&self, record: &Record) {
        self.journal.note(record);
        self.signs.note(record);
    }
}

/// Runs a client.
pub fn run(folder: &Path, words: &[String]) {
    let task = Task::from_words(words);
    let journal = Journal::open(&journal_path(folder, task.client, task.life));
    let signs = signs::open(folder, task.client, task.life);
    let clock = SkewedClock::default();
    if task.workers > 0 {
        let place = Random::of(task.seed, &[task.client, task.life, 77]).below(3) as i64 - 1;
        clock.set(place * SKEW_MAX_MS);
    }
    let consistency = if task.client == CACHED { Consistency::Cached } else { Consistency::Linearizable };
    let client = Arc::new(Client {
        store: open_with(&task.location, options().clock(clock.clone()).consistency(consistency)),
        clock,
        signs,
        task,
        journal,
        next_call: AtomicU64::new(1),
        stopped: AtomicBool::new(false),
        is_done: AtomicBool::new(false),
        end: AtomicU64::new(0),
        listening: AtomicU64::new(0),
    });
    let listeners = listening::start(&client);
    let workers: Vec<_> = (0..client.task.workers)
        .map(|number| {
            let client = Arc::clone(&client);
            let random = Random::of(client.task.seed, &[client.task.client, client.task.life, number]);
            // The first thread only reads, so it keeps reading from a member that has lost the others.
            thread::spawn(move || Worker::new(&client, random).work(number == 0))
        })
        .collect();
    if client.task.workers == 0 {
        // Its watcher has begun before any client writes.
        while client.listening.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
    }
    let orders = orders(Arc::clone(&client));
    print_line("ready");
    assert_eq!(orders.recv().unwrap(), "stop");
    client.stopped.store(true, Ordering::SeqCst);
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    print_line("stopped");
    client.end.store(orders.recv().unwrap().parse().unwrap(), Ordering::SeqCst);
    listeners.into_iter().for_each(|listener| listener.join().unwrap());
    client.is_done.store(true, Ordering::SeqCst);
    print_line("reached");
    process::exit(0);
}

/// Receives the parent's orders. Exits when the parent has gone; that is a failure unless the task is done.
fn orders(client: Arc<Client>) -> Receiver<String> {
    let (sender, orders) = mpsc::channel();
    thread::spawn(move || {
        loop {
            match read_line() {
                over if over.is_empty() => {
                    process::exit(i32::from(!client.is_done.load(Ordering::SeqCst)));
                }
                order if order.starts_with("clock ") => {
                    client.clock.set(order["clock ".len()..].parse().unwrap());
                }
                order => drop(sender.send(order)),
            }
        }
    });
    orders
}

pub fn options() -> Options {
    Store::options().timeout(TIMEOUT).clock_difference_max(DIFFERENCE_MAX).cache_age_max(CACHE_AGE_MAX)
}

/// Opens the store as soon as the cluster serves.
pub fn open(location: &str) -> Store {
    open_with(location, options())
}

fn open_with(location: &str, options: Options) -> Store {
    loop {
        match options.clone().connect(location) {
            Ok(store) => return store,
            // The call has waited for its whole timeout.
            Err(Error::Unreachable { .. } | Error::Unknown { .. }) => {}
            // Until the password is right again.
            Err(Error::Unauthorized { .. }) => thread::sleep(PAUSE),
            Err(error) => panic!("the store cannot be opened: {error}"),
        }
    }
}
