//! `larder tour`: every feature at work, on a store of its own: in a file, or in the cluster that the location
//! names. Each step checks what it shows, so that the tour is also a test of the program it is run with.

mod entries;
mod stage;
mod taking_along;
mod templates;
mod tenants;

use std::time::Instant;

use crate::arguments::Place;
use crate::failure::Failure;
use crate::output::Output;
use stage::Stage;

pub fn run(place: &Place, output: &mut Output) -> Result<(), Failure> {
    let began = Instant::now();
    let folder = tempfile::Builder::new()
        .prefix("larder-tour-")
        .tempdir()
        .map_err(|error| Failure::file(&std::env::temp_dir(), "written", &error))?;
    output.for_a_person();
    let mut stage = Stage::new(folder.path(), &place.store, output);

    let kept = if stage.is_in_cluster() { "in a cluster" } else { "in one file" };
    stage
        .tell(&format!("Larder keeps small pieces of data {kept}: values under keys, and keys in groups."))?;
    stage.tell("These lines that begin with $ are commands that you can type yourself.")?;
    entries::settings(&mut stage)?;
    entries::session(&mut stage)?;
    tenants::fences(&mut stage)?;
    tenants::quota(&mut stage)?;
    entries::changes(&mut stage)?;
    entries::conditions(&mut stage)?;
    entries::transaction(&mut stage)?;
    templates::rendering(&mut stage)?;
    taking_along::export_and_import(&mut stage)?;
    taking_along::history(&mut stage)?;
    match stage.is_in_cluster() {
        true => taking_along::the_cluster(&mut stage)?,
        false => taking_along::the_file(&mut stage)?,
    }
    stage.farewell(began.elapsed())
}
