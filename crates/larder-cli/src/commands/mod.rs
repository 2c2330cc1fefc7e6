//! The commands: one file for each, or for a few related ones.

mod abandon;
mod backup;
mod check;
mod compact;
mod completions;
mod confirm;
mod copy;
mod count;
mod cursor;
mod delete;
mod expiry;
mod export;
mod get;
mod health;
mod history;
mod import;
mod increment;
pub mod interrupt;
mod list;
mod namespace;
mod render;
mod restore;
mod restored;
mod retention;
mod set;
mod stats;
mod tour;
mod watch;
mod watchdog;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;
use crate::output::Output;

/// Runs the command of the command line.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<(), Failure> {
    let place = &arguments.place;
    match &arguments.command {
        Command::Set(command) => set::run(command, place, output),
        Command::Get(key) => get::run(key, place, output),
        Command::Delete(command) => delete::run(command, place, output),
        Command::List(command) => list::run(command, place, output),
        Command::Count(command) => count::run(command, place, output),
        Command::Touch(command) => expiry::touch(command, place, output),
        Command::Persist(key) => expiry::persist(key, place, output),
        Command::Purge => expiry::purge(place, output),
        Command::Increment(command) => increment::run(command, place, output),
        Command::Watch(command) => watch::run(command, place, output),
        Command::Cursor(command) => cursor::run(command, place, output),
        Command::History(key) => history::run(key, place, output),
        Command::Retention(command) => retention::run(command, place, output),
        Command::Render(command) => render::run(command, place, output),
        Command::Import(command) => import::run(command, place, output),
        Command::Export(command) => export::run(command, place, output),
        Command::Namespace(command) => namespace::run(command, place, output),
        Command::Stats => stats::run(place, output),
        Command::Check(command) => check::run(command, place, output),
        Command::Compact => compact::run(place, output),
        Command::Restored => restored::run(place, output),
        Command::Backup(command) => backup::run(command, place, output),
        Command::Restore(command) => restore::run(command, place, output),
        Command::Copy(command) => copy::run(command, place, output),
        Command::Tour => tour::run(place, output),
        Command::Completions(command) => completions::run(command, output),
    }
}

/// Returns the error for a missing entry.
fn no_entry(group: &str, key: &str) -> Failure {
    Failure::NotFound(format!("the group {group:?} has no key {key:?}"))
        .advise("See what it has with `larder list`.")
}
