//! Which etcd to start.

use std::path::PathBuf;
use std::{env, io};

/// Whether there is an etcd to start: at the path in `LARDER_ETCD`, or else on the `PATH`.
pub fn etcd_is_installed() -> bool {
    etcd().is_ok()
}

/// The program to start.
pub(crate) fn etcd() -> io::Result<PathBuf> {
    if let Some(named) = env::var_os("LARDER_ETCD") {
        let named = PathBuf::from(named);
        return if named.is_file() {
            Ok(named)
        } else {
            Err(missing(&format!("LARDER_ETCD names {}, which is no file", named.display())))
        };
    }
    on_path("etcd").ok_or_else(|| missing("etcd is not on the PATH; install it, or name it in LARDER_ETCD"))
}

/// Where the `PATH` has this program.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

fn missing(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, what)
}
