//! The command that follows a rendering, such as the one that has a server read its configuration again.

use std::process::{Command, ExitStatus, Stdio};

use crate::arguments::Render;
use crate::failure::Failure;

/// Runs what `--exec` says, and waits for it. Ctrl-C reaches it as it reaches this process: the terminal
/// sends it to both.
pub fn run(command: &Render) -> Result<(), Failure> {
    let Some(line) = &command.exec else { return Ok(()) };
    // Whatever is on standard input is not meant for it.
    let status = shell(line).stdin(Stdio::null()).status().map_err(|error| {
        Failure::Refused(format!("the command {line:?} could not be started: {error}; is there a shell?"))
    })?;
    if status.success() || was_interrupted(status) {
        return Ok(());
    }
    let ended = match status.code() {
        Some(code) => format!("exit status {code}"),
        None => status.to_string(),
    };
    Err(Failure::Refused(format!(
        "the command {line:?} ended with {ended}; the output was replaced before, so mend the command and run it by hand"
    )))
}

#[cfg(not(windows))]
fn shell(line: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(line);
    shell
}

#[cfg(windows)]
fn shell(line: &str) -> Command {
    use std::os::windows::process::CommandExt;
    let mut shell = Command::new("cmd");
    // As it was written: the shell takes it apart by rules of its own.
    shell.arg("/C").raw_arg(line);
    shell
}

/// Whether it was ended by Ctrl-C, which is nothing to complain of.
#[cfg(unix)]
fn was_interrupted(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    const SIGINT: i32 = 2;
    status.signal() == Some(SIGINT)
}

#[cfg(not(unix))]
fn was_interrupted(_: ExitStatus) -> bool {
    false
}
