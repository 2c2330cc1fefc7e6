//! Durable sets from one task with many in flight.

use futures_util::stream::{StreamExt, TryStreamExt, iter};
use larder::AsyncStore;
use tokio::runtime::{Builder, Runtime};

use super::KEYS;
use super::loops::{read_all, setting};
use crate::Outcome;
use crate::measure::{Contender, Effort, in_turn};
use crate::peers::Larder;
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Numbers, Sample};
use crate::scratch;
use crate::second_process;

const IN_FLIGHT: usize = 256;

/// How often the queue is filled, at least, in a round.
const TURNS_MIN: u64 = 8;
const TURNS_TO_WARM_UP: u64 = 300;

pub fn set_pipelined(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(KEYS);
    let folder = scratch::folder()?;
    let larder = Larder::filled(&folder.path().join("larder.db"), &sample)?;
    let alone = Larder::filled(&folder.path().join("alone.db"), &sample)?;
    second_process::sync_files(folder.path())?;
    let runtime = Builder::new_current_thread().build()?;
    let contenders =
        vec![pipelined("larder", &larder, &runtime, &sample), setting("larder, one thread", &alone, &sample)];
    let row = Row::of("set-pipelined", Unit::PerSecond, &in_turn(effort, contenders)?);
    read_all(&larder, &sample)?;
    let met = row.larder >= 16.0 * row.peer("larder, one thread")?;
    Ok(vec![row.with_target("16 × as many as from one thread", met)])
}

/// Sets random keys from one task, many at a time.
pub fn pipelined<'a>(name: &str, larder: &Larder, runtime: &'a Runtime, sample: &'a Sample) -> Contender<'a> {
    let store = larder.store.clone().into_async();
    let (mut numbers, in_flight) = (Numbers::from(1), IN_FLIGHT as u64);
    Contender::new(name, move |pieces| {
        let mut values = sample.values();
        let sets = (0..pieces).map(|_| {
            let key = sample.key(numbers.below(sample.len()));
            set(&store, key.alone(), values.of(key).to_vec())
        });
        runtime.block_on(iter(sets).buffer_unordered(IN_FLIGHT).try_collect::<()>())?;
        Ok(())
    })
    .at_least(in_flight * TURNS_MIN)
    .warmed_up(in_flight * TURNS_TO_WARM_UP)
}

async fn set(store: &AsyncStore, key: &str, value: Vec<u8>) -> larder::Result<()> {
    store.set(GROUP, key, value).await.map(drop)
}
