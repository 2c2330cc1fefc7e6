//! Replaces a file atomically: a reader sees the old content or the new, never a part.

mod metadata;

use std::fs::{self, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::failure::Failure;
use crate::links;
use crate::notice::Notice;
use crate::output::Output;

/// Returns whether the file at `path` has exactly this content. A device or a pipe never has.
pub fn has_content(path: &Path, content: &[u8]) -> bool {
    let same_size = |found: &fs::Metadata| found.is_file() && found.len() == content.len() as u64;
    fs::metadata(path).is_ok_and(|found| same_size(&found))
        && fs::read(path).is_ok_and(|found| found == content)
}

/// Replaces the content of the file at `path` with what `write` writes. The new file keeps the owner, group,
/// permissions and attributes, and `output` warns of those it cannot keep. If `path` is a symbolic link, its
/// target is replaced.
pub fn replace_file(
    path: &Path,
    output: &Output,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::file(path, "written", &error);
    larder::refuse_links(path).map_err(failed)?;
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
    // Private until it is complete. Nobody can guess its name, and it is created where nothing is, not even a link.
    let mut file = builder().tempfile_in(links::folder_of(&target)).map_err(failed)?;
    let mut buffered = BufWriter::new(&mut file);
    write(&mut buffered).and_then(|()| Ok(buffered.flush()?)).map_err(|failure| match failure {
        Failure::Output(error) => failed(error),
        other => other,
    })?;
    drop(buffered);
    let lost = match &found {
        Some(found) => metadata::copy(&target, found, file.as_file()).map_err(failed)?,
        None => {
            if let Some(permissions) = ordinary_permissions(links::folder_of(&target)).map_err(failed)? {
                file.as_file().set_permissions(permissions).map_err(failed)?;
            }
            Vec::new()
        }
    };
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&target).map_err(|error| failed(error.error))?;
    if !lost.is_empty() {
        let message =
            format!("{} was replaced, and its {} could not be kept", path.display(), lost.join(", "));
        let advice = "Set what has to be by hand, or write to it as its owner.";
        output.warn(&Notice::warning(message).advise(advice));
    }
    Ok(())
}

fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".larder-").suffix(".tmp").rand_bytes(22);
    builder
}

/// Returns the permissions that a new file in a folder has by the umask and by the folder's default access list: those
/// of an empty file, which is gone at once. The umask itself can only be asked for by changing it for all threads.
#[cfg(unix)]
fn ordinary_permissions(folder: &Path) -> io::Result<Option<Permissions>> {
    use std::os::unix::fs::PermissionsExt;
    let empty = builder().permissions(Permissions::from_mode(0o666)).tempfile_in(folder)?;
    empty.as_file().metadata().map(|made| Some(made.permissions()))
}

/// Elsewhere a file has those of its folder.
#[cfg(not(unix))]
fn ordinary_permissions(_folder: &Path) -> io::Result<Option<Permissions>> {
    Ok(None)
}
