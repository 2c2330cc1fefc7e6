//! The processes of a round: they are started, killed at moments from the seed and started again, and end by themselves.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::notes::{self, Note};
use super::worker::SILENT;
use super::{BOUND, Plant, Role, WORKERS, notes_of};
use crate::moment;
use crate::random::Random;

/// A process of the round.
struct Process {
    role: Role,
    number: u64,
    /// How often it was killed before.
    life: u64,
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended, unless the round was given up.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What all of them are told.
struct Told {
    folder: PathBuf,
    until: u64,
    plant: Option<Plant>,
}

pub struct Processes {
    told: Told,
    random: Random,
    workers: Vec<Process>,
    neighbours: Vec<Process>,
    next_kill: Instant,
    /// When which process and life had ended by being killed.
    killed: Vec<(u64, u64, u64)>,
    complaints: Vec<String>,
}

impl Told {
    fn start(&self, role: Role, number: u64, life: u64, seed: u64) -> io::Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["neighbour", &role.to_string(), &number.to_string()]).arg(&self.folder);
        command.args(["--seed", &seed.to_string(), "--until", &self.until.to_string()]);
        command.args(["--life", &life.to_string()]);
        if let Some(name) = self.plant.as_ref().and_then(clap::ValueEnum::to_possible_value) {
            command.args(["--plant", name.get_name()]);
        }
        let child = command.stdout(Stdio::piped()).spawn()?;
        Ok(Process { role, number, life, child })
    }
}

impl Processes {
    /// Starts all of them.
    pub fn start(
        folder: &Path,
        seed: u64,
        until: u64,
        plant: Option<Plant>,
        shell: bool,
    ) -> io::Result<Self> {
        let told = Told { folder: folder.to_owned(), until, plant };
        let mut random = Random::new(seed);
        let (mut workers, mut neighbours) = (Vec::new(), Vec::new());
        for number in 0..WORKERS {
            workers.push(told.start(Role::Worker, number, 0, random.next())?);
        }
        let roles =
            [Role::Plain, Role::Replicator, Role::Restorer].into_iter().chain(shell.then_some(Role::Shell));
        for (role, number) in roles.zip(WORKERS..) {
            neighbours.push(told.start(role, number, 0, random.next())?);
        }
        let next_kill = Instant::now() + pause(&mut random);
        let (killed, complaints) = (Vec::new(), Vec::new());
        Ok(Self { told, random, workers, neighbours, next_kill, killed, complaints })
    }

    /// Lets them go on until a moment, kills workers meanwhile, and starts those again.
    pub fn go_on(&mut self, until: Instant) -> io::Result<()> {
        while self.next_kill < until {
            sleep(self.next_kill.saturating_duration_since(Instant::now()));
            let victim = self.random.below(WORKERS);
            // For a moment none of larder's processes has the file open, if all are killed at once.
            let everybody = self.random.one_in(4);
            self.kill(|process| everybody || process.number == victim)?;
            self.next_kill = Instant::now() + pause(&mut self.random);
        }
        sleep(until.saturating_duration_since(Instant::now()));
        Ok(())
    }

    fn kill(&mut self, is_victim: impl Fn(&Process) -> bool) -> io::Result<()> {
        for process in self.workers.iter_mut().filter(|process| is_victim(process)) {
            process.child.kill()?;
        }
        for process in self.workers.iter_mut().filter(|process| is_victim(process)) {
            let status = process.child.wait()?;
            let (number, life) = (process.number, process.life);
            if status.signal().is_none() {
                self.complaints.push(format!("worker {number} ended too early, with {status}"));
            }
            self.killed.push((number, life, moment::now()));
            *process = self.told.start(Role::Worker, number, life + 1, self.random.next())?;
        }
        Ok(())
    }

    /// Waits until nobody but the workers' feeds is left.
    pub fn fall_silent(&mut self) -> io::Result<()> {
        let gives_up = Instant::now() + BOUND * 6;
        let (sender, silent) = std::sync::mpsc::channel();
        for worker in &mut self.workers {
            let (output, sender, number) = (worker.child.stdout.take(), sender.clone(), worker.number);
            std::thread::spawn(move || {
                let line = output.and_then(|output| BufReader::new(output).lines().next());
                let _ = sender.send((number, matches!(line, Some(Ok(line)) if line == SILENT)));
            });
        }
        for _ in &self.workers {
            match silent.recv_timeout(gives_up.saturating_duration_since(Instant::now())) {
                Ok((_, true)) => {}
                Ok((number, false)) => self.complaints.push(format!("worker {number} ended too early")),
                Err(_) => self.complaints.push("a worker has a call that does not end".into()),
            }
        }
        let neighbours = std::mem::take(&mut self.neighbours);
        wait(neighbours, gives_up, &mut self.complaints)
    }

    /// Waits for the workers, and reads what everybody noted, each life of a process after the one before.
    pub fn end(mut self) -> io::Result<(Vec<Note>, Vec<String>)> {
        let mut lives: Vec<_> =
            self.killed.iter().map(|(number, life, at)| (*number, *life, Some(*at))).collect();
        lives.extend(self.workers.iter().map(|process| (process.number, process.life, None)));
        lives.extend((WORKERS..WORKERS + 4).map(|number| (number, 0, None)));
        wait(std::mem::take(&mut self.workers), Instant::now() + BOUND * 6, &mut self.complaints)?;
        lives.sort_unstable();
        let mut all = Vec::new();
        for (number, life, killed) in lives {
            let file = self.told.folder.join(notes_of(number, life));
            all.extend(killed.map(|_| Note::Killed));
            // A process that was killed at once has none, and there may be no shell.
            if !file.exists() {
                continue;
            }
            match notes::read(&file, killed) {
                Ok(notes) => all.extend(notes),
                Err(error) => self.complaints.push(format!("{} cannot be read: {error}", file.display())),
            }
        }
        Ok((all, self.complaints))
    }
}

/// How long nobody is killed.
fn pause(random: &mut Random) -> Duration {
    Duration::from_millis(300 + random.below(2_400))
}

/// Waits for processes to end by themselves.
fn wait(processes: Vec<Process>, gives_up: Instant, complaints: &mut Vec<String>) -> io::Result<()> {
    for mut process in processes {
        let ended = loop {
            match process.child.try_wait()? {
                None if Instant::now() < gives_up => sleep(Duration::from_millis(20)),
                status => break status,
            }
        };
        let Process { role, number, .. } = process;
        match ended {
            Some(status) if status.success() => {}
            Some(status) => complaints.push(format!("{role} {number} ended with {status}")),
            None => complaints.push(format!("{role} {number} did not end")),
        }
    }
    Ok(())
}
