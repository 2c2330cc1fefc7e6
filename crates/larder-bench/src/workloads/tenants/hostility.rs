//! A tenant that does as much as its handle lets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::future::try_join_all;
use larder::{Result, ScopedStore, Store};
use tokio::runtime::Builder;

use crate::Outcome;

/// The size of the values that the hostile tenant overwrites.
const LARGE: usize = 900 << 10;

/// How many calls it has in flight at a time.
const IN_FLIGHT: u64 = 4000;

/// How many watchers it has. They receive nothing, and lag.
const WATCHERS: usize = 1000;

/// One thing that a hostile tenant does again and again, each time on its own thread.
pub type Deed = fn(&ScopedStore, u64) -> Result<()>;

/// Large values, entries that expire, and lists.
pub const EVERYTHING: &[Deed] = &[
    |tenant, _| tenant.set("g", "large", vec![b'v'; LARGE]).map(drop),
    |tenant, number| {
        let batch = (0..100).fold(tenant.batch(), |batch, key| {
            batch.set_with_ttl("g", format!("{key}"), number.to_string(), Duration::from_millis(1))
        });
        batch.commit().map(drop)
    },
    |tenant, _| tenant.groups("").and_then(|_| tenant.usage()).map(drop),
];

/// Small writes, thousands of which are in flight.
pub const QUEUED_WRITES: &[Deed] = &[|tenant, number| {
    let tenant = tenant.clone().into_async();
    let writes = (0..IN_FLIGHT).map(|key| tenant.set("g", key.to_string(), number.to_string()));
    awaiting(async { try_join_all(writes).await.map(drop) })
}];

/// Small writes that a thousand watchers want.
pub const WATCHED_WRITES: &[Deed] = &[|tenant, number| {
    let watchers = (0..WATCHERS).map(|_| tenant.watch(("g", "*"))).collect::<Result<Vec<_>>>()?;
    for watcher in &watchers {
        watcher.try_recv()?;
    }
    (0..2000_u64).try_for_each(|key| tenant.set("g", (key % 100).to_string(), number.to_string()).map(drop))
}];

/// Batches as large as a tenant may make them, on two threads.
pub const LARGE_BATCHES: &[Deed] = &[large_batch, large_batch];

fn large_batch(tenant: &ScopedStore, number: u64) -> Result<()> {
    let batch = (0..10_000)
        .fold(tenant.batch(), |batch, key| batch.set("batch", (key % 1000).to_string(), number.to_string()));
    batch.commit().map(drop)
}

/// Reads of a large group, thousands of which are in flight.
pub const AWAITED_READS: &[Deed] = &[|tenant, _| {
    if !tenant.group_exists("large")? {
        let batch = (0..1000).fold(tenant.batch(), |batch, key| batch.set("large", key.to_string(), "v"));
        batch.commit()?;
    }
    let tenant = tenant.clone().into_async();
    let reads = (0..IN_FLIGHT / 10).map(|_| tenant.get_all("large"));
    awaiting(async { try_join_all(reads).await.map(drop) })
}];

fn awaiting(work: impl Future<Output = Result<()>>) -> Result<()> {
    match Builder::new_current_thread().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => Err(larder::Error::other(error)),
    }
}

/// Threads that use a tenant's handle as hard as they can.
pub struct Hostility {
    over: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Result<()>>>,
}

impl Hostility {
    pub fn begin(store: &Store, deeds: &[Deed]) -> Outcome<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let tenant = store.scoped("hostile")?;
        let mut threads = Vec::new();
        for deed in deeds.iter().copied() {
            let (tenant, over) = (tenant.clone(), Arc::clone(&over));
            threads.push(thread::spawn(move || {
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    deed(&tenant, number)?;
                }
                Ok(())
            }));
        }
        Ok(Self { over, threads })
    }

    pub fn end(self) -> Outcome {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| "the hostile tenant panicked")??;
        }
        Ok(())
    }
}
