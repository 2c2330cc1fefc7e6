//! Kills a process at one of its system calls, by tracing it.

#![expect(unsafe_code, reason = "tracing is a call of the C library")]

use std::ffi::c_int;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{io, mem, ptr};

use libc::pid_t;

/// What the calls that mark a stretch of work have as an argument, which no other call has.
const BEGIN: u64 = 0x1a7d_0001;
const END: u64 = 0x1a7d_0002;

/// How a traced process ended.
#[derive(Debug)]
pub struct Traced {
    /// It was killed, and did not end by itself.
    pub is_killed: bool,
    /// What it printed with `print_line`, line by line.
    pub lines: Vec<String>,
}

/// Marks what a traced process does in a closure: it is killed there.
pub fn marked<T>(work: impl FnOnce() -> T) -> T {
    mark(BEGIN);
    let done = work();
    mark(END);
    done
}

fn mark(which: u64) {
    // SAFETY: the call only reads a number, of a process that does not exist.
    unsafe { libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, which) };
}

/// Runs a test of this binary as another process, as `outside::Process` does, and kills it when one of its threads
/// begins the system call of this number, counted from 0 within what it [marks](marked).
pub fn killed_at(test: &str, path: &Path, words: &str, number: u64) -> Traced {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env("LARDER_TEST_PATH", path).env("LARDER_TEST_WORDS", words);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    // SAFETY: between fork and exec the closure makes one system call, and allocates nothing.
    unsafe { command.pre_exec(trace_me) };
    let mut child = command.spawn().unwrap();
    let pid = pid_t::try_from(child.id()).unwrap();
    let is_killed = follow(pid, number);
    let output = io::read_to_string(child.stdout.take().unwrap()).unwrap();
    // It was waited for, so this would wait for another process of that number.
    mem::forget(child);
    let lines =
        output.lines().filter_map(|line| line.split_once("\u{1}line ")).map(|(_, line)| line.to_owned());
    Traced { is_killed, lines: lines.collect() }
}

fn trace_me() -> io::Result<()> {
    // SAFETY: this request has no further arguments.
    match unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, ptr::null_mut::<u8>(), ptr::null_mut::<u8>()) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Waits for the next stop or end of a thread that this one traces.
fn wait() -> (pid_t, c_int) {
    let mut status = 0;
    // SAFETY: `status` lives until the call has returned.
    let thread = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
    assert!(thread > 0, "{}", io::Error::last_os_error());
    (thread, status)
}

/// Lets a process run until it ends, or until it begins the call of this number: then kills it. Returns whether it was
/// killed.
fn follow(pid: pid_t, number: u64) -> bool {
    let (mut is_marked, mut calls, mut is_traced, mut is_killed) = (false, 0, false, false);
    loop {
        let (thread, status) = wait();
        if !libc::WIFSTOPPED(status) {
            if thread != pid {
                continue;
            }
            assert!(is_killed || status == 0, "the traced process failed: status {status:#x}");
            return is_killed;
        }
        if !mem::replace(&mut is_traced, true) {
            let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_EXITKILL;
            // SAFETY: the thread is stopped, and the options are a number.
            let set =
                unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, thread, ptr::null_mut::<u8>(), options) };
            assert_eq!(set, 0, "{}", io::Error::last_os_error());
        }
        let signal = libc::WSTOPSIG(status);
        if signal == libc::SIGTRAP | 0x80
            && let Some((call, argument)) = begun_call(thread)
        {
            let is_mark = call == libc::SYS_getpriority as u64;
            match argument {
                BEGIN if is_mark => is_marked = true,
                END if is_mark => is_marked = false,
                _ if is_marked && calls == number && !is_killed => {
                    is_killed = true;
                    // SAFETY: the process was not waited for, so the number is its own.
                    assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
                }
                _ => calls += u64::from(is_marked),
            }
        }
        // Stops of the tracing itself are not for the process.
        let is_own = [libc::SIGTRAP, libc::SIGTRAP | 0x80, libc::SIGSTOP].contains(&signal);
        let passed_on = if is_own { 0 } else { signal };
        // SAFETY: the thread is stopped. If it was killed, the call fails and does nothing.
        unsafe { libc::ptrace(libc::PTRACE_SYSCALL, thread, ptr::null_mut::<u8>(), passed_on) };
    }
}

/// The number of the system call that a stopped thread begins, and its second argument; `None` if it ends one.
fn begun_call(thread: pid_t) -> Option<(u64, u64)> {
    // SAFETY: the structure consists of numbers.
    let mut info: libc::ptrace_syscall_info = unsafe { mem::zeroed() };
    let size = size_of::<libc::ptrace_syscall_info>();
    // SAFETY: the kernel writes at most `size` bytes to `info`, which lives until the call has returned.
    let written = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, size, &raw mut info) };
    if written <= 0 || info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return None;
    }
    // SAFETY: `op` says that this is what the kernel has written.
    let entry = unsafe { info.u.entry };
    Some((entry.nr, entry.args[1]))
}
