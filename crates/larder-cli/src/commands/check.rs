//! `larder check`: looks for damage in the store, and repairs what can be rebuilt.

use larder::{Error, Finding, Repair, Repaired};
use serde_json::{Value, json};

use crate::arguments::{Check, Place};
use crate::failure::Failure;
use crate::output::{Form, Output, Tone};
use crate::progress;
use crate::text::{counted, one_line};

pub fn run(command: &Check, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let whole = place.whole("check")?;
    let done = if command.repair {
        let opened = whole.changing()?;
        let repair =
            Repair::default().drop_foreign(command.drop_foreign).delete_unreadable(command.delete_unreadable);
        let spinner = progress::spinner("repairing a copy, then the store");
        let done = opened.whole.repair(repair);
        spinner.finish_and_clear();
        done.map_err(refused)?
    } else {
        let opened = whole.reading()?;
        let spinner = progress::spinner("reading the whole store");
        let left = opened.whole.check();
        spinner.finish_and_clear();
        let mut done = Repaired::default();
        done.left = left?;
        done
    };
    match output.form() {
        Form::Json => output.json(&report(&done, command.repair))?,
        Form::Table | Form::Plain => say(&done, output)?,
    }
    verdict(&done.left, place)
}

/// It is not the store that failed if there is no room for the copy.
fn refused(error: Error) -> Failure {
    match error {
        Error::BackupFailed { .. } => {
            Failure::Refused(format!("the copy to try the repair on could not be made: {error:#}"))
                .advise("Make room beside the store for another file of its size.")
        }
        error => error.into(),
    }
}

fn report(done: &Repaired, repairs: bool) -> Value {
    let shapes = |findings: &[Finding]| findings.iter().map(shape).collect::<Vec<_>>();
    let mut report = json!({ "ok": !is_damaged(&done.left), "problems": shapes(&done.left) });
    if repairs {
        report["repaired"] = shapes(&done.repaired).into();
    }
    report
}

/// The finding as the library serialises it, and what it says of it.
fn shape(finding: &Finding) -> Value {
    json!({
        "kind": finding.kind,
        "count": finding.count,
        "examples": finding.examples,
        "message": finding.to_string(),
        "advice": finding.advice(),
        "damage": finding.is_damage(),
        "repairable": finding.is_repairable(),
    })
}

fn say(done: &Repaired, output: &mut Output) -> Result<(), Failure> {
    for finding in &done.repaired {
        let words = output.tinted(Tone::Good, "repaired");
        output.line(&format!("{words}: {}", one_line(&finding.to_string())))?;
    }
    for finding in &done.left {
        let tone = if finding.is_damage() { Tone::Bad } else { Tone::Faint };
        let words = output.tinted(tone, if finding.is_damage() { "damaged" } else { "note" });
        output.line(&format!("{words}: {}", one_line(&finding.to_string())))?;
        output.line(&format!("  {}", finding.advice()))?;
    }
    if is_damaged(&done.left) {
        return Ok(());
    }
    let words = output.tinted(Tone::Good, "the store is sound");
    output.line(&words)
}

fn is_damaged(findings: &[Finding]) -> bool {
    findings.iter().any(Finding::is_damage)
}

fn verdict(left: &[Finding], place: &Place) -> Result<(), Failure> {
    let damage: Vec<&Finding> = left.iter().filter(|finding| finding.is_damage()).collect();
    let Some(worst) = damage.iter().find(|finding| !finding.is_repairable()).or(damage.first()) else {
        return Ok(());
    };
    let detail = format!("{} found", counted(damage.len() as u64, "problem"));
    let damaged = Error::Damaged { location: place.store.to_string(), detail };
    Err(Failure::from(damaged).advise(worst.advice()))
}
