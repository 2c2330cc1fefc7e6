//! The tour's steps about the store as a whole: taken elsewhere, remembered, and looked into.

use std::fs::File;
use std::io::Read;
use std::process::Command;

use larder::{Snapshot, Store};

use super::stage::Stage;
use crate::failure::Failure;

pub fn export_and_import(stage: &mut Stage) -> Result<(), Failure> {
    stage.step(
        "Out and in again",
        "Everything goes to a text file, and from there into a new, empty store.",
    )?;
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
    stage.step("What was before", "Every change has a number, and the latest ones are remembered.")?;
    stage.run(&["history", "config", "colour"])?;
    let events = stage.store()?.history("config", "colour")?;
    let values: Vec<_> = events.iter().filter_map(|event| event.value.as_ref()?.as_str()).collect();
    stage.found("the colour was blue, and then green", values == ["blue", "green"])
}

pub fn the_file(stage: &mut Stage) -> Result<(), Failure> {
    stage.step(
        "One ordinary file",
        "All of it is one SQLite database, which a great many other tools can read.",
    )?;
    let mut beginning = [0; 15];
    let path = stage.path("larder.db");
    File::open(&path)
        .and_then(|mut file| file.read_exact(&mut beginning))
        .map_err(|error| Failure::file(&path, "read", &error))?;
    stage.found("the file begins with the words `SQLite format 3`", &beginning == b"SQLite format 3")?;
    with_sqlite3(stage)?;
    figures(stage)
}

pub fn the_cluster(stage: &mut Stage) -> Result<(), Failure> {
    stage.step(
        "A cluster of machines",
        "All of it is in etcd, where every machine sees the same, and one of the cluster's may die.",
    )?;
    figures(stage)
}

fn figures(stage: &mut Stage) -> Result<(), Failure> {
    stage.run(&["check"])?;
    stage.run(&["stats"])?;
    let stats = stage.store()?.stats()?;
    stage.check(
        "stats count what is there",
        stats.namespaces == 2 && stats.keys == stage.store()?.count_all("")?,
    )
}

/// Looks into the file with SQLite's own program, where that is installed.
fn with_sqlite3(stage: &mut Stage) -> Result<(), Failure> {
    const QUERY: &str = "SELECT entry_key, entry_value FROM entries WHERE group_name = 'web'";
    let asked = Command::new("sqlite3").arg("-readonly").arg(stage.path("larder.db")).arg(QUERY).output();
    // That it is not there, or too old to read the file, is no fault of larder's.
    let Some(answer) = asked.ok().filter(|answer| answer.status.success()) else { return Ok(()) };
    stage.say(&format!("  $ sqlite3 larder.db \"{QUERY}\""))?;
    stage.show(&String::from_utf8_lossy(&answer.stdout))
}
