//! Reading a whole group again, of which nothing has changed.

use std::hint::black_box;

use super::{KEYS, check};
use crate::Outcome;
use crate::measure::{Contender, Effort, in_turn};
use crate::peers::{Larder, Lmdb};
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Sample};
use crate::scratch;

pub const ROWS: &[&str] = &["page-hit"];

/// The number of entries of a page, and of a larger one.
const PAGE: usize = 10;
const LARGER: usize = 100;

pub fn whole_groups(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(KEYS);
    let folder = scratch::folder()?;
    let larder = Larder::filled(&folder.path().join("larder.db"), &sample)?;
    let lmdb = Lmdb::filled(&folder.path().join("lmdb"), &sample)?;
    let prefix = sample.key(0).with_group().split_inclusive('/').next().unwrap_or_default();
    for _ in 0..2 {
        let found = larder.store.get_all(GROUP)?;
        let is_right = |(key, (name, value)): (crate::sample::Key<'_>, (&str, larder::Value))| {
            key.alone() == name && sample.is_right(key, value.as_bytes())
        };
        check(found.len() as u64 == KEYS && sample.keys().zip(&found).all(is_right))?;
    }

    let contenders = vec![
        Contender::new("larder", |pieces| {
            for _ in 0..pieces {
                check(black_box(larder.store.get_all(GROUP)?).len() as u64 == KEYS)?;
            }
            Ok(())
        }),
        Contender::new("LMDB", |pieces| {
            for _ in 0..pieces {
                check(black_box(lmdb.all(prefix)?).len() as u64 == KEYS)?;
            }
            Ok(())
        }),
    ];
    let all = Row::of("get-all-hit", Unit::Nanoseconds, &in_turn(effort, contenders)?);
    let met = all.larder <= 300.0;
    let all = all.with_target("300 ns", met);

    let paging = |limit: usize| {
        let (larder, sample) = (&larder, &sample);
        let mut turn = 0;
        move |pieces| {
            for _ in 0..pieces {
                // Pages far from each other follow each other.
                turn = (turn + 7919) % (KEYS - LARGER as u64 - 1);
                let page = larder.store.page(GROUP, Some(sample.key(turn).alone()), limit)?;
                let first = page.entries.first().filter(|_| page.entries.len() == limit);
                check(
                    first.is_some_and(|first| sample.is_right(sample.key(turn + 1), first.value.as_bytes())),
                )?;
            }
            Ok(())
        }
    };
    let contenders =
        vec![Contender::new("larder", paging(PAGE)), Contender::new("a page of 100", paging(LARGER))];
    let pages = Row::of("page-hit", Unit::Microseconds, &in_turn(effort, contenders)?);
    let met = pages.larder <= 1.0;
    Ok(vec![all, pages.with_target(format!("1 µs ({PAGE} entries)"), met)])
}
