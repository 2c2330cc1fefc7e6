//! The threads of a client that receive events.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use larder::{Error, Event, Pattern, Result, Revision};

use super::client::{Client, PAUSE};
use super::random::Random;
use super::record::{Record, Scope, now_ns};
use super::targets::REGISTERS;

/// How long to wait for an event before checking whether the trial is over.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// How long the last revision may take to arrive once all members serve.
const END_WAIT_MAX: Duration = Duration::from_secs(90);

/// How many revisions back a watcher begins that reads the log first.
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

/// Repeats an attempt until it succeeds, because the cluster may not serve yet.
fn insist<T>(client: &Client, listener: &str, mut attempt: impl FnMut() -> Result<T>) -> T {
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) => note_failure(client, listener, &error),
        }
    }
}

fn note_failure(client: &Client, listener: &str, error: &Error) {
    match error {
        Error::Unreachable { .. }
        | Error::Unknown { .. }
        | Error::Contended { .. }
        | Error::ClusterRestored { .. } => {
            let (listener, error) = (listener.to_owned(), error.to_string());
            client.journal.note(&Record::ListenerFailed { listener, error });
        }
        Error::Unauthorized { .. } => {
            client.sign(&Record::Refused { listener: listener.to_owned(), at_ns: now_ns() });
            thread::sleep(PAUSE);
        }
        // Noted where it is known since when the client knew the revision.
        Error::FutureRevision { .. } => {}
        error => client.journal.note(&Record::Violation(format!("{listener}: an unexpected error: {error}"))),
    }
}

fn watch(client: &Client, listener: &str, scope: Scope) {
    let mut random =
        Random::of(client.task.seed, &[client.task.client, client.task.life, listener.len() as u64]);
    let store = &client.store;
    // Some begin in the past, unless that was just compacted; the others begin now.
    let back = client.task.life > 0 && random.percent(50);
    let watcher = insist(client, listener, || {
        let since_ns = now_ns();
        let latest = store.revision()?;
        let after = if back { latest.0.saturating_sub(BACK) } else { latest.0 };
        let after = Revision(client.task.after.unwrap_or(after));
        let begun = |after: Revision| {
            let (listener, pattern, at_ns) = (listener.to_owned(), scope.clone(), now_ns());
            client.sign(&Record::ListenerBegan { listener, pattern, after: Some(after.0), at_ns });
        };
        match store.watch_from(pattern(&scope), after) {
            Err(Error::Compacted { oldest }) if oldest > after => {
                let watcher = store.watch_from(pattern(&scope), oldest)?;
                begun(oldest);
                Ok(watcher)
            }
            watcher => watcher.inspect(|_| begun(after)),
        }
        .inspect_err(|error| {
            let Error::FutureRevision { asked, latest } = error else { return };
            let (listener, asked, latest, at_ns) = (listener.to_owned(), asked.0, latest.0, now_ns());
            client.journal.note(&Record::FutureRevision { listener, asked, latest, since_ns, at_ns });
        })
    });
    client.listening.fetch_add(1, Ordering::SeqCst);
    receive(client, listener, || watcher.recv_timeout(WAIT_MAX), |_| {});
}

fn consume(client: &Client) {
    let name = format!("cursor-{}", client.task.client);
    let mut random = Random::of(client.task.seed, &[client.task.client, client.task.life, 99]);
    let cursor = insist(client, &name, || client.store.cursor(&name));
    let (listener, at_ns) = (name.clone(), now_ns());
    client.sign(&Record::ListenerBegan { listener, pattern: Scope::All, after: None, at_ns });
    let mut left = random.below(30);
    receive(
        client,
        &name,
        || cursor.recv_timeout(WAIT_MAX),
        |event| {
            left = left.saturating_sub(1);
            if left > 0 {
                return;
            }
            left = 1 + random.below(60);
            let listener = || name.clone();
            client.journal.note(&Record::AcknowledgeBegan { listener: listener(), at_ns: now_ns() });
            match cursor.ack(event) {
                Ok(()) => {
                    client.journal.note(&Record::Acknowledged { listener: listener(), at_ns: now_ns() })
                }
                Err(Error::NotReceived { .. }) => {
                    client.journal.note(&Record::NotAcknowledged { listener: listener() })
                }
                Err(Error::Unauthorized { .. }) => {
                    // The feed has to tell of it, too.
                    let error = "the acknowledgement was refused".to_owned();
                    client.journal.note(&Record::ListenerFailed { listener: listener(), error });
                }
                Err(error) => note_failure(client, &name, &error),
            }
        },
    );
}

/// Records every event until the last revision is received.
fn receive(
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
            return client.journal.note(&Record::ReachedEnd { listener: listener.to_owned() });
        }
        if end > 0 && end_known.get_or_insert_with(Instant::now).elapsed() > END_WAIT_MAX {
            return client
                .journal
                .note(&Record::Violation(format!("{listener}: the last revision was not received")));
        }
        match next() {
            Ok(Some(event)) => {
                client
                    .journal
                    .note(&Record::Received { listener: listener.to_owned(), event: (&event).into() });
                take(&event);
                last = event.revision.0;
            }
            Ok(None) => {}
            Err(Error::Compacted { oldest: Revision(oldest) }) => {
                let listener = listener.to_owned();
                client.journal.note(&Record::Gap { listener, oldest, at_ns: now_ns() });
            }
            Err(Error::ClusterRestored { latest: Revision(latest) }) => {
                let listener = listener.to_owned();
                client.sign(&Record::Restored { listener, latest, at_ns: now_ns() });
                last = 0;
            }
            Err(error) => note_failure(client, listener, &error),
        }
    }
}
