//! Getting a small group, and a small page of a large one, none of it from the cache.

use std::hint::black_box;

use larder::Store;
use rusqlite::{Connection, params};

use super::check;
use crate::Outcome;
use crate::measure::{Contender, Effort, in_turn};
use crate::row::{Row, Unit};
use crate::scratch;

pub const ROWS: &[&str] = &["page-10"];

const GROUPS: u64 = 1000;
const LARGE: &str = "large";
const LARGE_KEYS: u64 = 10_000;

/// How many entries a small group and a small page have.
const FEW: usize = 10;

fn group(number: u64) -> String {
    format!("small-{number:04}")
}

fn key(number: u64) -> String {
    format!("key-{number:08}")
}

pub fn small_scans(effort: Effort) -> Outcome<Vec<Row>> {
    let folder = scratch::folder()?;
    let path = folder.path().join("larder.db");
    let store = Store::options().cache_bytes(0).open(&path)?;
    let value = "v".repeat(100);
    let small = (0..GROUPS).flat_map(|number| (0..FEW as u64).map(move |of| (group(number), key(of))));
    let large = (0..LARGE_KEYS).map(|of| (LARGE.to_owned(), key(of)));
    let all = small.chain(large);
    all.fold(store.batch(), |batch, (group, key)| batch.set(group, key, value.as_str())).commit()?;

    let groups: Vec<String> = (0..GROUPS).map(group).collect();
    let keys: Vec<String> = (0..LARGE_KEYS - FEW as u64).map(key).collect();
    let connection = Connection::open(&path)?;
    let few = "SELECT entry_key, entry_value FROM entries WHERE group_name = ?1 ORDER BY entry_key";
    let page = "SELECT entry_key, entry_value FROM entries WHERE group_name = ?1 AND entry_key > ?2
                ORDER BY entry_key LIMIT ?3";
    let (mut few, mut page) = (connection.prepare(few)?, connection.prepare(page)?);
    let rows = |mut rows: rusqlite::Rows<'_>| -> Outcome<Vec<(String, Vec<u8>)>> {
        let mut found = Vec::with_capacity(FEW);
        while let Some(row) = rows.next()? {
            found.push((row.get(0)?, row.get_ref(1)?.as_bytes()?.to_vec()));
        }
        Ok(found)
    };
    // Groups and pages far from each other follow each other.
    let place = |turn: &mut u64, of: usize| {
        *turn += 7919;
        (*turn % of as u64) as usize
    };

    let (mut first, mut second) = (0, 0);
    let get_all = vec![
        Contender::new("larder", |pieces| {
            for _ in 0..pieces {
                let found = store.get_all(&groups[place(&mut first, groups.len())])?;
                check(black_box(found).len() == FEW)?;
            }
            Ok(())
        }),
        Contender::new("raw SQLite", |pieces| {
            for _ in 0..pieces {
                let found = rows(few.query([&groups[place(&mut second, groups.len())]])?)?;
                check(black_box(found).len() == FEW)?;
            }
            Ok(())
        }),
    ];
    let get_all = Row::of("get-all-10", Unit::Microseconds, &in_turn(effort, get_all)?);

    let (mut first, mut second) = (0, 0);
    let pages = vec![
        Contender::new("larder", |pieces| {
            for _ in 0..pieces {
                let after = keys[place(&mut first, keys.len())].as_str();
                check(black_box(store.page(LARGE, Some(after), FEW)?).entries.len() == FEW)?;
            }
            Ok(())
        }),
        Contender::new("raw SQLite", |pieces| {
            for _ in 0..pieces {
                let after = keys[place(&mut second, keys.len())].as_str();
                check(black_box(rows(page.query(params![LARGE, after, FEW as i64])?)?).len() == FEW)?;
            }
            Ok(())
        }),
    ];
    let pages = Row::of("page-10", Unit::Microseconds, &in_turn(effort, pages)?);
    [get_all, pages].into_iter().map(within).collect()
}

fn within(row: Row) -> Outcome<Row> {
    let met = row.larder <= 1.2 * row.peer("raw SQLite")?;
    Ok(row.with_target(format!("{FEW} entries, not from the cache, within 1.2 × of raw SQLite's scan"), met))
}
