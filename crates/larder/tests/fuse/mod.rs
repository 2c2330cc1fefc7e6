//! A FUSE file system with an empty folder, served by a thread of the test: enough of the protocol in `linux/fuse.h` for
//! a path in it to be looked up.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const STATFS: u32 = 17;
const INIT: u32 = 26;

const NO_SUCH_FILE: i32 = -2;
const NOT_IMPLEMENTED: i32 = -38;

/// Is unmounted when it is dropped.
pub struct Fuse {
    at: PathBuf,
}

impl Fuse {
    /// Mounts one on a folder. `None` where that is not allowed.
    pub fn mount(at: &Path) -> Option<Self> {
        let device = File::options().read(true).write(true).open("/dev/fuse").ok()?;
        let mounted = Command::new("mount")
            .args(["-i", "-t", "fuse.larder-test", "-o", "fd=0,rootmode=40000,user_id=0,group_id=0", "none"])
            .arg(at)
            // The device that the options name.
            .stdin(Stdio::from(device.try_clone().ok()?))
            .output()
            .ok()?;
        if !mounted.status.success() {
            eprintln!("skipped: {}", String::from_utf8_lossy(&mounted.stderr));
            return None;
        }
        std::thread::spawn(move || serve(device));
        Some(Self { at: at.to_owned() })
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.at).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.at.display());
    }
}

/// Answers until the file system is unmounted.
fn serve(mut device: File) {
    let mut request = vec![0; 1 << 20];
    while let Ok(length) = device.read(&mut request) {
        let number = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
        assert!(length >= 40);
        let mut body = Vec::new();
        let error = match number(4) {
            FORGET => continue,
            INIT => {
                // The version of the protocol, and no abilities.
                body.extend([7_u32, 31].map(u32::to_ne_bytes).concat());
                body.resize(64, 0);
                0
            }
            GETATTR => {
                body.resize(104, 0);
                // Valid for no time; inode 1; a folder that everybody may use, with two links.
                body[16..24].copy_from_slice(&1_u64.to_ne_bytes());
                body[76..80].copy_from_slice(&0o040_777_u32.to_ne_bytes());
                body[80..84].copy_from_slice(&2_u32.to_ne_bytes());
                0
            }
            STATFS => {
                body.resize(80, 0);
                0
            }
            LOOKUP => NO_SUCH_FILE,
            _ => NOT_IMPLEMENTED,
        };
        let length = u32::try_from(16 + body.len()).unwrap();
        let header = [&length.to_ne_bytes(), &error.to_ne_bytes()[..], &request[8..16]].concat();
        // A request that was interrupted wants no answer.
        let _ = device.write_all(&[header, body].concat());
    }
}
