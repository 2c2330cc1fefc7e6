//! Getting cached entries from several threads.

use std::sync::{Mutex, PoisonError};

use super::KEYS;
use super::loops::{from_threads, get, getting_from, read_all};
use crate::Outcome;
use crate::measure::{Contender, Effort, Figure, in_turn};
use crate::peers::{Connected, Fjall, Larder, Lmdb, Mdbx, RawSqlite, Redb, Table};
use crate::row::{Row, Unit};
use crate::sample::Sample;
use crate::scratch;

pub const ROWS: &[&str] = &["get-hit-threads-1", "get-hit-threads-2", "get-hit-threads-4"];
const THREADS: [u64; 3] = [1, 2, 4];
const PEERS: [&str; 4] = ["LMDB", "redb", "fjall", "raw SQLite"];

pub fn get_threads(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(KEYS);
    let folder = scratch::folder()?;
    let larder = Larder::filled(&folder.path().join("larder.db"), &sample)?;
    let lmdb = Lmdb::filled(&folder.path().join("lmdb"), &sample)?;
    let mdbx = Mdbx::filled(&folder.path().join("mdbx"), &sample)?;
    let redb = Redb::filled(&folder.path().join("redb"), &sample)?;
    let fjall = Fjall::filled(&folder.path().join("fjall"), &sample)?;
    let raw_path = folder.path().join("raw.db");
    let filled = Connected::filled(&raw_path, Table::WithoutRowid, &sample)?;
    read_all(&larder, &sample)?;
    // Each thread has its own connection.
    let connections: Vec<Mutex<Connected>> =
        (0..4).map(|_| Connected::open(&raw_path).map(Mutex::new)).collect::<Outcome<_>>()?;
    drop(filled);

    let mut contenders = Vec::new();
    for threads in THREADS {
        contenders.push(getting_from(threads, &named("larder", threads), &larder, &sample));
        contenders.push(getting_from(threads, &named("LMDB", threads), &lmdb, &sample));
        contenders.push(getting_from(threads, &named("redb", threads), &redb, &sample));
        contenders.push(getting_from(threads, &named("fjall", threads), &fjall, &sample));
        let libmdbx = |mdbx| getting_from(threads, &named("libmdbx", threads), mdbx, &sample);
        contenders.extend(mdbx.iter().map(libmdbx));
        let (connections, sample) = (&connections, &sample);
        contenders.push(Contender::new(named("raw SQLite", threads), move |pieces| {
            from_threads(threads, pieces, |index, numbers, share| {
                let connected = connections[index].lock().unwrap_or_else(PoisonError::into_inner);
                get(&RawSqlite::over(&connected)?, sample, numbers, share)
            })
        }));
    }
    let figures = in_turn(effort, contenders)?;
    let figure = |name, threads| find(&figures, &named(name, threads)).map(|figure| figure.named(name));
    let all = |threads| -> Outcome<Vec<Figure>> {
        let mut all = vec![figure("larder", threads)?];
        for peer in PEERS.into_iter().chain(mdbx.iter().map(|_| "libmdbx")) {
            all.push(figure(peer, threads)?);
        }
        Ok(all)
    };

    let mut of_two = all(2)?;
    of_two.push(figure("larder", 1)?.named("larder, one thread"));
    let row = Row::of("get-hit-threads", Unit::MillionPerSecond, &of_two);
    let met = row.larder >= 1.8 * row.peer("larder, one thread")?;
    let mut rows = vec![row.with_target("two threads 1.8 × as many as one", met)];
    for (id, threads) in ROWS.iter().zip(THREADS) {
        rows.push(Row::of(*id, Unit::MillionPerSecond, &all(threads)?));
    }
    Ok(rows)
}

fn named(name: &str, threads: u64) -> String {
    format!("{name}, {threads} threads")
}

fn find(figures: &[Figure], name: &str) -> Outcome<Figure> {
    let found = figures.iter().find(|figure| figure.name == name);
    Ok(found.ok_or_else(|| format!("nothing named {name:?} was timed"))?.clone())
}
