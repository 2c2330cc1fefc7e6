//! Saving sessions while the consumer of a few orders falls behind: the rate of the saves, the size of the
//! change log, and the orders that the consumer loses, by what is kept of the changes of sessions.

use std::thread;
use std::time::{Duration, Instant};

use larder::{Cursor, Error, Event, History, Options, Pattern, Store};

use super::check;
use crate::Outcome;
use crate::measure::{Effort, Figure};
use crate::row::{Row, Unit};
use crate::sample::Numbers;
use crate::scratch;
use crate::second_process;
use crate::table::thousands;

pub const ROWS: &[&str] = &["sessions-missed", "sessions-log"];

const PREFIX: &str = "session:";
const ORDERS: &str = "orders";
const SESSIONS: u64 = 10_000;
const SESSION_BYTES: usize = 300;
const TTL: Duration = Duration::from_secs(30 * 60);

/// The threads that save sessions.
const WRITERS: u64 = 64;

/// The orders in each turn. The consumer acknowledges one of them.
const ORDERS_PER_TURN: u64 = 8;

/// How long to wait for an order before the run fails.
const WAIT_MAX: Duration = Duration::from_secs(10);

const COMMON: &str = "in the common history";
const COMMON_UNHELD: &str = "in the common history, nothing held for cursors";
const NONE: &str = "History::NONE";

pub fn sessions(effort: Effort) -> Outcome<Vec<Row>> {
    let folder = scratch::folder()?;
    let traffic = Traffic::new(effort);
    let options = Store::options().history(effort.size(100_000, 2_000), History::default().bytes);
    let unheld = options.clone().cursor_bytes_max(0);
    let short = History { changes: effort.size(1_000, 100), ..History::default() };
    let shop = |name, file: &str, options: &Options, history| {
        Shop::open(name, options.open(folder.path().join(file))?, history)
    };
    let mut shops = [
        shop("larder", "short.db", &options, Some(short))?,
        shop(COMMON, "common.db", &options, None)?,
        shop(NONE, "none.db", &options, Some(History::NONE))?,
        shop(COMMON_UNHELD, "unheld.db", &unheld, None)?,
    ];
    second_process::sync_files(folder.path())?;
    for turn in 0..traffic.turns {
        // Each turn begins with another store, so that none always follows the same one.
        for step in 0..shops.len() {
            let index = (turn as usize + step) % shops.len();
            shops[index].take_turn(&traffic, turn)?;
        }
    }
    let logs = shops.iter().map(Shop::log_mib).collect::<Outcome<Vec<_>>>()?;
    let missed = shops.iter_mut().map(|shop| shop.missed(&traffic)).collect::<Outcome<Vec<_>>>()?;

    let rates: Vec<Figure> = shops.iter().map(|shop| Figure::new(shop.name, shop.turns_ns.clone())).collect();
    let single = |figures: Vec<f64>| -> Vec<Figure> {
        shops.iter().zip(figures).map(|(shop, figure)| Figure::new(shop.name, vec![figure])).collect()
    };
    let target = format!("none of {}", thousands(traffic.orders() as f64));
    let is_none = missed.first() == Some(&0.0);
    Ok(vec![
        Row::of("sessions", Unit::PerSecond, &rates),
        Row::of("sessions-missed", Unit::Plain("orders"), &single(missed)).with_target(target, is_none),
        Row::of("sessions-log", Unit::Plain("MiB"), &single(logs)),
    ])
}

/// What is written in every store.
struct Traffic {
    turns: u64,
    saves_per_writer: u64,
    groups: Vec<String>,
    session: Vec<u8>,
}

impl Traffic {
    fn new(effort: Effort) -> Self {
        Self {
            // The saves are three times what the common history keeps.
            turns: effort.size(75, 12),
            saves_per_writer: effort.size(64, 8),
            groups: (0..SESSIONS).map(|number| format!("{PREFIX}{number:08}")).collect(),
            session: vec![b's'; SESSION_BYTES],
        }
    }

    fn orders(&self) -> u64 {
        self.turns * ORDERS_PER_TURN
    }

    /// One writer's saves in one turn. The first writer also writes the orders, spread over its saves.
    fn write(&self, store: &Store, turn: u64, writer: u64) -> Outcome {
        let mut numbers = Numbers::from(turn * WRITERS + writer);
        let order_every = self.saves_per_writer / ORDERS_PER_TURN;
        for save in 0..self.saves_per_writer {
            let group = &self.groups[numbers.below(SESSIONS) as usize];
            store.set_with_ttl(group, "state", self.session.as_slice(), TTL)?;
            if writer == 0 && save % order_every == 0 {
                let number = turn * ORDERS_PER_TURN + save / order_every;
                store.set(ORDERS, number.to_string(), "a book")?;
            }
        }
        Ok(())
    }
}

/// A store with sessions and orders, and what its consumer has received.
struct Shop {
    name: &'static str,
    store: Store,
    received: Vec<u64>,
    /// How often the consumer was told that it had lost changes.
    compacted: u64,
    /// The time per save of each turn.
    turns_ns: Vec<f64>,
}

impl Shop {
    fn open(name: &'static str, store: Store, history: Option<History>) -> Outcome<Self> {
        if let Some(history) = history {
            store.set_history(PREFIX, history)?;
        }
        let shop = Self { name, store, received: Vec::new(), compacted: 0, turns_ns: Vec::new() };
        // Its position is in the store from now on.
        shop.consumer()?;
        Ok(shop)
    }

    fn consumer(&self) -> Outcome<Cursor> {
        Ok(self.store.cursor_on("mailer", Pattern::group(ORDERS))?)
    }

    /// Times the writers of one turn, beside the consumer.
    fn take_turn(&mut self, traffic: &Traffic, turn: u64) -> Outcome {
        let store = self.store.clone();
        let taken = thread::scope(|scope| {
            let begun = Instant::now();
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let store = &store;
                    scope.spawn(move || traffic.write(store, turn, writer))
                })
                .collect();
            let consumer = scope.spawn(|| self.handle_one());
            for writer in writers {
                writer.join().unwrap_or_else(|_| Err("a thread that saved sessions panicked".into()))?;
            }
            let taken = begun.elapsed();
            consumer.join().unwrap_or_else(|_| Err("the consumer's thread panicked".into()))?;
            Outcome::Ok(taken)
        })?;
        let saves = WRITERS * traffic.saves_per_writer;
        self.turns_ns.push(taken.as_nanos() as f64 / saves as f64);
        Ok(())
    }

    /// Handles one order, as a job that is started now and then does. A cursor that stayed open would hold
    /// the latest orders in memory, and hide what the log has lost.
    fn handle_one(&mut self) -> Outcome {
        let consumer = self.consumer()?;
        let order = self.receive(&consumer)?;
        consumer.ack(&order)?;
        Ok(())
    }

    fn receive(&mut self, consumer: &Cursor) -> Outcome<Event> {
        let order = loop {
            match consumer.recv_timeout(WAIT_MAX) {
                Err(Error::Compacted { .. }) => self.compacted += 1,
                other => break other?.ok_or("an order was not received")?,
            }
        };
        let number = order.key.as_deref().ok_or("an order without a number")?.parse()?;
        // None comes twice, and none out of order.
        check(self.received.last().is_none_or(|last| *last < number))?;
        self.received.push(number);
        Ok(order)
    }

    /// The size of the change log.
    fn log_mib(&self) -> Outcome<f64> {
        let bytes: u64 = self.store.histories()?.iter().map(|history| history.bytes).sum();
        Ok(bytes as f64 / f64::from(1 << 20))
    }

    /// Lets the consumer catch up, and returns how many orders it never received.
    fn missed(&mut self, traffic: &Traffic) -> Outcome<f64> {
        let consumer = self.consumer()?;
        while self.received.last() != Some(&(traffic.orders() - 1)) {
            self.receive(&consumer)?;
        }
        let missed = traffic.orders() - self.received.len() as u64;
        // A loss is never silent.
        check(missed == 0 || self.compacted > 0)?;
        Ok(missed as f64)
    }
}
