//! Valid files with some of their bytes changed: whatever is done with them ends, without a panic, within its memory.
//!
//! `LARDER_FUZZ_SECONDS` runs it for longer than two seconds, and then from a seed that it prints.
//! `LARDER_FUZZ_SEED` begins with the file of a seed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "hostile_fuzz/mutation.rs"]
mod mutation;
#[allow(dead_code)] // The trials of larder-torture use all of it.
#[path = "../../larder-torture/src/random.rs"]
mod random;

mod hostile;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hostile::use_whole_file;
use larder::{Pattern, Quota, Store};
use random::Random;

/// When a file is taken for one that never ends.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How much memory the process may take for a file, beyond what it had before.
const PEAK_KIB_MAX: u64 = 64 << 10;

/// A file, and the log beside it if its process was killed.
struct Sample {
    file: Vec<u8>,
    log: Vec<u8>,
}

fn samples() -> Vec<Sample> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let open = || Store::options().expiry_timer(false).open(&path).unwrap();
    let log = folder.path().join("store.db-wal");
    let sample = || Sample { file: fs::read(&path).unwrap(), log: fs::read(&log).unwrap_or_default() };
    let store = open();
    let new = sample();
    store.set("config", "colour", "blue").unwrap();
    store.set("binary", "bytes", vec![0xff, 0]).unwrap();
    store.set_with_ttl("session", "token", "abc", Duration::from_secs(3600)).unwrap();
    store.set_until("session", "gone", "abc", Some(UNIX_EPOCH)).unwrap();
    let tenant = store.scoped("tenant-42").unwrap();
    store.set_quota("tenant-42", Quota { max_keys: Some(9), ..Quota::default() }).unwrap();
    tenant.set("preferences", "locale", "en-GB").unwrap();
    for number in 0..120 {
        store.set("bulk", format!("key-{number}"), vec![b'x'; 60]).unwrap();
    }
    store.set("bulk", "large", vec![b'y'; 20_000]).unwrap();
    store.cursor_on("mailer", Pattern::all()).unwrap();
    store.set_history("tenant-42:", larder::History::NONE).unwrap();
    store.close().unwrap();
    let closed = sample();
    let store = open();
    for number in 0..20 {
        store.set("bulk", format!("key-{}", number * 3), vec![b'z'; 50]).unwrap();
    }
    store.delete("config", "colour").unwrap();
    let crashed = sample();
    assert!(!crashed.log.is_empty());
    vec![new, closed, crashed]
}

/// Writes the file of a seed.
fn make(random: &mut Random, samples: &[Sample], path: &Path) {
    let Sample { file, log } = random.one_of(samples);
    let (mut file, mut log) = (file.clone(), log.clone());
    let beside = |suffix: &str| format!("{}{suffix}", path.display());
    for suffix in ["-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(beside(suffix));
    }
    let is_of_rows = random.one_in(3);
    if !is_of_rows || random.one_in(3) {
        mutation::mutate(random, &mut file, &mut log);
    }
    fs::write(path, file).unwrap();
    if !log.is_empty() {
        fs::write(beside("-wal"), log).unwrap();
    }
    if is_of_rows && let Ok(connection) = rusqlite::Connection::open(path) {
        mutation::mutate_rows(random, &connection);
    }
}

fn status_kib(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn whatever_is_changed_in_a_file_no_call_panics_or_never_ends_or_takes_too_much_memory() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seconds = number("LARDER_FUZZ_SECONDS");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let first =
        number("LARDER_FUZZ_SEED").unwrap_or(if seconds.is_some() { now.as_nanos() as u64 } else { 1 });
    println!("LARDER_FUZZ_SEED={first}");
    let current = Arc::new(AtomicU64::new(first));
    let is_over = Arc::new(AtomicBool::new(false));
    let guard = watch_over(&current, &is_over);

    let samples = samples();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let (mut opened, mut refused, mut most, mut longest) = (0, 0, 0, Duration::ZERO);
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(2));
    let mut seed = first;
    while Instant::now() < end {
        current.store(seed, Ordering::SeqCst);
        let mut random = Random::new(seed);
        let begun = Instant::now();
        let used = catch_unwind(AssertUnwindSafe(|| {
            make(&mut random, &samples, &path);
            let before = status_kib("VmRSS:");
            let _ = fs::write("/proc/self/clear_refs", "5");
            let outcome = use_whole_file(&path, random.one_in(3));
            let peak = status_kib("VmHWM:").zip(before).map(|(peak, before)| peak.saturating_sub(before));
            (outcome, peak.unwrap_or_default())
        }));
        let (outcome, peak) = used.unwrap_or_else(|panic| {
            println!("LARDER_FUZZ_SEED={seed} panics");
            resume_unwind(panic)
        });
        longest = longest.max(begun.elapsed());
        most = most.max(peak);
        assert!(peak <= PEAK_KIB_MAX, "LARDER_FUZZ_SEED={seed} takes {peak} KiB");
        if outcome.answers > 0 {
            opened += 1
        } else {
            refused += 1
        }
        seed = seed.wrapping_add(1);
    }
    is_over.store(true, Ordering::SeqCst);
    guard.thread().unpark();
    guard.join().unwrap();
    println!("{opened} opened, {refused} refused, at most {most} KiB and {longest:?}");
    assert!(opened > 0 && refused > 0, "{opened} opened, {refused} refused");
}

/// Ends the process if a file is not done with in time: a thread that never returns cannot be ended.
fn watch_over(current: &Arc<AtomicU64>, is_over: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let (current, is_over) = (Arc::clone(current), Arc::clone(is_over));
    std::thread::spawn(move || {
        let (mut seed, mut since) = (current.load(Ordering::SeqCst), Instant::now());
        while !is_over.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_millis(500));
            let now = current.load(Ordering::SeqCst);
            if now != seed {
                (seed, since) = (now, Instant::now());
            }
            if since.elapsed() > WAIT_MAX {
                eprintln!("LARDER_FUZZ_SEED={seed} does not end");
                std::process::abort();
            }
        }
    })
}
