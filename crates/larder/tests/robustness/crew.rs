//! The client processes of a trial, which are killed and restarted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::client::Task;
use super::outside::Process;
use super::place::Place;
use super::random::Random;
use super::record::{journal_path, life_of, now_ns};

/// The client that only watches. Each era has one from its beginning to its end.
pub const OBSERVER: u64 = 0;

/// How many clients write and read, and with how many threads each.
pub const CLIENTS: u64 = 3;
const WORKERS: u64 = 4;

pub struct Crew<'a> {
    test: &'static str,
    folder: PathBuf,
    place: &'a Place,
    seed: u64,
    hands: Mutex<Hands>,
    kills: AtomicU64,
}

/// The living clients. No client is killed or started while this is borrowed.
#[derive(Default)]
pub struct Hands {
    living: BTreeMap<u64, (Task, Process)>,
    /// When each life of a client ended that was killed.
    ends: BTreeMap<(u64, u64), u64>,
}

impl<'a> Crew<'a> {
    pub fn new(test: &'static str, folder: PathBuf, place: &'a Place, seed: u64) -> Self {
        Self { test, folder, place, seed, hands: Mutex::default(), kills: AtomicU64::new(0) }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn kills(&self) -> u64 {
        self.kills.load(Ordering::SeqCst)
    }

    /// Keeps the clients as they are while the guard is held.
    pub fn hold(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap()
    }

    /// Starts the observer, which only listens. When this returns, its watcher has begun.
    pub fn start_observer(&self) {
        self.start(&mut self.hold(), OBSERVER, 0, None);
    }

    /// Starts the observer of the era after a restore, which begins after a revision, and ends the former one.
    pub fn change_observer(&self, hands: &mut Hands, era: usize, after: u64) {
        // The new one has all of the era, so what the former one still has is not needed.
        self.start(hands, OBSERVER, era as u64, Some(after));
    }

    /// The journal of the present observer.
    pub fn observer_journal(&self) -> PathBuf {
        journal_path(&self.folder, OBSERVER, self.hold().living[&OBSERVER].0.life)
    }

    /// Starts the clients that write.
    pub fn start_clients(&self) {
        (1..=CLIENTS).for_each(|client| self.start(&mut self.hold(), client, 0, None));
    }

    fn start(&self, hands: &mut Hands, client: u64, life: u64, after: Option<u64>) {
        let is_observer = client == OBSERVER;
        let location = if is_observer { self.place.for_root() } else { self.place.for_client(client) };
        let workers = if is_observer { 0 } else { WORKERS };
        let task = Task { location, seed: self.seed, client, life, workers, after };
        let mut process = self.process(&task);
        assert_eq!(process.next_line().as_deref(), Some("ready"));
        hands.replace(task, process);
    }

    fn process(&self, task: &Task) -> Process {
        Process::start(self.test, &self.folder, &task.words())
    }

    /// Kills and restarts clients at random moments until `over`.
    pub fn kill_some(&self, mut random: Random, over: &AtomicBool) {
        let mut next = Instant::now();
        while !over.load(Ordering::SeqCst) {
            if Instant::now() < next {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            next = Instant::now() + Duration::from_millis(2500 + random.below(5000));
            let hands = &mut *self.hold();
            let client = 1 + random.below(CLIENTS);
            let (task, process) = hands.living.get_mut(&client).unwrap();
            process.child.kill().unwrap();
            process.child.wait().unwrap();
            let task = Task { life: task.life + 1, ..task.clone() };
            let process = self.process(&task);
            hands.replace(task, process);
            self.kills.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Stops the traffic of all clients, and waits until it has stopped.
    pub fn stop(&self) {
        for (task, process) in self.hold().living.values_mut() {
            process.send_line("stop");
            let line = std::iter::from_fn(|| process.next_line()).find(|line| line == "stopped");
            assert!(line.is_some(), "client {} ended during its life {}", task.client, task.life);
        }
    }

    /// Lets all clients listen up to a revision, and then end. Returns when each life ended that was killed.
    pub fn end(&self, revision: u64) -> BTreeMap<(u64, u64), u64> {
        let Hands { mut living, ends } = std::mem::take(&mut *self.hold());
        for (_, process) in living.values_mut() {
            process.send_line(&revision.to_string());
        }
        for (task, mut process) in living.into_values() {
            assert_eq!(process.next_line().as_deref(), Some("reached"), "client {}", task.client);
            process.finish();
        }
        ends
    }

    /// The journals of all lives of all clients, in order. A life that was too short has none.
    pub fn journals(folder: &Path) -> Vec<(u64, u64, PathBuf)> {
        let mut journals: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .filter_map(|file| {
                let path = file.unwrap().path();
                let (client, life) = life_of(&path)?;
                Some((client, life, path))
            })
            .collect();
        journals.sort();
        journals
    }
}

impl Hands {
    /// The living clients with their lives: those that write, and the observer.
    pub fn lives(&self) -> Vec<(u64, u64)> {
        self.living.values().map(|(task, _)| (task.client, task.life)).collect()
    }

    /// Sets how far the clock of a client is ahead of the machine's.
    pub fn set_clock(&mut self, client: u64, ahead_ms: i64) {
        self.living.get_mut(&client).unwrap().1.send_line(&format!("clock {ahead_ms}"));
    }

    /// The former process of this client, if it still runs, is killed.
    fn replace(&mut self, task: Task, process: Process) {
        let client = task.client;
        if let Some((former, mut process)) = self.living.insert(client, (task, process)) {
            process.child.kill().unwrap();
            process.child.wait().unwrap();
            self.ends.insert((client, former.life), now_ns());
        }
    }
}
