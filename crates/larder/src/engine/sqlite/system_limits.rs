//! What the system does not let a process do, where SQLite only says that a file operation has failed.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::data::Error;

/// The larder error for a write that failed by what the system said; `None` where that says no more than SQLite.
pub(super) fn refused_write(location: &str, system: io::Error) -> Option<Error> {
    let advice = match system.kind() {
        ErrorKind::QuotaExceeded => "Raise the disk quota of the user, or free some of it, and try again.",
        ErrorKind::FileTooLarge => "Raise the limit on the size of files (`ulimit -f`), and try again.",
        ErrorKind::ReadOnlyFilesystem => {
            return Some(Error::ReadOnly { location: location.to_owned() });
        }
        _ => return None,
    };
    Some(Error::Full { location: location.to_owned(), advice: advice.into(), source: Arc::new(system) })
}

/// What the system says if this process cannot open any file now, because it has too many open, or the system has.
pub(super) fn out_of_descriptors() -> Option<io::Error> {
    // SQLite does not keep what the system said when it could not open a file.
    let probe = if cfg!(windows) { "NUL" } else { "/dev/null" };
    File::open(probe).err()
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use super::*;

    #[test]
    #[cfg(target_os = "linux")] // Whose numbers these are.
    fn each_limit_of_the_system_has_an_error_and_advice_of_its_own() {
        const EDQUOT: i32 = 122;
        const EFBIG: i32 = 27;
        const EROFS: i32 = 30;
        const EIO: i32 = 5;
        let refused = |code| refused_write("app.db", io::Error::from_raw_os_error(code));
        let advice = |code| refused(code).and_then(|error| error.advice().map(|advice| advice.into_owned()));
        assert!(advice(EDQUOT).is_some_and(|advice| advice.contains("quota")));
        assert!(advice(EFBIG).is_some_and(|advice| advice.contains("ulimit -f")));
        assert!(matches!(refused(EROFS), Some(Error::ReadOnly { .. })));
        assert!(refused(EIO).is_none());
        assert!(out_of_descriptors().is_none());
    }
}
