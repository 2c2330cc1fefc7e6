//! A quiet tenant beside a hostile one, which does as much as its handle lets it: how much slower the quiet tenant's
//! calls become, and whether that is within the factor that docs/tenancy.md states. And what a backlog of one tenant's expired entries costs the others.

mod hostility;

use std::time::Duration;

use larder::{ManualClock, Quota, ScopedStore, Store};
use tokio::runtime::Builder;

use self::hostility::{
    AWAITED_READS, Deed, EVERYTHING, Hostility, LARGE_BATCHES, QUEUED_WRITES, WATCHED_WRITES,
};
use super::check;
use crate::Outcome;
use crate::measure::{Contender, Effort, Figure, in_turn};
use crate::row::{ALONE, Row, Unit};
use crate::scratch;

pub const ROWS: &[&str] = &[
    "tenants-get",
    "tenants-groups",
    "tenants-queue",
    "tenants-watched",
    "tenants-batches",
    "tenants-awaited",
    "tenants-backlog",
];

pub fn tenants(effort: Effort) -> Outcome<Vec<Row>> {
    let folder = scratch::folder()?;
    let (alone, beside) =
        (Store::open(folder.path().join("alone.db"))?, Store::open(folder.path().join("beside.db"))?);
    let ours = quiet(&alone)?;
    let theirs = quiet(&beside)?;
    beside.set_quota("hostile", Quota { max_keys: Some(10_000), ..Quota::default() })?;
    let first = beside.revision()?;
    theirs.set("settings", "first", "v")?;
    let mut rows = Vec::new();
    let cases: [(&str, Call, &[Deed], f64); 7] = [
        ("tenants", set, EVERYTHING, 20.0),
        ("tenants-get", get, EVERYTHING, 5.0),
        ("tenants-groups", groups, EVERYTHING, 5.0),
        ("tenants-queue", set, QUEUED_WRITES, 5.0),
        ("tenants-watched", set, WATCHED_WRITES, 5.0),
        ("tenants-batches", set, LARGE_BATCHES, 100.0),
        ("tenants-awaited", awaited_groups, AWAITED_READS, 20.0),
    ];
    for (id, call, deeds, times_max) in cases {
        let before = measured(effort, "alone", &ours, call)?;
        let hostility = Hostility::begin(&beside, deeds)?;
        let with = measured(effort, "larder", &theirs, call)?;
        hostility.end()?;
        rows.push(compared(id, with, before, times_max));
    }
    // Nothing of the quiet tenant's history is gone, whatever the other has logged meanwhile.
    check(theirs.watch_from(("settings", "first"), first)?.try_recv()?.is_some())?;
    rows.push(backlog(effort)?);
    Ok(rows)
}

type Call = fn(&ScopedStore, u64) -> Outcome;

fn quiet(store: &Store) -> Outcome<ScopedStore> {
    let tenant = store.scoped("quiet")?;
    for number in 0..10 {
        tenant.set(format!("group-{number}"), "k", "v")?;
    }
    Ok(tenant)
}

fn set(tenant: &ScopedStore, pieces: u64) -> Outcome {
    for number in 0..pieces {
        tenant.set("settings", "colour", number.to_string())?;
    }
    Ok(())
}

fn get(tenant: &ScopedStore, pieces: u64) -> Outcome {
    for number in 0..pieces {
        check(tenant.exists(format!("group-{}", number % 10), "k")?)?;
    }
    Ok(())
}

fn groups(tenant: &ScopedStore, pieces: u64) -> Outcome {
    for _ in 0..pieces {
        check(tenant.groups("group-")?.len() == 10)?;
    }
    Ok(())
}

/// Awaits one call after another.
fn awaited_groups(tenant: &ScopedStore, pieces: u64) -> Outcome {
    let tenant = tenant.clone().into_async();
    Builder::new_current_thread().build()?.block_on(async {
        for _ in 0..pieces {
            check(tenant.groups("group-").await?.len() == 10)?;
        }
        Ok(())
    })
}

fn measured(effort: Effort, name: &str, tenant: &ScopedStore, call: Call) -> Outcome<Figure> {
    let contender = Contender::new(name, |pieces| call(tenant, pieces));
    in_turn(effort, vec![contender])?.pop().ok_or_else(|| "nothing was measured".into())
}

/// A row of what calls take beside a hostile tenant, and alone, and how many times as long they may take.
fn compared(id: &str, with: Figure, alone: Figure, times_max: f64) -> Row {
    let is_met = with.median() <= times_max * alone.median();
    Row::of(id, Unit::Microseconds, &[with.named("larder"), alone.named(ALONE)])
        .with_target(format!("at most {times_max} times alone"), is_met)
}

/// The groups of a tenant, with and without many entries of another that have expired and are not removed yet.
fn backlog(effort: Effort) -> Outcome<Row> {
    let clock = ManualClock::new();
    let store = Store::options().clock(clock.clone()).expiry_timer(false).in_memory()?;
    let tenant = quiet(&store)?;
    let alone = measured(effort, "alone", &tenant, groups)?;
    let hostile = store.scoped("hostile")?;
    let due = effort.size(300_000, 10_000);
    for first in (0..due).step_by(1000) {
        let batch = (first..first + 1000).fold(hostile.batch(), |batch, number| {
            batch.set_with_ttl("g", number.to_string(), "v", Duration::from_secs(1))
        });
        batch.commit()?;
    }
    clock.advance(Duration::from_secs(2));
    let with = measured(effort, "larder", &tenant, groups)?;
    Ok(compared("tenants-backlog", with, alone, 10.0))
}
