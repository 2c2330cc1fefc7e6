//! Two files exchange their names.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::new_file::name_without_replacing;

/// Makes two files of one folder exchange their names: at once, where the system can. Elsewhere the second name is
/// free for a moment, and a crash at that moment leaves its file under the name of [`kept_name`].
pub(crate) fn exchange(first: &Path, second: &Path) -> io::Result<()> {
    match exchange_at_once(first, second) {
        Err(error) if error.kind() == ErrorKind::Unsupported => exchange_by_turns(first, second),
        done => done,
    }
}

fn exchange_by_turns(first: &Path, second: &Path) -> io::Result<()> {
    let aside = keep(second, second)?;
    fs::rename(first, second).inspect_err(|_| drop(fs::rename(&aside, second)))?;
    fs::rename(&aside, first)
}

/// Gives a file the first free name of those for what was once called `name`, and returns it.
pub(crate) fn keep(file: &Path, name: &Path) -> io::Result<PathBuf> {
    for number in 1_u32.. {
        let kept = kept_name(name, number);
        match name_without_replacing(file, &kept) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            named => return named.map(|()| kept),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// `app.db.before-restore`, `app.db.before-restore-2` and so on.
fn kept_name(name: &Path, number: u32) -> PathBuf {
    let mut kept = name.as_os_str().to_owned();
    kept.push(".before-restore");
    if number > 1 {
        kept.push(format!("-{number}"));
    }
    kept.into()
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn exchange_at_once(first: &Path, second: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    renameat_with(CWD, first, CWD, second, RenameFlags::EXCHANGE).map_err(|error| match error {
        // The file system, or the kernel, does not know the flag.
        Errno::INVAL | Errno::NOSYS | Errno::NOTSUP => ErrorKind::Unsupported.into(),
        error => error.into(),
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn exchange_at_once(_first: &Path, _second: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Exchange = fn(&Path, &Path) -> io::Result<()>;

    #[test]
    fn two_files_exchange_their_names_by_whichever_way() {
        let ways: [Exchange; 3] = [exchange, exchange_at_once, exchange_by_turns];
        for (number, way) in ways.into_iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            let (first, second) = (folder.path().join("first"), folder.path().join("second"));
            fs::write(&first, "1").unwrap();
            fs::write(&second, "2").unwrap();
            match way(&first, &second) {
                Err(error) if number == 1 && error.kind() == ErrorKind::Unsupported => continue,
                done => done.unwrap(),
            }
            assert_eq!(fs::read_to_string(&first).unwrap(), "2");
            assert_eq!(fs::read_to_string(&second).unwrap(), "1");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
            // Nothing is lost where one of them is missing.
            fs::remove_file(&first).unwrap();
            way(&first, &second).unwrap_err();
            assert_eq!(fs::read_to_string(&second).unwrap(), "1");
        }
    }
}
