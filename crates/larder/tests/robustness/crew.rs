//! The client processes of a trial, which are killed and restarted.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::client::Task;
use super::outside::Process;
use super::random::Random;
use super::record::journal_path;

/// The client that only watches and is never killed.
pub const OBSERVER: u64 = 0;

/// How many clients write and read, and with how many threads each.
const CLIENTS: u64 = 3;
const WORKERS: u64 = 4;

pub struct Crew {
    test: &'static str,
    folder: PathBuf,
    location: String,
    seed: u64,
    members: Vec<(Task, Process)>,
    pub kills: u64,
}

impl Crew {
    pub fn new(test: &'static str, folder: PathBuf, location: &str, seed: u64) -> Self {
        Self { test, folder, location: location.to_owned(), seed, members: Vec::new(), kills: 0 }
    }

    /// Starts the observer, which only listens. When this returns, its watcher has begun.
    pub fn start_observer(&mut self) {
        self.start(OBSERVER, 0);
    }

    /// Starts the clients that write.
    pub fn start_clients(&mut self) {
        (1..=CLIENTS).for_each(|client| self.start(client, WORKERS));
    }

    fn start(&mut self, client: u64, workers: u64) {
        let task =
            Task { location: turned(&self.location, client), seed: self.seed, client, life: 0, workers };
        let mut process = self.process(&task);
        assert_eq!(process.next_line().as_deref(), Some("ready"));
        self.members.push((task, process));
    }

    fn process(&self, task: &Task) -> Process {
        Process::start(self.test, &self.folder, &task.words())
    }

    /// Kills and restarts clients at random moments until `over`.
    pub fn kill_some(&mut self, mut random: Random, over: &AtomicBool) {
        let mut next = Instant::now();
        while !over.load(Ordering::SeqCst) {
            if Instant::now() < next {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            next = Instant::now() + Duration::from_millis(2500 + random.below(5000));
            let client = 1 + random.below(CLIENTS) as usize;
            let mut task = self.members[client].0.clone();
            task.life += 1;
            let process = &mut self.members[client].1;
            process.child.kill().unwrap();
            process.child.wait().unwrap();
            self.members[client] = (task.clone(), self.process(&task));
            self.kills += 1;
        }
    }

    /// Stops the traffic of all clients, and waits until it has stopped.
    pub fn stop(&mut self) {
        for (task, process) in &mut self.members {
            process.send_line("stop");
            let line = std::iter::from_fn(|| process.next_line()).find(|line| line == "stopped");
            assert!(line.is_some(), "client {} ended during its life {}", task.client, task.life);
        }
    }

    /// Lets all clients listen up to a revision, and then end.
    pub fn end(&mut self, revision: u64) {
        for (_, process) in &mut self.members {
            process.send_line(&revision.to_string());
        }
        for (task, mut process) in self.members.drain(..) {
            assert_eq!(process.next_line().as_deref(), Some("reached"), "client {}", task.client);
            process.finish();
        }
    }

    /// The journals of all lives of all clients.
    pub fn journals(folder: &std::path::Path) -> Vec<(u64, u64, PathBuf)> {
        let lives = |client: u64| {
            (0..)
                .map(move |life| (client, life, journal_path(folder, client, life)))
                .take_while(|(.., path)| path.exists())
        };
        (0..=CLIENTS).flat_map(lives).collect()
    }
}

/// The location with another member first. A client asks the first member while that answers, so the clients
/// begin with different ones.
fn turned(location: &str, by: u64) -> String {
    let (cluster, name) = location.rsplit_once('/').unwrap();
    let mut endpoints: Vec<&str> = cluster.trim_start_matches("etcd://").split(',').collect();
    let count = endpoints.len();
    endpoints.rotate_left(by as usize % count);
    format!("etcd://{}/{name}", endpoints.join(","))
}
