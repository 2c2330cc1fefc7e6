//! Whether a file system shares locks and memory as SQLite needs it.
//!
//! SQLite's write-ahead log has an index in memory that all processes share, and locks that they all see. On a file
//! system over a network, or one that a host shares with its guests, each machine has its own memory, and often its
//! own locks. SQLite then damages the file without noticing.
//!
//! What a file system is called is decided by pure functions, so that kinds that no test machine can mount are tested
//! too.

use std::path::Path;

use crate::data::{Error, Result};

/// Refuses a path whose file system is not known to be safe. Where the system does not tell, it is taken for safe.
pub(super) fn check(path: &Path, shown: &Path) -> Result<()> {
    match unsafe_kind(path) {
        Some(kind) => Err(Error::UnsafeFileSystem { path: shown.to_owned(), kind }),
        None => Ok(()),
    }
}

/// The numbers are those of `statfs(2)` and of `linux/magic.h`; those that have no header are from the sources of the
/// file systems, as GNU `stat` lists them in `src/stat.c`.
#[cfg(any(target_os = "linux", target_os = "android", test))]
const UNSAFE: [(u32, &str); 20] = [
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "SMB (CIFS)"),
    (0xfe53_4d42, "SMB 2"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0000_564c, "NCP"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS 2"),
    (0x7461_636f, "OCFS 2"),
    (0x4750_4653, "GPFS"),
    (0xaad7_aaea, "PanFS"),
    (0x1983_0326, "BeeGFS"),
    (0x2003_0528, "OrangeFS"),
    (0x786f_4256, "VirtualBox shared folders"),
    (0xbacb_acbc, "VMware shared folders"),
    (0x7c7c_6673, "Parallels shared folders"),
];

/// The number of every FUSE file system, and of virtiofs.
#[cfg(any(target_os = "linux", target_os = "android", test))]
const FUSE: u32 = 0x6573_5546;

/// FUSE file systems that are known to be local. `fuseblk` lies on a block device of this machine, such as NTFS and
/// exFAT; the other is the overlay of containers without root. A FUSE file system of another kind may lie anywhere.
#[cfg(any(target_os = "linux", target_os = "android", test))]
const LOCAL_FUSE: [&str; 3] = ["fuseblk", "fuse.fuse-overlayfs", "fuse-overlayfs"];

/// What a file system is called, if it is not safe. `mount_type` finds the name under which it is mounted, which tells
/// one FUSE file system from another.
#[cfg(any(target_os = "linux", target_os = "android", test))]
fn judge(number: u32, mount_type: impl FnOnce() -> Option<String>) -> Option<String> {
    if number != FUSE {
        return UNSAFE.iter().find(|(known, _)| *known == number).map(|(_, name)| (*name).to_owned());
    }
    match mount_type() {
        Some(name) if LOCAL_FUSE.contains(&name.as_str()) => None,
        Some(name) => Some(name),
        None => Some("FUSE".into()),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn unsafe_kind(path: &Path) -> Option<String> {
    let found = rustix::fs::statfs(path).ok()?;
    // The field has another type on each architecture; the numbers have 32 bits.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the numbers have 32 bits")]
    let number = found.f_type as u32;
    judge(number, || mount_type(path))
}

/// The type of the mount that a path lies on, as `/proc/self/mountinfo` names it.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn mount_type(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;

    let device = std::fs::metadata(path).ok()?.dev();
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    type_of_device(&std::fs::read_to_string("/proc/self/mountinfo").ok()?, &device)
}

/// Finds the type of a device in the text of `mountinfo`, see `proc_pid_mountinfo(5)`:
/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`.
#[cfg(any(target_os = "linux", target_os = "android", test))]
fn type_of_device(mounts: &str, device: &str) -> Option<String> {
    mounts.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        (mount.split(' ').nth(2)? == device).then(|| file_system.split(' ').next().map(str::to_owned))?
    })
}

/// A file system that is not local says so in its flags.
#[cfg(target_vendor = "apple")]
fn unsafe_kind(path: &Path) -> Option<String> {
    let found = rustix::fs::statfs(path).ok()?;
    let is_local = found.f_flags & libc::MNT_LOCAL as u32 != 0;
    (!is_local).then(|| {
        let name = found.f_fstypename.iter().take_while(|byte| **byte != 0);
        name.map(|byte| char::from(*byte as u8)).collect()
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn unsafe_kind(_path: &Path) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:45 / /mnt/far rw,nosuid shared:9 - fuse.sshfs host:/ rw,user_id=0
41 22 0:46 / /mnt/guest rw - virtiofs shared rw
42 22 8:1 / /mnt/stick rw - fuseblk /dev/sdb1 rw,user_id=0
";

    fn judged(number: u32, device: &str) -> Option<String> {
        judge(number, || type_of_device(MOUNTS, device))
    }

    #[test]
    fn file_systems_over_a_network_are_refused() {
        for number in [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997, 0x00c3_6400] {
            assert!(judged(number, "").is_some(), "{number:x}");
        }
        assert_eq!(judged(0x6969, "").as_deref(), Some("NFS"));
    }

    #[test]
    fn local_file_systems_are_taken() {
        // ext4, XFS, Btrfs, tmpfs, overlay, ZFS, F2FS, FAT, ramfs, squashfs, bcachefs, EROFS.
        let local = [
            0xef53,
            0x5846_5342,
            0x9123_683e,
            0x0102_1994,
            0x794c_7630,
            0x2fc1_2fc1,
            0xf2f5_2010,
            0x4d44,
            0x8584_58f6,
            0x7371_7368,
            0xca45_1a4e,
            0xe0f5_e1e2,
        ];
        for number in local {
            assert_eq!(judged(number, ""), None, "{number:x}");
        }
    }

    #[test]
    fn a_fuse_file_system_is_refused_unless_it_is_known_to_be_local() {
        assert_eq!(judged(FUSE, "0:45").as_deref(), Some("fuse.sshfs"));
        assert_eq!(judged(FUSE, "0:46").as_deref(), Some("virtiofs"));
        assert_eq!(judged(FUSE, "8:1"), None);
        assert_eq!(judged(FUSE, "0:99").as_deref(), Some("FUSE"));
    }
}
