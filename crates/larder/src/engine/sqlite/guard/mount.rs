//! Whether a file is mounted by itself.
//!
//! A bind mount of a single file gives it a second name, in another folder. SQLite keeps the latest writes in a log
//! beside the name, so that each name would have its own.

use std::path::Path;

/// Whether something is mounted on the very name that a path leads to. False where the system does not tell.
#[cfg(target_os = "linux")]
pub(super) fn is_mounted(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

    statx(CWD, path, AtFlags::empty(), StatxFlags::TYPE).is_ok_and(|found| {
        found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
            && found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_mounted(_path: &Path) -> bool {
    false
}
