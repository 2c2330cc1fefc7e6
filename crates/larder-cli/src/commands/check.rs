//! `larder check`: looks for damage in the store.

use larder::Error;
use serde_json::json;

use crate::arguments::Place;
use crate::failure::Failure;
use crate::output::{Form, Output, Tone};
use crate::progress;
use crate::text::{counted, one_line};

pub fn run(place: &Place, output: &mut Output) -> Result<(), Failure> {
    let opened = place.whole("check")?.reading()?;
    let spinner = progress::spinner("reading the whole store");
    let problems = opened.whole.check();
    spinner.finish_and_clear();
    let problems = problems?;
    match output.form() {
        Form::Json => output.json(&json!({ "ok": problems.is_empty(), "problems": problems }))?,
        Form::Table | Form::Plain if problems.is_empty() => {
            let words = output.tinted(Tone::Good, "the store is sound");
            output.line(&words)?;
        }
        Form::Table | Form::Plain => {
            for problem in &problems {
                output.line(&one_line(problem))?;
            }
        }
    }
    match problems.len() {
        0 => Ok(()),
        found => {
            let detail = format!("{} found", counted(found as u64, "problem"));
            let damaged = Error::Damaged { location: place.store.clone(), detail };
            Err(Failure::from(damaged).advise("Restore a backup."))
        }
    }
}
