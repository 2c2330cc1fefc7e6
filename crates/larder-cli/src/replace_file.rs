//! Replaces a file atomically: a reader sees the old content or the new, never a part.

mod metadata;

use std::fs::{self, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::failure::Failure;
use crate::links;
use crate::output::warn;

/// Returns whether the file at `path` has exactly this content. A device or a pipe never has.
pub fn has_content(path: &Path, content: &[u8]) -> bool {
    let same_size = |found: &fs::Metadata| found.is_file() && found.len() == content.len() as u64;
    fs::metadata(path).is_ok_and(|found| same_size(&found))
        && fs::read(path).is_ok_and(|found| found == content)
}

/// Replaces the content of the file at `path` with what `write` writes. The new file keeps the owner, group,
/// permissions and attributes, and prints a warning about those it cannot keep. If `path` is a symbolic link,
/// its target is replaced.
pub fn replace_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::file(path, "written", &error);
    let target = links::resolve(path).map_err(failed)?;
    let found = fs::metadata(&target).ok();
    // A device or a pipe, such as /dev/stdout, cannot be replaced, so it is written directly.
    if found.as_ref().is_some_and(|found| !found.is_file() && !found.is_dir()) {
        let mut file = fs::OpenOptions::new().write(true).open(&target).map_err(failed)?;
        return write(&mut file);
    }
    if found.as_ref().is_some_and(fs::Metadata::is_dir) {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".larder-").suffix(".tmp");
    // A replacement stays private until it has the permissions of the old file.
    if let (None, Some(permissions)) = (&found, ordinary_permissions()) {
        builder.permissions(permissions);
    }
    let mut file = builder.tempfile_in(links::folder_of(&target)).map_err(failed)?;
    let mut buffered = BufWriter::new(&mut file);
    write(&mut buffered).and_then(|()| Ok(buffered.flush()?)).map_err(|failure| match failure {
        Failure::Output(error) => failed(error),
        other => other,
    })?;
    drop(buffered);
    let lost = match &found {
        Some(found) => metadata::copy(&target, found, file.as_file()).map_err(failed)?,
        None => Vec::new(),
    };
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&target).map_err(|error| failed(error.error))?;
    if !lost.is_empty() {
        warn(
            &format!("{} was replaced, and its {} could not be kept", path.display(), lost.join(", ")),
            "Set what has to be by hand, or write to it as its owner.",
        );
    }
    Ok(())
}

/// Returns the permissions of a new file before the umask. A temporary file would have stricter ones.
#[cfg(unix)]
fn ordinary_permissions() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn ordinary_permissions() -> Option<Permissions> {
    None
}
