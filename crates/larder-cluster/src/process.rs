//! One running etcd, and the shell that keeps it.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::keeper::Keeper;

/// Starts the program, prints its process id, sends it each signal named in the input, and kills it at the
/// end of the input. The shell is the parent and waits for the program only then, so the id stays valid even
/// after the program has died. Only the program holds the shell's original standard error, as descriptor 9,
/// so this process notices when it ends. The program reads nothing, so it cannot keep the input open.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
log=$1
shift
"$@" 9>&2 </dev/null >>"$log" 2>&1 &
program=$!
exec 2>/dev/null
echo "$program" >&0
while read -r signal; do
    kill -s "$signal" "$program"
    echo sent >&0
done
kill -s KILL "$program"
wait "$program"
"#;

/// How long a process may take to stop.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A running program. It is killed when this is dropped, or soon after this process dies.
pub(crate) struct Process {
    keeper: Keeper,
    id: u32,
    /// Returns end of file when the program has ended.
    life: UnixStream,
}

impl Process {
    /// Starts a program, and appends its output to a file.
    pub fn start(command: &[OsString], log: &Path) -> io::Result<Self> {
        let (life, theirs) = UnixStream::pair()?;
        life.set_nonblocking(true)?;
        let mut arguments = vec![log.as_os_str().to_owned()];
        arguments.extend_from_slice(command);
        let mut keeper = Keeper::start(SCRIPT, &arguments, Stdio::from(OwnedFd::from(theirs)))?;
        let id = keeper.read_line()?.parse().map_err(io::Error::other)?;
        Ok(Self { keeper, id, life })
    }

    /// The program's process id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        matches!((&self.life).read(&mut [0]), Ok(0))
    }

    /// Stops the program with `SIGSTOP`, and waits until it has stopped.
    pub fn pause(&mut self) -> io::Result<()> {
        self.send("STOP")?;
        let deadline = Instant::now() + WAIT_MAX;
        while !self.is_stopped() {
            if Instant::now() > deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not stop"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Resumes the program.
    pub fn resume(&mut self) -> io::Result<()> {
        self.send("CONT")
    }

    fn send(&mut self, signal: &str) -> io::Result<()> {
        self.keeper.send_line(signal)?;
        self.keeper.read_line().map(drop)
    }

    /// Whether every thread has stopped. Threads stop one by one. Without `/proc`, assumes that the signal
    /// worked.
    fn is_stopped(&self) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.id)) else { return true };
        threads.flatten().all(|thread| {
            // The state follows the name, which is in parentheses and may contain any character.
            fs::read_to_string(thread.path().join("stat"))
                .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
        })
    }
}
