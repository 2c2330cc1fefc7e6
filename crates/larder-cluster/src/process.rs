//! One running etcd, and the shell that holds it.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::keeper::Keeper;

/// Starts the program, tells its process id, sends it the signals that are asked for, and kills it in the
/// end. The shell is its parent and does not wait for it before that, so the id is nobody else's, even if
/// the program has died by itself. The program alone holds on to the shell's first standard error, at 9,
/// and so lets this process see that it has ended. It reads nothing, and so cannot keep the line open.
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

/// How long a process may take to come to a halt.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running program. It is killed, and gone, when this is dropped; and soon after this process has died.
pub(crate) struct Process {
    keeper: Keeper,
    id: u32,
    /// At its end when the program has ended.
    life: UnixStream,
}

impl Process {
    /// Starts a program, whose output goes to the end of a file.
    pub fn start(command: &[OsString], log: &Path) -> io::Result<Self> {
        let (life, theirs) = UnixStream::pair()?;
        life.set_nonblocking(true)?;
        let mut arguments = vec![log.as_os_str().to_owned()];
        arguments.extend_from_slice(command);
        let mut keeper = Keeper::start(SCRIPT, &arguments, Stdio::from(OwnedFd::from(theirs)))?;
        let id = keeper.hear()?.parse().map_err(io::Error::other)?;
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

    /// Stops it where it stands, and waits until it does.
    pub fn pause(&mut self) -> io::Result<()> {
        self.send("STOP")?;
        let deadline = Instant::now() + PATIENCE;
        while !self.stands_still() {
            if Instant::now() > deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not come to a halt"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Lets it go on.
    pub fn resume(&mut self) -> io::Result<()> {
        self.send("CONT")
    }

    fn send(&mut self, signal: &str) -> io::Result<()> {
        self.keeper.say(signal)?;
        self.keeper.hear().map(drop)
    }

    /// Whether every thread has stopped: each does when it gets round to it. Where there is no `/proc` to
    /// tell, the signal has to be enough.
    fn stands_still(&self) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.id)) else { return true };
        threads.flatten().all(|thread| {
            // The state follows the name, which is in parentheses and may hold any character.
            fs::read_to_string(thread.path().join("stat"))
                .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
        })
    }
}
