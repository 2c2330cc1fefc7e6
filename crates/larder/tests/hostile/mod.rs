//! Everything that can be done with a store, done with a file that somebody handed in.

// Each test binary uses a different part.
#![allow(dead_code)]

pub mod corpus;

use std::path::Path;
use std::time::Duration;

use larder::{Error, Options, Pattern, Quota, Result, Revision, Store, View};

/// More than any file of the tests holds: whatever returns more never ends.
const ROWS_MAX: usize = 2_000_000;

/// What came of a file.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many calls returned an answer.
    pub answers: usize,
    /// What the others failed with.
    pub errors: Vec<String>,
}

impl Outcome {
    fn note<T>(&mut self, call: &str, result: Result<T>) -> Option<T> {
        match result {
            Ok(answer) => {
                self.answers += 1;
                Some(answer)
            }
            Err(error) => {
                assert!(!matches!(error, Error::Panicked { .. }), "{call}: {error:?}");
                self.errors.push(format!("{call}: {error}"));
                None
            }
        }
    }

    /// Exhausts an iterator; one that fails ends.
    fn drain<T>(&mut self, call: &str, items: Result<impl Iterator<Item = Result<T>>>) {
        let Some(items) = self.note(call, items) else { return };
        for (count, item) in items.enumerate() {
            assert!(count < ROWS_MAX, "{call} does not end");
            if self.note(call, item).is_none() {
                return;
            }
        }
    }
}

/// How a test opens a file that it does not trust.
pub fn options() -> Options {
    Store::options().expiry_timer(false).create(false).timeout(Duration::from_millis(200))
}

/// Opens a file and runs every read, and then writes, checks, copies and closes.
pub fn use_whole_file(path: &Path, read_only: bool) -> Outcome {
    let mut outcome = Outcome::default();
    let opened = options().read_only(read_only).open(path);
    let Some(store) = outcome.note("open", opened) else { return outcome };
    read_store(&store, &mut outcome);
    if let Some(findings) = outcome.note("check", store.check()) {
        outcome.errors.extend(findings.iter().map(|finding| format!("check finds: {finding}")));
    }
    let backup = path.with_extension("backup");
    outcome.note("backup", store.backup_to(&backup));
    outcome.note("verified backup", store.backup(&backup).replacing().verified().run());
    if !read_only {
        write_store(&store, &mut outcome);
    }
    outcome.note("close", store.close());
    let _ = std::fs::remove_file(backup);
    outcome
}

fn read_store(store: &Store, outcome: &mut Outcome) {
    outcome.note("revision", store.revision());
    outcome.note("stats", store.stats());
    outcome.note("health", store.health());
    outcome.note("namespaces", store.namespaces());
    outcome.note("cursors", store.cursors());
    outcome.note("histories", store.histories());
    outcome.note("token", store.token());
    read_view(store, outcome);
    if let Some(snapshot) = outcome.note("snapshot", store.snapshot()) {
        read_view(&snapshot, outcome);
    }
    if let Some(tenant) = outcome.note("scoped", store.scoped("tenant-42")) {
        outcome.note("usage", tenant.usage());
        outcome.note("quota", tenant.quota());
        read_view(&tenant, outcome);
    }
    outcome.note("history", store.history("config", "colour"));
    for since in [0, 1, 5] {
        let watcher = store.watch_from(Pattern::all(), Revision(since));
        let Some(watcher) = outcome.note("watch", watcher) else { continue };
        // A reader that has lost something is told once, and goes on.
        let mut errors = 0;
        for count in 0.. {
            assert!(count < ROWS_MAX, "a watcher does not end");
            match outcome.note("watcher", watcher.try_recv()) {
                Some(Some(_)) => {}
                None if errors < 3 => errors += 1,
                _ => break,
            }
        }
    }
    if let Some(mut mirror) = outcome.note("mirror", store.mirror(Pattern::all())) {
        for count in 0.. {
            assert!(count < ROWS_MAX, "a mirror does not end");
            match outcome.note("mirror", mirror.try_recv()) {
                Some(Some(_)) => {}
                _ => break,
            }
        }
    }
}

fn read_view(view: &View, outcome: &mut Outcome) {
    let groups = outcome.note("groups", view.groups("")).unwrap_or_default();
    let mut names: Vec<String> = groups.into_iter().map(|group| group.name).take(20).collect();
    names.extend(["config", "bulk", "session", "binary"].map(str::to_owned));
    for group in &names {
        outcome.note("get", view.get(group, "colour"));
        outcome.note("entry", view.entry(group, "token"));
        outcome.note("exists", view.exists(group, "key-7"));
        outcome.note("get_all", view.get_all(group));
        outcome.drain("entries", view.entries(group));
        outcome.drain("keys", view.keys(group));
        outcome.note("page", view.page(group, Some("key-10"), 7));
        outcome.note("get_page", view.get_page(group, 3, 7));
        outcome.note("count", view.count(group));
        outcome.note("group_exists", view.group_exists(group));
    }
    outcome.note("count_all", view.count_all(""));
    outcome.note("count_all", view.count_all("tenant-42:"));
    outcome.note("render", view.render("{{ colour }}{{ get('bulk', 'key-1') }}", "config"));
}

fn write_store(store: &Store, outcome: &mut Outcome) {
    outcome.note("set", store.set("config", "colour", "red"));
    outcome.note("set", store.set_with_ttl("session", "new", vec![7; 5000], Duration::from_secs(60)));
    outcome.note("increment", store.increment("config", "count", 1));
    outcome.note("delete", store.delete("bulk", "key-3"));
    outcome.note("purge", store.purge_expired());
    if let Some(cursor) = outcome.note("cursor", store.cursor("mailer")) {
        outcome.note("cursor", cursor.try_recv());
    }
    if let Some(tenant) = outcome.note("scoped", store.scoped("tenant-42")) {
        outcome
            .note("set_quota", store.set_quota("tenant-42", Quota { max_keys: Some(3), ..Quota::default() }));
        outcome.note("set", tenant.set("preferences", "locale", "fr"));
    }
    outcome.note("transaction", store.transaction(|tx| tx.set("config", "tint", "blue")));
    outcome.note("delete_group", store.delete_group("bulk"));
    outcome.note("delete_prefix", store.delete_prefix("tenant-42:"));
}
