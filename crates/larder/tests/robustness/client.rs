//! A client process: threads that write and read, and threads that listen, until it is told to stop or
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
use super::record::{Diary, diary_path};
use super::traffic::Worker;

/// How long a call may take before it gives up: less than the longest faults last.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// What a client is to do.
#[derive(Clone, Debug)]
pub struct Task {
    pub location: String,
    pub seed: u64,
    pub client: u64,
    /// How often it was killed before.
    pub life: u64,
    /// How many threads write and read; one without any only listens, to everything.
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

/// What all threads of a client have.
pub struct Client {
    pub task: Task,
    pub store: Store,
    pub diary: Diary,
    /// Of the calls of this life.
    pub next_call: AtomicU64,
    /// The traffic is over.
    pub stopped: AtomicBool,
    /// The revision that ends everything; 0 as long as it is not known. Listeners stop there.
    pub end: AtomicU64,
    /// Whether all that was to be done is.
    pub is_done: AtomicBool,
    /// How many watchers have begun.
    pub listening: AtomicU64,
}

impl Client {
    /// A number for a call that no other call of any client has.
    pub fn call_number(&self) -> u64 {
        let Task { client, life, .. } = self.task;
        (client * 1000 + life) * 1_000_000_000 + self.next_call.fetch_add(1, Ordering::Relaxed)
    }
}

/// Does what a client is to do.
pub fn run(folder: &Path, words: &[String]) {
    let task = Task::from_words(words);
    let diary = Diary::open(&diary_path(folder, task.client, task.life));
    let client = Arc::new(Client {
        store: open(&task.location),
        task,
        diary,
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
            // One never waits for a write, and so reads on where a member has lost the others.
            thread::spawn(move || Worker::new(&client, random).work(number == 0))
        })
        .collect();
    if client.task.workers == 0 {
        // What is written from now on, it hears.
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

/// What the process that started this one wants. When that is gone, so is this; and where it was done with what
/// it was asked for, that was all right.
fn orders(client: Arc<Client>) -> Receiver<String> {
    let (give, orders) = mpsc::channel();
    thread::spawn(move || {
        loop {
            match read_line() {
                over if over.is_empty() => {
                    process::exit(i32::from(!client.is_done.load(Ordering::SeqCst)));
                }
                order => drop(give.send(order)),
            }
        }
    });
    orders
}

/// Opens the store, as soon as there is a cluster to open it in.
pub fn open(location: &str) -> Store {
    loop {
        match Store::options().busy_timeout(TIMEOUT).connect(location) {
            Ok(store) => return store,
            // It has waited for the cluster as long as a call may.
            Err(Error::Unreachable { .. } | Error::Unknown { .. }) => {}
            Err(error) => panic!("the store cannot be opened: {error}"),
        }
    }
}
