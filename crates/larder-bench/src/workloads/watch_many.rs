//! Setting an entry beside very many watchers of other entries.

use larder::{Pattern, Store, Watcher};

use super::KEYS;
use super::loops::setting;
use crate::Outcome;
use crate::measure::{Effort, in_turn};
use crate::peers::Larder;
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Sample};
use crate::scratch;
use crate::second_process;

pub const ROWS: &[&str] = &["watch-many-memory"];
const WATCHERS: u64 = 10_000;
const MOST: f64 = 1.05;
const NONE: &str = "larder, no watcher";

pub fn watch_many(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(KEYS);
    let folder = scratch::folder()?;
    let in_file = |name: &str| Larder::filled(&folder.path().join(name), &sample);
    let in_memory = || Larder::in_memory(&sample);
    let files = [in_file("many.db")?, in_file("none.db")?, in_file("one.db")?];
    second_process::sync_files(folder.path())?;
    let durable = row(effort, "watch-many", &sample, &files)?;
    let met = durable.larder <= MOST * durable.peer(NONE)?;
    let target = format!("with 10,000 watchers of other keys within {MOST} × of without");
    let durable = durable.with_target(target, met);
    let memory = row(effort, "watch-many-memory", &sample, &[in_memory()?, in_memory()?, in_memory()?])?;
    Ok(vec![durable, memory])
}

fn row(effort: Effort, id: &str, sample: &Sample, [many, none, one]: &[Larder; 3]) -> Outcome<Row> {
    let _watchers =
        (0..WATCHERS).map(|number| of_others(&many.store, number)).collect::<Outcome<Vec<_>>>()?;
    let _watcher = of_others(&one.store, 0)?;
    let contenders = vec![
        setting("larder", many, sample),
        setting(NONE, none, sample),
        setting("larder, one watcher", one, sample),
    ];
    Ok(Row::of(id, Unit::Microseconds, &in_turn(effort.rounds(31), contenders)?))
}

/// A watcher of other entries: mostly of a key of the same group, sometimes of another group or of a prefix.
fn of_others(store: &Store, number: u64) -> Outcome<Watcher> {
    let pattern = match number % 10 {
        0 => Pattern::group(format!("other-{number}")),
        1 => Pattern::group_prefix(format!("tenant-{number}:")),
        2 => Pattern::key_prefix(GROUP, format!("others-{number}-")),
        _ => Pattern::key(GROUP, format!("other-{number}")),
    };
    let watcher = store.watch(pattern)?;
    // Makes the watcher live.
    watcher.try_recv()?;
    Ok(watcher)
}
