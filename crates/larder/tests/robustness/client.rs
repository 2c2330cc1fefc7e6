//! A client process: threads that write and read, and threads that receive events, until it is stopped or
//! killed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use std::{process, thread};

use larder::{Error, Store};

use super::listening;
use super::outside::{print_line, read_line};
use super::random::Random;
use super::record::{Journal, journal_path};
use super::traffic::Worker;

/// The timeout of a call: shorter than the longest faults.
pub const TIMEOUT: Duration = Duration::from_secs(3);

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
}

impl Task {
    pub fn words(&self) -> String {
        let Self { location, seed, client, life, workers } = self;
        format!("{location} {seed} {client} {life} {workers}")
    }

    fn from_words(words: &[String]) -> Self {
        let number = |index: usize| words[index].parse().unwrap();
        Self {
            location: words[0].clone(),
            seed: number(1),
            client: number(2),
            life: number(3),
            workers: number(4),
        }
    }
}

/// What the threads of a client share.
pub struct Client {
    pub task: Task,
    pub store: Store,
    pub journal: Journal,
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
}

/// Runs a client.
pub fn run(folder: &Path, words: &[String]) {
    let task = Task::from_words(words);
    let journal = Journal::open(&journal_path(folder, task.client, task.life));
    let client = Arc::new(Client {
        store: open(&task.location),
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
                order => drop(sender.send(order)),
            }
        }
    });
    orders
}

/// Opens the store as soon as the cluster serves.
pub fn open(location: &str) -> Store {
    loop {
        match Store::options().timeout(TIMEOUT).connect(location) {
            Ok(store) => return store,
            // The call has waited for its whole timeout.
            Err(Error::Unreachable { .. } | Error::Unknown { .. }) => {}
            Err(error) => panic!("the store cannot be opened: {error}"),
        }
    }
}
