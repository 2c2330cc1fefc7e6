//! One call to the system: `EXT4_IOC_SHUTDOWN`. It is a room for `unsafe` code.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `_IOR('X', 125, __u32)`, from the kernel's `fs/ext4/ext4.h`.
const EXT4_IOC_SHUTDOWN: u64 = 0x8004_587d;

/// Nothing more is written, not even the file system's journal.
const NO_LOG_FLUSH: u32 = 2;

/// Ends all writing of the ext4 file system that holds `folder`. What is not on the disk by then never comes there.
pub fn shut_down(folder: &File) -> io::Result<()> {
    let flags = NO_LOG_FLUSH;
    // SAFETY: the descriptor is open, and the call reads one `u32` through the pointer.
    let result = unsafe { libc::ioctl(folder.as_raw_fd(), EXT4_IOC_SHUTDOWN as _, &raw const flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
