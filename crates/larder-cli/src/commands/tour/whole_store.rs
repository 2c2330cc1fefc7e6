//! The tour's steps about the whole store: export, import, history and storage.

use std::fs::File;
use std::io::Read;
use std::process::Command;

use larder::{Snapshot, Store};

use super::stage::Stage;
use crate::failure::Failure;

pub fn export_and_import(stage: &mut Stage) -> Result<(), Failure> {
    stage.step("Export and import", "Every entry goes to a text file, and from there into a new store.")?;
    stage.run(&["export", "--group", "web", "--format", "json"])?;
    stage.run(&["export", "./everything.ndjson"])?;
    stage.run(&["--store", "./second.db", "import", "./everything.ndjson"])?;
    stage.run(&["--store", "./second.db", "list"])?;
    let (first, second) = (stage.store()?.snapshot()?, Store::open(stage.path("second.db"))?.snapshot()?);
    stage.found("the second store has the same groups, keys and values", same(&first, &second)?)
}

fn same(first: &Snapshot, second: &Snapshot) -> Result<bool, Failure> {
    let groups = first.groups("")?;
    if groups != second.groups("")? {
        return Ok(false);
    }
    for group in groups {
        if first.get_all(&group.name)? != second.get_all(&group.name)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub fn history(stage: &mut Stage) -> Result<(), Failure> {
    stage.step("History", "Every change has a revision, and the change log keeps the latest ones.")?;
    stage.run(&["history", "config", "colour"])?;
    let events = stage.store()?.history("config", "colour")?;
    let values: Vec<_> = events.iter().filter_map(|event| event.value.as_ref()?.as_str()).collect();
    stage.found("the colour was blue, then green", values == ["blue", "green"])
}

pub fn the_file(stage: &mut Stage) -> Result<(), Failure> {
    stage.step("One ordinary file", "The store is one SQLite database, which many other tools can read.")?;
    let mut beginning = [0; 15];
    let path = stage.path("larder.db");
    File::open(&path)
        .and_then(|mut file| file.read_exact(&mut beginning))
        .map_err(|error| Failure::file(&path, "read", &error))?;
    stage.found("the file begins with `SQLite format 3`", &beginning == b"SQLite format 3")?;
    with_sqlite3(stage)?;
    figures(stage)
}

pub fn the_cluster(stage: &mut Stage) -> Result<(), Failure> {
    stage.step(
        "A cluster of machines",
        "The store is in etcd. Every machine sees the same data, and one member of the cluster may fail.",
    )?;
    figures(stage)
}

fn figures(stage: &mut Stage) -> Result<(), Failure> {
    stage.run(&["check"])?;
    stage.run(&["stats"])?;
    let stats = stage.store()?.stats()?;
    stage.check(
        "the statistics match the entries",
        stats.namespaces == 2 && stats.keys == stage.store()?.count_all("")?,
    )
}

/// Queries the file with the `sqlite3` program, if it is installed.
fn with_sqlite3(stage: &mut Stage) -> Result<(), Failure> {
    const QUERY: &str = "SELECT entry_key, entry_value FROM entries WHERE group_name = 'web'";
    let asked = Command::new("sqlite3").arg("-readonly").arg(stage.path("larder.db")).arg(QUERY).output();
    // `sqlite3` may be missing, or too old to read the file.
    let Some(answer) = asked.ok().filter(|answer| answer.status.success()) else { return Ok(()) };
    stage.say(&format!("  $ sqlite3 larder.db \"{QUERY}\""))?;
    stage.show(&String::from_utf8_lossy(&answer.stdout))
}
