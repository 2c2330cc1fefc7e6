//! `larder completions`: prints the completion script for a shell.

use clap::CommandFactory;

use crate::arguments::{Arguments, Completions};
use crate::failure::Failure;
use crate::output::Output;

pub fn run(command: &Completions, output: &mut Output) -> Result<(), Failure> {
    // Into memory first: the generator panics if it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut Arguments::command(), "larder", &mut script);
    output.raw(&script)
}
