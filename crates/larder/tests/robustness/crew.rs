//! The client processes, which are killed and started again meanwhile.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::client::Task;
use super::outside::Process;
use super::random::Random;
use super::record::diary_path;

/// The client that only listens, and is never killed.
pub const OBSERVER: u64 = 0;

/// How many clients write and read, in how many threads each.
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

    /// Starts the one that listens. It does when this returns.
    pub fn start_observer(&mut self) {
        self.start(OBSERVER, 0);
    }

    /// Starts those that write.
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

    /// Kills one after the other, at whatever it is just doing, until it is told to stop.
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

    /// Has all stop their traffic, and waits until they have.
    pub fn stop(&mut self) {
        for (task, process) in &mut self.members {
            process.send_line("stop");
            let said = std::iter::from_fn(|| process.next_line()).find(|said| said == "stopped");
            assert!(
                said.is_some(),
                "client {} has ended in the middle of its life {}",
                task.client,
                task.life
            );
        }
    }

    /// Has all listen until a revision, and ends them.
    pub fn end(&mut self, revision: u64) {
        for (_, process) in &mut self.members {
            process.send_line(&revision.to_string());
        }
        for (task, mut process) in self.members.drain(..) {
            assert_eq!(process.next_line().as_deref(), Some("reached"), "client {}", task.client);
            process.finish();
        }
        // From here on only what they wrote counts.
    }

    /// The diaries of all lives of all clients.
    pub fn diaries(folder: &std::path::Path) -> Vec<(u64, u64, PathBuf)> {
        let lives = |client: u64| {
            (0..)
                .map(move |life| (client, life, diary_path(folder, client, life)))
                .take_while(|(.., path)| path.exists())
        };
        (0..=CLIENTS).flat_map(lives).collect()
    }
}

/// The same location with another member first: that is the one that a client asks as long as it answers, and
/// not all are to ask the same.
fn turned(location: &str, by: u64) -> String {
    let (cluster, name) = location.rsplit_once('/').unwrap();
    let mut endpoints: Vec<&str> = cluster.trim_start_matches("etcd://").split(',').collect();
    let count = endpoints.len();
    endpoints.rotate_left(by as usize % count);
    format!("etcd://{}/{name}", endpoints.join(","))
}
