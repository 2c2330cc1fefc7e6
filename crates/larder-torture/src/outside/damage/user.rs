//! The process that uses a damaged store: it reads, checks, writes and backs up, and prints what it was told.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use larder::{Pattern, Result, Store};
use serde::{Deserialize, Serialize};

use super::{Plant, hash};

/// The part that a process takes.
#[derive(Debug, clap::Args)]
pub struct Part {
    /// The store.
    path: PathBuf,
    /// Where the keys lie that it asks for, as JSON.
    keys: PathBuf,
    #[arg(long)]
    plant: Option<Plant>,
}

/// What it was told.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Why the store was not opened.
    pub refused: Option<Failure>,
    /// All entries that reading whole groups shows: group, key, and a hash of the value.
    pub entries: Vec<(String, String, u64)>,
    /// What reading some keys one by one shows, in their order.
    pub asked: Vec<Option<u64>>,
    /// The values that the change log shows.
    pub logged: Vec<(String, String, u64)>,
    /// Reads that failed.
    pub unread: Vec<Failure>,
    /// What `check` found, or why it failed.
    pub findings: Vec<String>,
    /// Writes, backups and closing, if they failed.
    pub unwritten: Vec<Failure>,
    /// What contradicts itself.
    pub wrong: Vec<String>,
    pub peak_kib: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Failure {
    pub call: String,
    pub kind: String,
    pub message: String,
}

impl Failure {
    fn of(call: &str, error: &larder::Error) -> Self {
        Self { call: call.into(), kind: error.kind().as_str().into(), message: format!("{error:#}") }
    }
}

/// Uses a store, and prints what came of it.
pub fn take_part(part: &Part) -> io::Result<()> {
    let keys: Vec<(String, String)> = serde_json::from_slice(&fs::read(&part.keys)?)?;
    let mut seen = Seen::default();
    match Store::options().create(false).timeout(Duration::from_millis(500)).open(&part.path) {
        Err(error) => seen.refused = Some(Failure::of("open", &error)),
        Ok(store) => {
            read(&store, &keys, &mut seen);
            match store.check() {
                Ok(findings) => seen.findings.extend(findings.iter().map(ToString::to_string)),
                Err(error) => seen.findings.push(format!("it fails: {error:#}")),
            }
            write(&store, &part.path, &mut seen);
        }
    }
    if part.plant == Some(Plant::Unchecked) {
        seen.findings.clear();
    }
    if part.plant == Some(Plant::Aborted) && seen.refused.is_some() {
        std::process::abort();
    }
    let status = fs::read_to_string("/proc/self/status")?;
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    seen.peak_kib = peak.unwrap_or(u64::MAX);
    serde_json::to_writer(io::stdout().lock(), &seen)?;
    Ok(())
}

fn read(store: &Store, keys: &[(String, String)], seen: &mut Seen) {
    // One failure of each call says enough.
    let mut failures = BTreeMap::new();
    let mut told = |call: &'static str, error: &larder::Error| {
        failures.entry(call).or_insert_with(|| Failure::of(call, error));
    };
    match store.groups("") {
        Err(error) => told("groups", &error),
        Ok(groups) => {
            for group in groups {
                match store.get_all(&group.name) {
                    Err(error) => told("get_all", &error),
                    Ok(entries) => {
                        if entries.len() as u64 != group.keys {
                            seen.wrong.push(format!(
                                "{} of {} keys of a group are read",
                                entries.len(),
                                group.keys
                            ));
                        }
                        let name = group.name;
                        seen.entries.extend(
                            entries
                                .into_iter()
                                .map(|(key, value)| (name.clone(), key, hash(value.as_bytes()))),
                        );
                    }
                }
            }
        }
    }
    for (group, key) in keys {
        let value = store.get(group, key).unwrap_or_else(|error| {
            told("get", &error);
            None
        });
        seen.asked.push(value.map(|value| hash(value.as_bytes())));
    }
    if let Err(error) = logged(store, seen) {
        told("watch", &error);
    }
    if let Err(error) = store.stats() {
        told("stats", &error);
    }
    if let Err(error) = store.namespaces() {
        told("namespaces", &error);
    }
    seen.unread.extend(failures.into_values());
}

fn logged(store: &Store, seen: &mut Seen) -> Result<()> {
    let watcher = store.watch_from(Pattern::all(), store.stats()?.history_from)?;
    loop {
        match watcher.try_recv() {
            Ok(None) => return Ok(()),
            Err(larder::Error::Compacted { .. }) => {}
            Err(error) => return Err(error),
            Ok(Some(event)) => {
                if let (Some(key), Some(value)) = (event.key, event.value) {
                    seen.logged.push((event.group, key, hash(value.as_bytes())));
                }
            }
        }
    }
}

/// Writes in several ways, makes a backup, and closes the store.
fn write(store: &Store, path: &Path, seen: &mut Seen) {
    let backup = path.with_extension("backup");
    let uses: [(&str, Result<()>); 7] = [
        ("set", store.set("new", "key", "value").map(drop)),
        ("transaction", store.transaction(|tx| tx.set("new", "other", "value")).map(drop)),
        ("increment", store.increment("new", "number", 1).map(drop)),
        ("delete_group", store.delete_group("group-3").map(drop)),
        ("purge_expired", store.purge_expired().map(drop)),
        ("backup", store.backup_to(&backup).map(drop)),
        (
            "get",
            store.get("new", "key").map(|value| {
                seen.wrong.extend(
                    value.is_some_and(|value| value != "value").then(|| "a new value is another one".into()),
                );
            }),
        ),
    ];
    let failed = uses.into_iter().filter_map(|(call, result)| Some(Failure::of(call, &result.err()?)));
    seen.unwritten.extend(failed);
    if backup.exists()
        && let Err(error) = Store::options().create(false).open(&backup).and_then(|store| store.check())
    {
        seen.unwritten.push(Failure::of("backup", &error));
    }
    if let Err(error) = store.close() {
        seen.unwritten.push(Failure::of("close", &error));
    }
}
