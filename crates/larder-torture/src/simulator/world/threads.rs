//! The lives of threads: how they begin, wait for each other and end.

use std::sync::Arc;

use super::{State, Woken, lock, suspend, with};
use crate::simulator::interposed::{self, Inside};

/// Notes a new thread of the same process.
pub fn bear() -> usize {
    with(|world| world.add_thread(world.process()))
}

/// Notes what the system calls a new thread.
pub fn name(number: usize, name: libc::pthread_t) {
    with(|world| world.threads[number].name = Some(name));
}

/// Notes that a thread could not be started.
pub fn stillborn(number: usize) {
    with(|world| world.threads[number].state = State::Finished);
}

/// The first act of a new thread: it waits for its turn.
pub fn arrive(number: usize) {
    interposed::set_thread(Some(number));
    let _inside = Inside::enter();
    let gate = with(|world| Arc::clone(&world.threads[number].gate));
    gate.pass();
}

/// The last act of a thread.
pub fn finish() {
    let _inside = Inside::enter();
    let next = with(|world| {
        let own = world.current;
        world.threads[own].state = State::Finished;
        for thread in &mut world.threads {
            if thread.state == State::Joins(own) {
                thread.state = State::Ready;
            }
        }
        world.current = world.choose(None);
        Arc::clone(&world.threads[world.current].gate)
    });
    interposed::set_thread(None);
    next.open();
}

/// Waits until a thread has finished.
pub fn join(name: libc::pthread_t) {
    let number = with(|world| {
        // The system uses names again.
        let found = world.threads.iter().rposition(|thread| thread.name == Some(name));
        found.filter(|number| world.threads[*number].state != State::Finished)
    });
    if let Some(number) = number {
        suspend(State::Joins(number));
    }
}

/// Waits at an address until somebody wakes those that wait there.
pub fn wait(address: usize, deadline: Option<u64>) -> Woken {
    suspend(State::Waits { address, deadline });
    with(|world| world.threads[world.current].woken)
}

/// Wakes so many that wait at an address, and returns how many they were.
pub fn wake(address: usize, many: u64) -> u64 {
    with(|world| {
        let mut woken = 0;
        for thread in &mut world.threads {
            if woken < many && matches!(thread.state, State::Waits { address: at, .. } if at == address) {
                thread.state = State::Ready;
                thread.woken = Woken::Called;
                woken += 1;
            }
        }
        woken
    })
}

/// Gives up where a thread of the run waits for one that is not: the run would not repeat, and might never end.
pub fn expect_no_waiter(address: usize) {
    let _inside = Inside::enter();
    if let Some(world) = &*lock()
        && world
            .threads
            .iter()
            .any(|thread| matches!(thread.state, State::Waits { address: at, .. } if at == address))
    {
        world.give_up("a thread outside the run wakes one that waits in it");
    }
}

/// Sleeps, in the time of the world.
pub fn sleep(nanoseconds: u64) {
    let until = with(|world| world.now + nanoseconds);
    suspend(State::Sleeps { until });
}
