//! The same work on a small store and on much larger ones.

use std::path::{Path, PathBuf};

use larder::Store;

use super::loops::{getting, setting};
use super::{KEYS, check};
use crate::Outcome;
use crate::measure::{Contender, Effort, Figure, in_turn};
use crate::peers::{Connected, Fjall, Larder, Lmdb, Mdbx, RawSqlite, Redb, TimedStore};
use crate::row::{Row, Unit};
use crate::sample::Sample;
use crate::scratch;
use crate::second_process;
use crate::table::thousands;

pub const ROWS: &[&str] = &[
    "growth-set-1",
    "growth-get-miss",
    "get-hit-keys-10000",
    "get-hit-keys-1000000",
    "get-hit-keys-10000000",
    "get-miss-keys-10000",
    "get-miss-keys-1000000",
    "get-miss-keys-10000000",
    "set-1-keys-10000",
    "set-1-keys-1000000",
    "set-1-keys-10000000",
];
const SIZES: [&str; 3] = ["10000", "1000000", "10000000"];
const SET_MOST: f64 = 1.5;

/// More entries than any of the caches has room for.
const WARMED: u64 = 2_000_000;

/// A prime number, so that no entry comes twice.
const STRIDE: u64 = 7_368_787;

/// The stores of one size: the same entries in larder's file and in the peers' files.
struct Stores {
    sample: Sample,
    path: PathBuf,
    lmdb: Lmdb,
    mdbx: Option<Mdbx>,
    redb: Redb,
    fjall: Fjall,
}

impl Stores {
    fn filled(folder: &Path, keys: u64) -> Outcome<Self> {
        std::fs::create_dir_all(folder)?;
        let sample = Sample::of(keys);
        let path = folder.join("larder.db");
        Larder::filled(&path, &sample)?.store.close()?;
        let lmdb = Lmdb::filled(&folder.join("lmdb"), &sample)?;
        let mdbx = Mdbx::filled(&folder.join("mdbx"), &sample)?;
        let redb = Redb::filled(&folder.join("redb"), &sample)?;
        let fjall = Fjall::filled(&folder.join("fjall"), &sample)?;
        Ok(Self { sample, path, lmdb, mdbx, redb, fjall })
    }

    fn open(&self, cache_bytes: Option<u64>) -> Outcome<Larder> {
        let options = Store::options();
        let options = cache_bytes.into_iter().fold(options, |options, bytes| options.cache_bytes(bytes));
        Ok(Larder { store: options.open(&self.path)? })
    }
}

pub fn growth(effort: Effort) -> Outcome<Vec<Row>> {
    let folder = scratch::folder()?;
    let sizes = [KEYS, effort.size(1_000_000, 20_000), effort.size(10_000_000, 40_000)];
    let sizes: Vec<Stores> = sizes
        .into_iter()
        .map(|keys| Stores::filled(&folder.path().join(keys.to_string()), keys))
        .collect::<Outcome<_>>()?;
    second_process::sync_files(folder.path())?;

    let mut sized =
        with_target(get_hit(effort, &sizes)?, "ahead of LMDB", |row| Ok(row.larder < row.peer("LMDB")?))?;
    let get_miss = with_target(get_miss(effort, &sizes)?, "within 0.6 × of raw SELECT", |row| {
        Ok(row.larder <= 0.6 * row.peer("raw SQLite")?)
    })?;
    let set = set(effort, &sizes)?;
    let mut rows = summary(&sizes, &set, &sized, &get_miss)?;
    sized.extend(get_miss);
    sized.extend(set);
    rows.extend(sized);
    Ok(rows)
}

/// Gets with the default cache, which holds all of the smallest store and little of the largest.
fn get_hit(effort: Effort, sizes: &[Stores]) -> Outcome<Vec<Row>> {
    let larders: Vec<Larder> = sizes.iter().map(|stores| stores.open(None)).collect::<Outcome<_>>()?;
    let mut contenders = Vec::new();
    for (stores, larder) in sizes.iter().zip(&larders) {
        let sample = &stores.sample;
        warm(larder, sample)?;
        warm(&stores.lmdb, sample)?;
        stores.mdbx.iter().try_for_each(|mdbx| warm(mdbx, sample))?;
        warm(&stores.redb, sample)?;
        warm(&stores.fjall, sample)?;
        contenders.extend([
            getting("larder", larder, sample),
            getting("LMDB", &stores.lmdb, sample),
            getting("redb", &stores.redb, sample),
            getting("fjall", &stores.fjall, sample),
        ]);
        contenders.extend(stores.mdbx.iter().map(|mdbx| getting("libmdbx", mdbx, sample)));
    }
    rows_by_size("get-hit", Unit::Nanoseconds, sizes, effort, contenders)
}

fn get_miss(effort: Effort, sizes: &[Stores]) -> Outcome<Vec<Row>> {
    let larders: Vec<Larder> = sizes.iter().map(|stores| stores.open(Some(0))).collect::<Outcome<_>>()?;
    // SQLite by hand reads larder's file, because the tables are the same.
    let connected: Vec<Connected> =
        sizes.iter().map(|stores| Connected::open(&stores.path)).collect::<Outcome<_>>()?;
    let raws: Vec<RawSqlite<'_>> = connected.iter().map(RawSqlite::over).collect::<Outcome<_>>()?;
    let mut contenders = Vec::new();
    for ((stores, larder), raw) in sizes.iter().zip(&larders).zip(&raws) {
        let sample = &stores.sample;
        warm(larder, sample)?;
        warm(raw, sample)?;
        contenders.extend([getting("larder", larder, sample), getting("raw SQLite", raw, sample)]);
    }
    rows_by_size("get-miss", Unit::Nanoseconds, sizes, effort, contenders)
}

fn set(effort: Effort, sizes: &[Stores]) -> Outcome<Vec<Row>> {
    let larders: Vec<Larder> = sizes.iter().map(|stores| stores.open(None)).collect::<Outcome<_>>()?;
    let mut contenders = Vec::new();
    for (stores, larder) in sizes.iter().zip(&larders) {
        let sample = &stores.sample;
        contenders.extend([
            setting("larder", larder, sample),
            setting("LMDB", &stores.lmdb, sample),
            setting("redb", &stores.redb, sample),
            setting("fjall", &stores.fjall, sample),
        ]);
        contenders.extend(stores.mdbx.iter().map(|mdbx| setting("libmdbx", mdbx, sample)));
    }
    rows_by_size("set-1", Unit::Microseconds, sizes, effort, contenders)
}

/// Adds a target to the row of a million keys.
fn with_target(rows: Vec<Row>, target: &str, is_met: impl Fn(&Row) -> Outcome<bool>) -> Outcome<Vec<Row>> {
    rows.into_iter()
        .zip(SIZES)
        .map(|(row, size)| {
            if size != "1000000" {
                return Ok(row);
            }
            let met = is_met(&row)?;
            Ok(row.with_target(target, met))
        })
        .collect()
}

/// Reads entries, each once and far from the one before, until what a cache has room for is in it.
fn warm(store: &impl TimedStore, sample: &Sample) -> Outcome {
    let len = sample.len();
    let mut right = true;
    for number in 0..len.min(WARMED) {
        let key = sample.key(number * STRIDE % len);
        right &= store.get(key, |found| sample.is_right(key, found))? == Some(true);
    }
    check(right)
}

/// Times the contenders of all sizes in turn, and makes one row per size.
fn rows_by_size(
    id: &str,
    unit: Unit,
    sizes: &[Stores],
    effort: Effort,
    contenders: Vec<Contender<'_>>,
) -> Outcome<Vec<Row>> {
    let each = contenders.len() / sizes.len();
    let figures = in_turn(effort, contenders)?;
    let by_size = SIZES.iter().zip(figures.chunks(each));
    Ok(by_size.map(|(size, figures)| Row::of(format!("{id}-keys-{size}"), unit, figures)).collect())
}

/// The ratio between the largest store and the smallest.
fn summary(sizes: &[Stores], set: &[Row], get_hit: &[Row], get_miss: &[Row]) -> Outcome<Vec<Row>> {
    let (Some(small), Some(large)) = (sizes.first(), sizes.last()) else {
        return Err("no store was timed".into());
    };
    let [few, many] = [small, large].map(|stores| thousands(stores.sample.len() as f64));
    let mut rows = Vec::new();
    let mut of_lmdb = f64::NAN;
    for (id, rows_of) in [("growth-set-1", set), ("growth-get-miss", get_miss)] {
        let (Some(small), Some(large)) = (rows_of.first(), rows_of.last()) else {
            return Err("no row to compare".into());
        };
        let name = format!("larder, {few} keys");
        let mut row = Row { id: id.into(), ..large.clone() };
        row.peers = [(name.clone(), small.larder)].into();
        row.quartiles.retain(|name, _| name == "larder");
        let spread = small.quartiles.get("larder").copied();
        row.quartiles.extend(spread.map(|spread| (name, spread)));
        let (most, target) = if id == "growth-set-1" {
            (SET_MOST, format!("at {many} keys at most {SET_MOST} × of {few}"))
        } else {
            // LMDB has no cache of its own that could be off.
            let (Some(first), Some(last)) = (get_hit.first(), get_hit.last()) else {
                return Err("no row to compare".into());
            };
            of_lmdb = last.peer("LMDB")? / first.peer("LMDB")?;
            (of_lmdb, format!("grows no more than LMDB's, {of_lmdb:.1} ×, from {few} to {many} keys"))
        };
        let met = row.larder <= most * small.larder;
        rows.push(row.with_target(target, met));
    }
    let times = |row: &Row| row.larder / row.peers.values().copied().next().unwrap_or(f64::NAN);
    let figures = [
        Figure::new("larder", vec![rows.iter().map(times).fold(0.0, f64::max)]),
        Figure::new("set-1", rows.iter().take(1).map(times).collect()),
        Figure::new("get-miss", rows.iter().skip(1).map(times).collect()),
        Figure::new("LMDB's get-miss", vec![of_lmdb]),
    ];
    let all = rows.iter().all(|row| row.met == Some(true));
    let target =
        format!("set-1 at most {SET_MOST} ×, get-miss no more than LMDB's, from {few} to {many} keys");
    let growth = Row::of("growth", Unit::Plain("×"), &figures).with_target(target, all);
    rows.insert(0, growth);
    Ok(rows)
}
