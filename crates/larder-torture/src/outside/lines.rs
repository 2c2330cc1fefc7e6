//! What a process prints for the trial: a line for each answer that one of its threads gets. `Answers` reads them.

use std::io::{self, Write};

use crate::moment;

/// The process has begun.
pub fn begin() {
    print("begins");
}

/// A write, backup, restore or upgrade with this number was acknowledged.
pub fn acknowledge(thread: u64, number: u64) {
    print(&format!("{thread} {number} {}.", moment::now()));
}

/// Something else was answered to a thread, such as an error and its kind.
pub fn say(what: &str, thread: u64, more: &str) {
    print(&format!("{what} {thread} {}{}{more}.", moment::now(), if more.is_empty() { "" } else { " " }));
}

/// Prints a line. The trial may have stopped reading. A full stop at its end shows that it is whole.
pub fn print(line: &str) {
    let mut output = io::stdout().lock();
    let _ = output.write_all(format!("{line}\n").as_bytes()).and_then(|()| output.flush());
}
