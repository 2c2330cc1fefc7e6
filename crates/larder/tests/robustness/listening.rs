//! The threads of a client that listen.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use larder::{Error, Event, Pattern, Result, Revision};

use super::client::Client;
use super::places::REGISTERS;
use super::random::Random;
use super::record::{Record, Scope, now_ns};

/// How long to wait for an event before looking whether all is over.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// How long the end may take to be heard, once all members are well.
const END_WAIT_MAX: Duration = Duration::from_secs(90);

/// How far back a watcher begins that reads the log first.
const BACK: u64 = 300;

/// Starts all listeners of a client.
pub fn start(client: &Arc<Client>) -> Vec<JoinHandle<()>> {
    let scopes = match client.task.workers {
        0 => vec![Scope::All],
        _ => vec![Scope::All, Scope::Group(REGISTERS.into()), Scope::Key(REGISTERS.into(), "0".into())],
    };
    let mut threads: Vec<_> = scopes
        .into_iter()
        .enumerate()
        .map(|(number, scope)| {
            let client = Arc::clone(client);
            thread::spawn(move || watch(&client, &format!("watcher-{number}"), scope))
        })
        .collect();
    if client.task.workers > 0 {
        let client = Arc::clone(client);
        threads.push(thread::spawn(move || consume(&client)));
    }
    threads
}

fn pattern(scope: &Scope) -> Pattern {
    match scope {
        Scope::All => Pattern::all(),
        Scope::Group(group) => Pattern::group(group),
        Scope::Key(group, key) => Pattern::key(group, key),
    }
}

/// Tries until it is done: what it needs of the cluster it may have to wait for.
fn insist<T>(client: &Client, listener: &str, mut attempt: impl FnMut() -> Result<T>) -> T {
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) => note_trouble(client, listener, &error),
        }
    }
}

fn note_trouble(client: &Client, listener: &str, error: &Error) {
    match error {
        Error::Unreachable { .. } | Error::Unknown { .. } | Error::Contended { .. } => {
            let (listener, error) = (listener.to_owned(), error.to_string());
            client.diary.note(&Record::Trouble { listener, error });
        }
        error => client
            .diary
            .note(&Record::Violation(format!("{listener}: an error that nothing explains: {error}"))),
    }
}

fn watch(client: &Client, listener: &str, scope: Scope) {
    let mut random =
        Random::of(client.task.seed, &[client.task.client, client.task.life, listener.len() as u64]);
    let store = &client.store;
    // Some begin with what the log has, unless that has just forgotten it; the others now.
    let back = client.task.life > 0 && random.percent(50);
    let watcher = insist(client, listener, || {
        let latest = store.revision()?;
        let after = Revision(if back { latest.0.saturating_sub(BACK) } else { latest.0 });
        let begun = |after: Revision| {
            let (listener, pattern) = (listener.to_owned(), scope.clone());
            client.diary.note(&Record::Listens { listener, pattern, after: Some(after.0) });
        };
        match store.watch_from(pattern(&scope), after) {
            Err(Error::Compacted { oldest }) if oldest > after => {
                let watcher = store.watch_from(pattern(&scope), oldest)?;
                begun(oldest);
                Ok(watcher)
            }
            watcher => watcher.inspect(|_| begun(after)),
        }
    });
    client.listening.fetch_add(1, Ordering::SeqCst);
    hear(client, listener, || watcher.recv_timeout(WAIT_MAX), |_| {});
}

fn consume(client: &Client) {
    let name = format!("cursor-{}", client.task.client);
    let mut random = Random::of(client.task.seed, &[client.task.client, client.task.life, 99]);
    let cursor = insist(client, &name, || client.store.cursor(&name));
    let listener = name.clone();
    client.diary.note(&Record::Listens { listener, pattern: Scope::All, after: None });
    let mut left = random.below(30);
    hear(
        client,
        &name,
        || cursor.recv_timeout(WAIT_MAX),
        |event| {
            left = left.saturating_sub(1);
            if left > 0 {
                return;
            }
            left = 1 + random.below(60);
            client.diary.note(&Record::Acknowledges { listener: name.clone() });
            match cursor.ack(event) {
                Ok(()) => client.diary.note(&Record::Acknowledged { listener: name.clone() }),
                Err(error) => note_trouble(client, &name, &error),
            }
        },
    );
}

/// Notes what is heard, until the end is.
fn hear(
    client: &Client,
    listener: &str,
    mut next: impl FnMut() -> Result<Option<Event>>,
    mut take: impl FnMut(&Event),
) {
    let mut end_known: Option<Instant> = None;
    let mut last = 0;
    loop {
        let end = client.end.load(Ordering::SeqCst);
        if end > 0 && last >= end {
            return client.diary.note(&Record::Reached { listener: listener.to_owned() });
        }
        if end > 0 && end_known.get_or_insert_with(Instant::now).elapsed() > END_WAIT_MAX {
            return client.diary.note(&Record::Violation(format!("{listener}: the end was never heard")));
        }
        match next() {
            Ok(Some(event)) => {
                client.diary.note(&Record::Heard { listener: listener.to_owned(), event: (&event).into() });
                take(&event);
                last = event.revision.0;
            }
            Ok(None) => {}
            Err(Error::Compacted { oldest: Revision(oldest) }) => {
                let listener = listener.to_owned();
                client.diary.note(&Record::Gap { listener, oldest, at_ns: now_ns() });
            }
            Err(error) => note_trouble(client, listener, &error),
        }
    }
}
