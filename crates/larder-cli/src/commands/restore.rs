//! `larder restore`: replaces the store by a backup.

use larder::Store;
use serde_json::json;

use super::confirm::confirm_or;
use crate::arguments::{Place, Restore};
use crate::failure::Failure;
use crate::output::Output;
use crate::store_files::StoreFiles;
use crate::text::one_line;
use crate::{progress, source};

pub fn run(command: &Restore, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let location = &place.whole("restore")?.store;
    let Some(file) = Store::file_of(location)? else {
        return Err(Failure::Usage("only a store in a file is restored".into()).advise(format!(
            "Copy the backup: `larder copy --exact {} LOCATION`.",
            command.backup.display()
        )));
    };
    if source::is_standard(&command.backup) {
        return Err(Failure::Usage("a backup is a file and not read from standard input".into())
            .advise("Name a file, or take `larder import`."));
    }
    StoreFiles::of(location).refuse_as_output()?;
    if !command.yes && file.exists() {
        let (store, backup) = (file.display(), command.backup.display());
        confirm_or(&format!("Replace the store {store} by {backup}?"), "nothing was restored")?;
    }
    let mut restoring = Store::restore(&command.backup, &file);
    if command.keep_old {
        restoring = restoring.keep_old();
    }
    let spinner = progress::spinner("restoring the backup");
    let restored = restoring.run();
    spinner.finish_and_clear();
    let restored = restored?;
    let name = file.display().to_string();
    let old = restored.old.map(|old| old.display().to_string());
    let mut words = format!("restored the store {} at revision {}", one_line(&name), restored.revision);
    if let Some(old) = &old {
        words.push_str(&format!("; the old one is {}", one_line(old)));
    }
    let answer = json!({
        "restored": name,
        "revision": restored.revision.0,
        "identity": restored.identity,
        "old": old,
    });
    output.answer(&answer, &words, None)
}
