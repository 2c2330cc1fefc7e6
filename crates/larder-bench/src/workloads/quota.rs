//! Setting new keys under all three limits, at several sizes of the namespace.

use larder::{Quota, Store};

use super::check;
use crate::Outcome;
use crate::measure::{Contender, Effort, in_turn};
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Sample};
use crate::table::thousands;

pub const ROWS: &[&str] = &["quota-1000", "quota-100000", "quota-1000000"];
const PLAIN: &str = "larder, plain set";
const MOST: f64 = 1.1;

/// The most new keys per round: few enough that a namespace of 1,000 keys keeps its order of size.
const NEW_KEYS: u64 = 1_000;

pub fn quota(effort: Effort) -> Outcome<Vec<Row>> {
    let sizes = [1_000, effort.size(100_000, 10_000), effort.size(1_000_000, 50_000)];
    let rows = ROWS.iter().zip(sizes).map(|(id, keys)| at(effort, id, keys)).collect::<Outcome<Vec<_>>>()?;
    // The summary has the figures of the largest namespace, and is met only if every row is.
    let largest = rows.last().ok_or("no quota was timed")?;
    let [few, .., many] = sizes.map(|keys| thousands(keys as f64));
    let target = format!("within {MOST} × of a plain set at {few} to {many} keys");
    let all = rows.iter().all(|row| row.met == Some(true));
    let summary = Row { id: "quota".into(), ..largest.clone() }.with_target(target, all);
    Ok([vec![summary], rows].concat())
}

fn at(effort: Effort, id: &str, keys: u64) -> Outcome<Row> {
    // It is filled in one transaction, which is larger than a tenant may make by default.
    let limited = Store::options().batch_max(keys + NEW_KEYS, 1 << 40).in_memory()?;
    let plain = Store::in_memory()?;
    let tenant = limited.scoped("tenant-42")?;
    let sample = Sample::of(keys + NEW_KEYS);
    let limits = Quota { max_keys: Some(1 << 40), max_groups: Some(1 << 20), max_bytes: Some(1 << 50) };
    limited.set_quota("tenant-42", limits)?;
    fill(&tenant, &sample, keys)?;
    fill(&plain, &sample, keys)?;
    // Rounds are short, so there are many.
    let effort = effort.rounds(61);
    let contenders = vec![adding("larder", &tenant, &sample, keys), adding(PLAIN, &plain, &sample, keys)];
    let row = Row::of(id, Unit::Microseconds, &in_turn(effort, contenders)?);
    check(tenant.usage()?.keys >= keys)?;
    let met = row.larder <= MOST * row.peer(PLAIN)?;
    Ok(row.with_target(format!("within {MOST} × of a plain set, at {} keys", thousands(keys as f64)), met))
}

/// Sets the keys from `first` on. Before each round they are deleted, so that they are new.
fn adding<'a, S>(name: &str, store: &'a Store<S>, sample: &'a Sample, first: u64) -> Contender<'a> {
    let mut values = sample.values();
    Contender::new(name, move |pieces| {
        for number in first..first + pieces {
            let key = sample.key(number);
            store.set(GROUP, key.alone(), values.of(key))?;
        }
        Ok(())
    })
    .before(move || {
        store.transaction(|tx| {
            (first..sample.len())
                .try_for_each(|number| tx.delete(GROUP, sample.key(number).alone()).map(drop))
        })?;
        Ok(())
    })
    .at_most(NEW_KEYS)
}

fn fill<S>(store: &Store<S>, sample: &Sample, keys: u64) -> Outcome {
    let mut values = sample.values();
    store.transaction(|tx| {
        (0..keys)
            .map(|number| sample.key(number))
            .try_for_each(|key| tx.set(GROUP, key.alone(), values.of(key)))
    })?;
    Ok(())
}
