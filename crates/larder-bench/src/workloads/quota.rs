//! A tenant's new keys under a full set of limits, as the namespace grows.

use std::collections::BTreeMap;

use larder::{Quota, Store};

use super::{GROUP, fill, key, value};
use crate::Outcome;
use crate::measure::{Contender, Effort, in_turn};
use crate::report::Row;

pub fn quota(effort: Effort) -> Outcome<Vec<Row>> {
    [1_000, 100_000, 1_000_000].into_iter().map(|keys| at(effort, keys)).collect()
}

fn at(effort: Effort, keys: u64) -> Outcome<Row> {
    let (limited, plain) = (Store::in_memory()?, Store::in_memory()?);
    let tenant = limited.scoped("tenant-42")?;
    fill(&limited, &format!("tenant-42:{GROUP}"), keys)?;
    fill(&plain, GROUP, keys)?;
    tenant.set_quota(Quota {
        max_keys: Some(1 << 40),
        max_groups: Some(1 << 20),
        max_bytes: Some(1 << 50),
    })?;
    let (mut ours, mut theirs) = (keys, keys);
    let timings = in_turn(
        effort,
        vec![
            Contender::new("larder", |pieces| {
                (0..pieces).try_for_each(|_| {
                    ours += 1;
                    Ok(tenant.set(GROUP, key(ours), value(ours)).map(drop)?)
                })
            }),
            Contender::new("larder, plain set", |pieces| {
                (0..pieces).try_for_each(|_| {
                    theirs += 1;
                    Ok(plain.set(GROUP, key(theirs), value(theirs)).map(drop)?)
                })
            }),
        ],
    )?;
    let flat =
        |larder: f64, peers: &BTreeMap<String, f64>| Some(larder <= 1.15 * peers.get("larder, plain set")?);
    Ok(Row::of(format!("quota-{keys}"), &timings, "within 1.15 x of a plain set, flat", flat))
}
