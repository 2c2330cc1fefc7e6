//! Finds the etcd program.

use std::path::PathBuf;
use std::{env, io};

/// Returns whether etcd is installed: at the path in `LARDER_ETCD`, or on the `PATH`.
pub fn etcd_is_installed() -> bool {
    etcd().is_ok()
}

/// The path of etcd.
pub(crate) fn etcd() -> io::Result<PathBuf> {
    if let Some(named) = env::var_os("LARDER_ETCD") {
        let named = PathBuf::from(named);
        return if named.is_file() {
            Ok(named)
        } else {
            Err(missing(&format!("LARDER_ETCD names {}, which is not a file", named.display())))
        };
    }
    on_path("etcd").ok_or_else(|| missing("etcd is not on the PATH; install it, or name it in LARDER_ETCD"))
}

/// The path of a program on the `PATH`.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

fn missing(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, what)
}
