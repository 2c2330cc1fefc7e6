//! `larder tour`: shows every feature on a temporary store, in a file or in the cluster that `--store` names.
//! Each step checks what it shows, so the tour is also a self-test.

mod entries;
mod stage;
mod templates;
mod tenants;
mod whole_store;

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
    let mut stage = Stage::new(folder.path(), place, output);

    let medium = if stage.is_in_cluster() { "in a cluster" } else { "in one file" };
    stage.tell(&format!(
        "Larder stores small pieces of data {medium}: values under keys, and keys in groups."
    ))?;
    stage.tell("Lines that begin with $ are commands that you can run yourself.")?;
    entries::settings(&mut stage)?;
    entries::session(&mut stage)?;
    tenants::isolation(&mut stage)?;
    tenants::quota(&mut stage)?;
    entries::changes(&mut stage)?;
    entries::conditions(&mut stage)?;
    entries::transaction(&mut stage)?;
    templates::rendering(&mut stage)?;
    whole_store::export_and_import(&mut stage)?;
    whole_store::history(&mut stage)?;
    match stage.is_in_cluster() {
        true => whole_store::the_cluster(&mut stage)?,
        false => whole_store::the_file(&mut stage)?,
    }
    stage.finish(began.elapsed())
}
