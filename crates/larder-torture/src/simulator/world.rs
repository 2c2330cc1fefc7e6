//! The world of one run: its threads, of which one runs at a time, its clock, its disk, and what befalls them.
//!
//! A thread runs until it calls the VFS, waits or ends. Then a seeded choice says who runs next. So a seed repeats a run
//! exactly: nothing else decides the order of events.

mod schedule;
mod threads;

use std::collections::BTreeSet;
use std::ffi::c_int;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::ffi;

pub use self::threads::{arrive, bear, expect_no_waiter, finish, join, name, sleep, stillborn, wait, wake};
use super::disk::Disk;
use super::handles::Handles;
use super::interposed::{self, Gate, Inside};
use super::plan::{Call, Plan, Whom};
use super::shared_memory::SharedMemory;
use crate::random::Random;

/// A process of the simulation. 0 is the one that watches the others, to which nothing happens.
pub type Process = u32;

/// When the world begins, in nanoseconds since 1970: some day in 2026.
const BEGINNING: u64 = 1_790_000_000_000_000_000;

/// After so many calls a run is taken for one without an end.
const STEPS_MAX: u64 = 3_000_000;

static WORLD: Mutex<Option<World>> = Mutex::new(None);

pub struct World {
    seed: u64,
    /// Who runs next.
    schedule: Random,
    /// What larder and SQLite take from the system as random.
    noise: Random,
    /// What becomes of torn writes.
    pub fate: Random,
    /// Nanoseconds since it began.
    now: u64,
    pub steps: u64,
    /// How often it was chosen who runs next.
    choices: u64,
    /// Of every call and its result, in order.
    trace: u64,
    threads: Vec<Thread>,
    current: usize,
    /// A thread that can go on is passed over once in so many calls.
    switch_one_in: u64,
    /// A thread rests for a while once in so many calls, and the others get far meanwhile.
    rest_one_in: u64,
    /// How often a connection has ended a write.
    written: u64,
    processes: Process,
    dead: BTreeSet<Process>,
    pub plan: Plan,
    pub disk: Disk,
    pub handles: Handles,
    pub memory: SharedMemory,
}

struct Thread {
    process: Process,
    gate: Arc<Gate>,
    state: State,
    woken: Woken,
    /// As the system calls it.
    name: Option<libc::pthread_t>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Sleeps {
        until: u64,
    },
    /// Until others have written so much, or then.
    Rests {
        written: u64,
        until: u64,
    },
    Waits {
        address: usize,
        deadline: Option<u64>,
    },
    Joins(usize),
    Finished,
}

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    Called,
    TimedOut,
}

impl World {
    fn new(seed: u64, folder: &Path) -> Self {
        let mut random = Random::new(seed);
        let mut schedule = random.split();
        let switch_one_in = [1, 2, 4, 16, 64][schedule.place(5)];
        let rest_one_in = [20, 50, 200, u64::MAX][schedule.place(4)];
        Self {
            seed,
            schedule,
            noise: random.split(),
            fate: random.split(),
            now: 1_000_000_000_000,
            steps: 0,
            choices: 0,
            trace: 0,
            threads: Vec::new(),
            current: 0,
            switch_one_in,
            rest_one_in,
            written: 0,
            processes: 0,
            dead: BTreeSet::new(),
            plan: Plan::default(),
            disk: Disk::new(folder),
            handles: Handles::default(),
            memory: SharedMemory::default(),
        }
    }

    fn add_thread(&mut self, process: Process) -> usize {
        let gate = Arc::default();
        self.threads.push(Thread { process, gate, state: State::Ready, woken: Woken::Called, name: None });
        self.threads.len() - 1
    }

    pub fn process(&self) -> Process {
        self.threads[self.current].process
    }

    /// Notes something in the trace by which two runs are compared.
    pub fn note(&mut self, number: u64) {
        self.trace = (self.trace.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn is_dead(&self) -> bool {
        self.dead.contains(&self.process())
    }

    fn kill(&mut self, process: Process) {
        self.dead.insert(process);
        self.plan.killed += u64::from(!self.plan.is_cut);
        self.handles.forget(process);
        let attached = self.handles.of(process);
        self.memory.detach(process, &attached);
    }

    /// Notes what the calling thread has made of the names of files, past the calls that the world sees.
    pub fn look_at_names(&mut self) {
        let (process, is_dead) = (self.process(), self.is_dead());
        self.disk.look(process, is_dead);
    }

    /// Ends processes whose end is planned for this call.
    fn strike(&mut self, call: Call) {
        if self.process() == 0 {
            return;
        }
        match self.plan.strike(call) {
            None => {}
            Some(Whom::Caller) => self.kill(self.process()),
            Some(whom) => {
                self.plan.is_cut |= whom == Whom::Machine;
                let living = (1..=self.processes).filter(|process| !self.dead.contains(process));
                living.collect::<Vec<_>>().into_iter().for_each(|process| self.kill(process));
            }
        }
    }
}

impl World {
    /// Ends the program and says why: the threads of this run cannot be got rid of.
    fn give_up(&self, what: &str) -> ! {
        let _inside = Inside::enter();
        let mut said = format!("seed {}, call {}: {what}\n", self.seed, self.steps);
        for (number, thread) in self.threads.iter().enumerate() {
            let runs = if number == self.current { ", runs" } else { "" };
            said += &format!("  thread {number} of process {}: {:?}{runs}\n", thread.process, thread.state);
        }
        // It is what the running thread does without an end.
        said += &format!("  it does:\n{}\n", std::backtrace::Backtrace::force_capture());
        // Not `eprintln`: what a test prints is lost when the program aborts.
        let _ = std::io::stderr().write_all(said.as_bytes());
        std::process::abort();
    }
}

/// Ends the program, because the run of this thread cannot go on.
pub fn give_up(what: &str) -> ! {
    let _inside = Inside::enter();
    if let Some(world) = &*lock() {
        world.give_up(what);
    }
    std::process::abort();
}

/// How far the run has come. It grows for as long as any of its threads runs.
pub fn progress() -> u64 {
    let _inside = Inside::enter();
    lock().as_ref().map_or(0, |world| world.steps + world.choices)
}

fn lock() -> MutexGuard<'static, Option<World>> {
    WORLD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Acts on the world, on a thread that runs.
#[expect(clippy::expect_used, reason = "a thread of the simulation has a world")]
pub fn with<T>(act: impl FnOnce(&mut World) -> T) -> T {
    let _inside = Inside::enter();
    act(lock().as_mut().expect("a world"))
}

/// Lets another thread run, if `decide` chooses one, and returns when this one runs again.
fn relinquish(decide: impl FnOnce(&mut World) -> usize) {
    let _inside = Inside::enter();
    let gates = with(|world| {
        let own = world.current;
        let next = decide(world);
        world.current = next;
        let gate = |number: usize| Arc::clone(&world.threads[number].gate);
        (next != own).then(|| (gate(next), gate(own)))
    });
    if let Some((next, own)) = gates {
        next.open();
        own.pass();
    }
}

fn suspend(state: State) {
    relinquish(|world| {
        let own = world.current;
        world.threads[own].state = state;
        world.choose(None)
    });
}

/// Begins a world, with this thread as its first.
pub fn begin(seed: u64, folder: &Path) {
    let _inside = Inside::enter();
    let mut world = World::new(seed, folder);
    let number = world.add_thread(0);
    *lock() = Some(world);
    interposed::set_thread(Some(number));
}

/// Ends the world, once all its other threads have ended.
pub fn end() -> World {
    while !with(|world| world.threads.iter().skip(1).all(|thread| thread.state == State::Finished)) {
        sleep(1_000_000);
    }
    let _inside = Inside::enter();
    interposed::set_thread(None);
    #[expect(clippy::expect_used, reason = "it was begun")]
    let world = lock().take().expect("a world");
    world
}

impl World {
    /// What all calls and their results were: equal for two runs of one seed.
    pub fn trace(&self) -> u64 {
        self.trace
    }
}

/// Makes the calling thread, and those that it will start, another process. Returns its number.
pub fn begin_process() -> Process {
    with(|world| {
        world.processes += 1;
        let own = world.current;
        world.threads[own].process = world.processes;
        world.processes
    })
}

/// Whether the calling thread's process was killed.
pub fn is_dead() -> bool {
    with(|world| world.is_dead())
}

/// A moment, later than all before.
pub fn stamp() -> u64 {
    with(|world| {
        world.steps += 1;
        world.steps
    })
}

/// Whether a call has failed in this part of the run.
pub fn is_disturbed() -> bool {
    with(|world| world.plan.failed > 0)
}

/// How many files have had the name of the store so far.
pub fn reigns() -> usize {
    with(|world| {
        world.look_at_names();
        world.disk.reigns.past().len()
    })
}

/// What the system's clock shows, in milliseconds since 1970.
pub fn wall_ms() -> i64 {
    i64::try_from(now(true) / 1_000_000).unwrap_or(i64::MAX)
}

/// One call of the VFS. Somebody else may run first.
pub fn call(what: Call, detail: u64, act: impl FnOnce(&mut World) -> c_int) -> c_int {
    if interposed::thread().is_none() || with(|world| world.is_dead()) {
        return ffi::SQLITE_IOERR;
    }
    relinquish(|world| {
        world.now += 1000 + world.schedule.below(20_000);
        world.written += u64::from(what == Call::WriteEnded);
        if let Some(rest) = world.rest(what) {
            let own = world.current;
            world.threads[own].state = rest;
            return world.choose(None);
        }
        world.choose(Some(world.current))
    });
    with(|world| {
        world.steps += 1;
        if world.steps > STEPS_MAX {
            world.give_up("the run has no end");
        }
        if !world.is_dead() {
            world.strike(what);
        }
        if world.is_dead() {
            return ffi::SQLITE_IOERR;
        }
        let fault = if world.process() == 0 { None } else { world.plan.fault(what) };
        let code = fault.unwrap_or_else(|| act(world));
        world.note(world.current as u64);
        world.note(what as u64);
        world.note(detail);
        world.note(u64::from(code.cast_unsigned()));
        code
    })
}

/// The time in nanoseconds: since 1970, or since some moment.
pub fn now(is_wall: bool) -> u64 {
    with(|world| {
        world.now += 100;
        if is_wall { BEGINNING + world.now } else { world.now }
    })
}

/// Fills with what the system would call random.
pub fn fill(room: &mut [u8]) {
    with(|world| {
        for eight in room.chunks_mut(8) {
            let random = world.noise.next().to_le_bytes();
            eight.copy_from_slice(&random[..eight.len()]);
        }
    });
}
