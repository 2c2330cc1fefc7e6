//! Runs the `--exec` command after a rendering, for example to reload a server's configuration.

use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::arguments::Render;
use crate::failure::Failure;

/// The `--exec` command, and whether it is running.
#[derive(Clone)]
pub struct ExecCommand {
    line: Option<String>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The running command. Cleared before the process is reaped, so that `end` never signals a reused id.
    #[cfg(unix)]
    running: Option<rustix::process::Pid>,
    /// Whether larder is shutting down, so that no command starts any more.
    is_ending: bool,
}

impl ExecCommand {
    pub fn of(command: &Render) -> Self {
        Self { line: command.exec.clone(), state: Arc::default() }
    }

    /// Runs the command, if there is one, and waits for it. On Ctrl-C, the terminal interrupts both larder and
    /// the command.
    pub fn run(&self) -> Result<(), Failure> {
        let Some(line) = &self.line else { return Ok(()) };
        let Some(child) = self.start(line) else { return Ok(()) };
        let status = child.and_then(|child| self.wait(child)).map_err(|error| {
            Failure::Refused(format!("the command {line:?} could not be started"))
                .because(&error)
                .advise("See whether there is a shell.")
        })?;
        if status.success() || was_interrupted(status) || (self.state().is_ending && was_terminated(status)) {
            return Ok(());
        }
        let ended = match status.code() {
            Some(code) => format!("exit status {code}"),
            None => status.to_string(),
        };
        Err(Failure::Refused(format!("the command {line:?} ended with {ended}"))
            .advise("The output was replaced before: correct the command and run it by hand."))
    }

    /// Sends SIGTERM to the running command, and prevents further ones from starting.
    pub fn end(&self) {
        let mut state = self.state();
        state.is_ending = true;
        #[cfg(unix)]
        if let Some(running) = state.running {
            // It may have ended already.
            let _ = rustix::process::kill_process(running, rustix::process::Signal::TERM);
        }
    }

    /// Starts the command; `None` if larder is shutting down.
    fn start(&self, line: &str) -> Option<io::Result<Child>> {
        // Locked until the process id is stored, so that `end` always finds a started command.
        let state = self.state();
        if state.is_ending {
            return None;
        }
        // The command must not consume larder's standard input.
        let child = shell(line).stdin(Stdio::null()).spawn();
        note_running(state, &child);
        Some(child)
    }

    fn wait(&self, mut child: Child) -> io::Result<ExitStatus> {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
            // NOWAIT keeps the process id reserved until `running` is cleared, so that `end` cannot signal another
            // process.
            let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(Pid::from_child(&child)), ended) {}
            self.state().running = None;
        }
        child.wait()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(unix)]
fn note_running(mut state: MutexGuard<'_, State>, child: &io::Result<Child>) {
    state.running = child.as_ref().ok().map(rustix::process::Pid::from_child);
}

#[cfg(not(unix))]
fn note_running(_: MutexGuard<'_, State>, _: &io::Result<Child>) {}

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
    // Unquoted, because cmd parses its command line by its own rules.
    shell.arg("/C").raw_arg(line);
    shell
}

/// Returns whether Ctrl-C ended the command, which is not an error.
#[cfg(unix)]
fn was_interrupted(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(signal_hook::consts::SIGINT)
}

/// Returns whether SIGTERM ended the command.
#[cfg(unix)]
fn was_terminated(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(signal_hook::consts::SIGTERM)
}

#[cfg(not(unix))]
fn was_interrupted(_: ExitStatus) -> bool {
    false
}

#[cfg(not(unix))]
fn was_terminated(_: ExitStatus) -> bool {
    false
}
