//! Shells that outlive this process by a moment, to clear away what it leaves behind.
//!
//! A destructor does not run when a process is killed, nor for what a static holds. So whatever must not
//! outlive this process has a shell that reads from a socket until it ends, and then puts an end to it.
//! The other end of the socket is held by nobody but this process, which the kernel closes for it however
//! it dies. A signal at the parent's death would not do: on Linux it is sent when the *thread* ends that
//! started the child, and tests start each on a thread of its own.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a shell may take to answer before it is given up. It only ever sends a signal.
const PATIENCE: Duration = Duration::from_secs(10);

/// A shell that runs a script whose input ends when this is dropped, or with this process. Dropping waits
/// until the script is through.
#[derive(Debug)]
pub(crate) struct Keeper {
    shell: Child,
    line: BufReader<UnixStream>,
}

impl Keeper {
    /// Starts a script. It reads from this process at its standard input, and answers there as well.
    pub fn start<S: AsRef<OsStr>>(script: &str, arguments: &[S], stderr: Stdio) -> io::Result<Self> {
        // Both ends are closed in whatever program is started, by this process or by another thread's.
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        let mut shell = Command::new("sh");
        // etcd would take them for settings, and refuses to start where one says the same as an argument.
        // Only on processors that it is not sure of does it start with nothing else than such a word.
        env::vars_os()
            .map(|(name, _)| name)
            .filter(|name| name.as_bytes().starts_with(b"ETCD_") && name != "ETCD_UNSUPPORTED_ARCH")
            .for_each(|name| _ = shell.env_remove(name));
        let shell = shell
            .arg("-c")
            .arg(script)
            .arg("larder-cluster")
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(stderr)
            // Ctrl-C on the terminal is for this process, and the shell's cue is that it is gone.
            .process_group(0)
            .spawn()?;
        Ok(Self { shell, line: BufReader::new(ours) })
    }

    /// The process id of the shell, and of what it has become where the script put another program in its place.
    pub fn process(&self) -> u32 {
        self.shell.id()
    }

    /// Says a line to the script.
    pub fn say(&mut self, word: &str) -> io::Result<()> {
        self.line.get_mut().write_all(format!("{word}\n").as_bytes())
    }

    /// The next line that the script says.
    pub fn hear(&mut self) -> io::Result<String> {
        let mut said = String::new();
        if self.line.read_line(&mut said)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(said.trim_end().to_owned())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Neither fails but when the shell is gone already, and then there is nothing to wait for.
        let _ = self.line.get_ref().shutdown(Shutdown::Both);
        let _ = self.shell.wait();
    }
}
