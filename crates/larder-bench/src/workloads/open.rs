//! Opening a large store and reading one entry, in a new process.

use super::check;
use crate::Outcome;
use crate::measure::{Effort, Figure};
use crate::peers::{Connected, Larder, Table};
use crate::row::{Row, Unit};
use crate::sample::Sample;
use crate::scratch;
use crate::second_process::{OpeningCost, Task, opening_cost};

pub const ROWS: &[&str] = &["open-resident"];
const VALUE_BYTES: usize = 1_000;

pub fn open(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::with_values(effort.size(1_000_000, 30_000), VALUE_BYTES);
    let folder = scratch::folder()?;
    let path = folder.path().join("larder.db");
    Larder::filled(&path, &sample)?.store.close()?;
    let megabytes = std::fs::metadata(&path)?.len() / 1_000_000;
    check(megabytes * 1_000_000 >= sample.len() * VALUE_BYTES as u64 / 2)?;

    let by_hand = folder.path().join("raw.db");
    drop(Connected::filled(&by_hand, Table::WithoutRowid, &sample)?);

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let tasks = [
        Task::Open { path, value_bytes: VALUE_BYTES },
        Task::OpenRaw { path: by_hand, value_bytes: VALUE_BYTES },
    ];
    // The first round only loads the file into the system's cache.
    for round in 0..=effort.rounds {
        for (task, costs) in tasks.iter().zip([&mut ours, &mut theirs]) {
            let cost = opening_cost(task)?;
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    let figures = |of: fn(&OpeningCost) -> Option<f64>| {
        [("larder", &ours), ("raw SQLite", &theirs)]
            .map(|(name, costs)| Figure::new(name, costs.iter().filter_map(of).collect()))
    };
    let time = Row::of("open", Unit::Milliseconds, &figures(|cost| Some(cost.ns)));
    let met = time.larder <= 20.0;
    let mut rows = vec![time.with_target(format!("at most 20 ms, of {megabytes} MB"), met)];
    let mebibytes = figures(|cost| cost.resident_bytes.map(|bytes| bytes / f64::from(1 << 20)));
    // Only Linux reports it.
    let resident = Row::of("open-resident", Unit::Plain("MiB"), &mebibytes);
    if resident.larder.is_finite() {
        let met = resident.larder <= 16.0;
        rows.push(resident.with_target(format!("at most 16 MiB, of {megabytes} MB"), met));
    }
    Ok(rows)
}
