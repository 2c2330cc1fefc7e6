//! Files that somebody made to do harm: each is refused, or answers as far as it can, within 64 MiB, and ends.
//!
//! Each runs in a process of its own, whose memory is asked of the system: SQLite allocates in C.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![cfg(target_os = "linux")]

mod hostile;
mod outside;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hostile::corpus::Expected::{self, Harmless, Opened, Refused};
use hostile::corpus::{made_by_bytes, made_by_sql, sound_store};
use hostile::{Outcome, options, use_whole_file};
use outside::sqlite;

/// How much memory a process may take for a file, beyond what it had before.
const PEAK_KIB_MAX: u64 = 64 << 10;

/// When a process is taken for one that never ends.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What a process does with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Open,
    UseAll,
}

/// The child's part: uses a file, and prints what came of it, the memory that it took and the time.
#[test]
fn uses_a_file() {
    let Some((path, words)) = outside::child_task() else { return };
    let read_only = words[0] == "true";
    let before = status_kib("VmRSS:");
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let begun = Instant::now();
    let outcome = match &*words[1] {
        "Open" => {
            let opened = options().read_only(read_only).open(&path);
            Outcome { answers: usize::from(opened.is_ok()), errors: Vec::new() }
        }
        _ => use_whole_file(&path, read_only),
    };
    let took = begun.elapsed();
    let peak = status_kib("VmHWM:").saturating_sub(before);
    outside::print_line(format!("{} {peak} {}", outcome.answers, took.as_micros()));
    for error in outcome.errors {
        outside::print_line(error.replace('\n', " "));
    }
}

fn status_kib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What a process of its own has printed of a file: how many calls were answered, the memory and the time that it took,
/// and what the other calls failed with.
struct Used {
    answers: u64,
    peak_kib: u64,
    took: Duration,
    errors: Vec<String>,
}

/// Uses a file in a process of its own, which must end by itself.
fn use_outside(path: &Path, read_only: bool, task: Task) -> Result<Used, String> {
    let output = path.with_extension("out");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["uses_a_file", "--exact", "--nocapture", "--test-threads=1"])
        .env("LARDER_TEST_PATH", path)
        .env("LARDER_TEST_WORDS", format!("{read_only} {task:?}"))
        .stdout(fs::File::create(&output).unwrap())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > WAIT_MAX {
            child.kill().unwrap();
            child.wait().unwrap();
            return Err("does not end".into());
        }
        std::thread::park_timeout(Duration::from_millis(2));
    };
    let printed = String::from_utf8_lossy(&fs::read(&output).unwrap()).into_owned();
    let mut lines =
        printed.split('\u{1}').skip(1).filter_map(|line| line.strip_prefix("line ")).map(str::to_owned);
    let Some(first) = lines.next().filter(|_| status.success()) else { return Err(status.to_string()) };
    let numbers: Vec<u64> = first.split_whitespace().take(3).map(|number| number.parse().unwrap()).collect();
    let (answers, peak_kib, took) = (numbers[0], numbers[1], Duration::from_micros(numbers[2]));
    Ok(Used { answers, peak_kib, took, errors: lines.collect() })
}

#[track_caller]
fn assert_contained(name: &str, path: &Path, expected: Expected, faults: &mut Vec<String>) {
    for read_only in [true, false] {
        let what = format!("{name} (read-only: {read_only})");
        let Used { answers, peak_kib, took, errors } = match use_outside(path, read_only, Task::UseAll) {
            Ok(used) => used,
            Err(fault) => {
                faults.push(format!("{what}: {fault}"));
                continue;
            }
        };
        println!("{what}: {took:?}, {peak_kib} KiB, {answers} answers");
        if peak_kib > PEAK_KIB_MAX {
            faults.push(format!("{what}: took {peak_kib} KiB"));
        }
        let found = match (answers, &*errors) {
            (0, [error]) if error.starts_with("open: ") => Refused,
            (_, errors)
                if errors.iter().all(|error| {
                    error.starts_with("check finds: table or view")
                        || error.contains("theirs")
                        || error.contains("their_")
                }) =>
            {
                Harmless
            }
            _ => Opened,
        };
        if expected == Refused && found != Refused || expected == Harmless && found != Harmless {
            faults.push(format!("{what}: {found:?} and not {expected:?}: {errors:?}"));
        }
    }
}

/// Makes every file of the corpus, or those whose names contain what `LARDER_HOSTILE_FILE` says.
fn for_each_file(mut act: impl FnMut(&str, &Path, Expected)) {
    let template = tempfile::tempdir().unwrap();
    let sound = fs::read(sound_store(template.path())).unwrap();
    let chosen = std::env::var("LARDER_HOSTILE_FILE").unwrap_or_default();
    let mut with = |name: &str, expected, make: &dyn Fn(&Path)| {
        if name.contains(&chosen) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("store.db");
            make(&path);
            act(name, &path, expected);
        }
    };
    with("a sound store", Harmless, &|path| fs::write(path, &sound).unwrap());
    for (name, sql, expected) in made_by_sql() {
        with(name, expected, &|path| {
            fs::write(path, &sound).unwrap();
            let connection = sqlite(path);
            connection.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
            connection.execute_batch(&sql).unwrap_or_else(|error| panic!("{name}: {error}"));
        });
    }
    for (name, change, expected) in made_by_bytes() {
        with(name, expected, &|path| {
            let mut bytes = sound.clone();
            change(&mut bytes);
            fs::write(path, bytes).unwrap();
        });
    }
}

#[test]
fn a_file_made_to_do_harm_is_refused_or_read_within_its_bounds() {
    let mut faults = Vec::new();
    for_each_file(|name, path, expected| assert_contained(name, path, expected, &mut faults));
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Prints what each file takes, the slowest first. It asserts nothing, because a busy machine is slower.
#[test]
#[ignore = "measures: cargo test --release -p larder --test hostile_files measure -- --ignored --nocapture"]
fn measure_what_hostile_files_take() {
    for task in [Task::Open, Task::UseAll] {
        let mut rows = Vec::new();
        for_each_file(|name, path, _| {
            // The second run may write, so it comes last.
            for read_only in [true, false] {
                match use_outside(path, read_only, task) {
                    Ok(used) => {
                        rows.push((used.took, used.peak_kib, format!("{name} (read-only: {read_only})")))
                    }
                    Err(fault) => {
                        rows.push((WAIT_MAX, 0, format!("{name} (read-only: {read_only}): {fault}")))
                    }
                }
            }
        });
        rows.sort();
        let largest = rows.iter().map(|(_, peak_kib, _)| *peak_kib).max().unwrap_or_default();
        println!("{task:?}: {} runs, at most {largest} KiB", rows.len());
        for (took, peak_kib, name) in rows.iter().rev() {
            println!("{:9.1} ms {peak_kib:7} KiB  {name}", took.as_secs_f64() * 1000.0);
        }
    }
}

/// SQLite rolls back a journal that lies beside a file. If the journal says that it is part of a transaction over
/// several files, it also deletes the file that it names for that.
#[test]
fn a_journal_beside_a_file_deletes_no_other_file() {
    for read_only in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = sound_store(folder.path());
        let victim = folder.path().join("victim");
        fs::write(&victim, "a file of somebody").unwrap();
        let victim_name = victim.to_str().unwrap().as_bytes();

        // A journal of no pages, and the name of the other file at its end.
        let mut journal = vec![0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
        let pages = (fs::metadata(&path).unwrap().len() / 4096) as u32;
        for number in [0, 0, pages, 512, 4096] {
            journal.extend(u32::to_be_bytes(number));
        }
        journal.resize(512, 0);
        // PAGER_SJ_PGNO: the page of the lock byte.
        journal.extend(u32::to_be_bytes((1 << 30) / 4096 + 1));
        journal.extend(victim_name);
        journal.extend(u32::to_be_bytes(victim_name.len() as u32));
        journal.extend(u32::to_be_bytes(
            victim_name.iter().fold(0, |sum: u32, byte| sum.wrapping_add(u32::from(*byte))),
        ));
        journal.extend([0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]);
        fs::write(format!("{}-journal", path.display()), journal).unwrap();

        let opened = options().read_only(read_only).open(&path);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "a file of somebody", "read-only: {read_only}");
        drop(opened);
    }
}
