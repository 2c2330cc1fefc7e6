//! Shells that outlive this process by a moment and clean up after it.
//!
//! Destructors do not run when a process is killed, nor for statics. So everything that must not outlive this
//! process has a shell that reads from a socket until it is closed, and then cleans up. Only this process
//! holds the other end of the socket, and the kernel closes it however the process dies. A signal at the
//! parent's death would not work: Linux sends it when the *thread* that started the child ends, and each test
//! runs on its own thread.

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

/// The timeout of a shell's answer. It only ever sends a signal.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A shell that runs a script. Its input ends when this is dropped, or with this process. Dropping waits
/// until the script has ended.
#[derive(Debug)]
pub(crate) struct Keeper {
    shell: Child,
    line: BufReader<UnixStream>,
}

impl Keeper {
    /// Starts a script. Its standard input is a socket to this process, on which it also answers.
    pub fn start<S: AsRef<OsStr>>(script: &str, arguments: &[S], stderr: Stdio) -> io::Result<Self> {
        // Both ends are closed in every other program that any thread of this process starts.
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(WAIT_MAX))?;
        let mut shell = Command::new("sh");
        // etcd takes these variables as settings, and refuses to start if one repeats an argument. It needs
        // `ETCD_UNSUPPORTED_ARCH` on some processors.
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
            // Ctrl-C on the terminal must reach only this process. The shell acts once this process is gone.
            .process_group(0)
            .spawn()?;
        Ok(Self { shell, line: BufReader::new(ours) })
    }

    /// The process id of the shell, or of the program that replaced it with `exec`.
    pub fn process(&self) -> u32 {
        self.shell.id()
    }

    /// Writes a line to the script's input.
    pub fn send_line(&mut self, line: &str) -> io::Result<()> {
        self.line.get_mut().write_all(format!("{line}\n").as_bytes())
    }

    /// Reads the script's next line.
    pub fn read_line(&mut self) -> io::Result<String> {
        let mut answer = String::new();
        if self.line.read_line(&mut answer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer.trim_end().to_owned())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Both fail only if the shell is already gone, and then there is nothing to wait for.
        let _ = self.line.get_ref().shutdown(Shutdown::Both);
        let _ = self.shell.wait();
    }
}
