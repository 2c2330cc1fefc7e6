//! What befalls a run: kills, power cuts, and calls that fail.

use std::collections::VecDeque;
use std::ffi::c_int;

use rusqlite::ffi;

/// A call of the VFS, or one of larder's own to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Open,
    Delete,
    Rename,
    Access,
    Read,
    Write,
    Truncate,
    Sync,
    Size,
    Lock,
    Unlock,
    Reserved,
    Map,
    MemoryLock,
    MemoryUnlock,
    /// A connection that has just released the lock to write, after its commit, releases that of its read.
    WriteEnded,
    Barrier,
    /// The barrier between the two halves of the header of the WAL index, while it is written.
    Header,
}

/// A call that fails.
#[derive(Clone, Debug)]
pub struct Fault {
    pub call: Call,
    /// How many calls of this kind it lets pass.
    pub passes: u64,
    /// Whether all further ones fail, too.
    pub for_ever: bool,
    /// Whether the disk is full. Otherwise the system reports an error of input or output.
    pub full: bool,
}

impl Fault {
    /// What SQLite's own VFS returns when such a call fails.
    fn code(&self) -> c_int {
        match self.call {
            Call::Write if self.full => ffi::SQLITE_FULL,
            Call::Write => ffi::SQLITE_IOERR_WRITE,
            Call::Open => ffi::SQLITE_CANTOPEN,
            Call::Delete => ffi::SQLITE_IOERR_DELETE,
            // No call of SQLite's.
            Call::Rename => ffi::SQLITE_IOERR,
            Call::Access => ffi::SQLITE_IOERR_ACCESS,
            Call::Read => ffi::SQLITE_IOERR_READ,
            Call::Truncate => ffi::SQLITE_IOERR_TRUNCATE,
            Call::Sync => ffi::SQLITE_IOERR_FSYNC,
            Call::Size => ffi::SQLITE_IOERR_FSTAT,
            Call::Lock => ffi::SQLITE_IOERR_LOCK,
            Call::Reserved => ffi::SQLITE_IOERR_CHECKRESERVEDLOCK,
            Call::Map => ffi::SQLITE_IOERR_SHMMAP,
            Call::MemoryLock => ffi::SQLITE_IOERR_SHMLOCK,
            // These do not fail.
            Call::Unlock | Call::MemoryUnlock | Call::WriteEnded | Call::Barrier | Call::Header => {
                ffi::SQLITE_OK
            }
        }
    }
}

/// Whom a strike ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The process that makes the call.
    Caller,
    /// All processes. The machine goes on, with what the system has in its memory.
    All,
    /// All processes, and the machine.
    Machine,
}

/// An end that comes without a warning.
#[derive(Clone, Debug)]
pub struct Strike {
    pub whom: Whom,
    /// At which kind of call; `None` is any.
    pub at: Option<Call>,
    /// How many of these calls it lets pass, after the strike before it.
    pub passes: u64,
}

/// What is to happen, and when.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// One after the other.
    pub strikes: VecDeque<Strike>,
    /// How many processes were killed.
    pub killed: u64,
    /// Whether the power was cut.
    pub is_cut: bool,
    /// Before which kind of call threads like to rest.
    pub rests_at: Option<Call>,
    pub faults: Vec<Fault>,
    /// A planted fault: nothing is ever synced.
    pub ignores_syncs: bool,
    /// How many calls have failed.
    pub failed: u64,
}

impl Plan {
    /// Whom this call ends, if it ends anybody.
    pub fn strike(&mut self, call: Call) -> Option<Whom> {
        let next = self.strikes.front_mut().filter(|next| next.at.is_none_or(|at| at == call))?;
        if next.passes > 0 {
            next.passes -= 1;
            return None;
        }
        self.strikes.pop_front().map(|struck| struck.whom)
    }

    /// The code with which this call fails, if it does.
    pub fn fault(&mut self, call: Call) -> Option<c_int> {
        let fault = self.faults.iter_mut().find(|fault| fault.call == call)?;
        if fault.passes > 0 {
            fault.passes -= 1;
            return None;
        }
        let code = fault.code();
        if !fault.for_ever {
            self.faults.retain(|fault| fault.call != call);
        }
        self.failed += 1;
        Some(code)
    }
}
