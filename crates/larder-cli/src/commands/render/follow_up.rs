//! The command that follows a rendering, such as the one that has a server read its configuration again.

use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::arguments::Render;
use crate::failure::Failure;

/// What `--exec` says, and whether it runs just now.
#[derive(Clone)]
pub struct FollowUp {
    line: Option<String>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The command that runs, until it has ended. Its number is nobody else's before it has been waited for.
    #[cfg(unix)]
    running: Option<rustix::process::Pid>,
    /// Whether this process was asked to end, so that nothing is begun any more.
    is_ending: bool,
}

impl FollowUp {
    pub fn of(command: &Render) -> Self {
        Self { line: command.exec.clone(), state: Arc::default() }
    }

    /// Runs the command, if there is one, and waits for it. Ctrl-C reaches it as it reaches this process: the
    /// terminal sends it to both.
    pub fn run(&self) -> Result<(), Failure> {
        let Some(line) = &self.line else { return Ok(()) };
        let Some(child) = self.start(line) else { return Ok(()) };
        let status = child.and_then(|child| self.wait(child)).map_err(|error| {
            Failure::Refused(format!("the command {line:?} could not be started: {error}"))
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

    /// Asks the command to end that runs just now, and has none begin any more.
    pub fn end(&self) {
        let mut state = self.state();
        state.is_ending = true;
        #[cfg(unix)]
        if let Some(running) = state.running {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(running, rustix::process::Signal::TERM);
        }
    }

    /// `None` where nothing is to begin any more.
    fn start(&self, line: &str) -> Option<io::Result<Child>> {
        let mut state = self.state();
        if state.is_ending {
            return None;
        }
        // Whatever is on standard input is not meant for it.
        let child = shell(line).stdin(Stdio::null()).spawn();
        #[cfg(unix)]
        if let Ok(child) = &child {
            state.running = Some(rustix::process::Pid::from_child(child));
        }
        Some(child)
    }

    fn wait(&self, mut child: Child) -> io::Result<ExitStatus> {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
            // Its number stays its own until it is waited for, below, when nobody would signal it any more.
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
    status.signal() == Some(signal_hook::consts::SIGINT)
}

/// Whether it was ended by SIGTERM.
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
