//! The command line of larder, the embedded multi-tenant key-value store.
#![deny(unsafe_code)]

mod arguments;
mod commands;
mod failure;
mod formats;
mod links;
mod log;
mod notice;
mod opening;
mod output;
mod progress;
mod records;
mod replace_file;
mod source;
mod store_files;
mod text;
mod times;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use notice::Notice;
use output::Output;

fn main() -> ExitCode {
    commands::interrupt::survive_file_limits();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => match arguments::mistake(&error) {
            None => error.exit(),
            Some(mistake) => {
                // What was not understood may still ask for JSON.
                Notice::from(&mistake).say(std::env::args_os().any(|argument| argument == "--json"));
                return ExitCode::from(mistake.exit_code());
            }
        },
    };
    log::listen(arguments.place.log, arguments.place.json);
    let mut output = Output::standard(arguments.place.json);
    let done = commands::run(&arguments, &mut output);
    // What was said before something failed is said first.
    let done = done.and(output.flush());
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has had enough of it, as `head` does: nothing went wrong.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            Notice::from(&failure).say(arguments.place.json);
            ExitCode::from(failure.exit_code())
        }
    }
}
