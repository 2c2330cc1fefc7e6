//! Ending in order when the user presses Ctrl-C.

use larder::Store;

use crate::failure::Failure;

/// Closes the store at Ctrl-C, which ends every watcher of it, and so the command that waits for one.
pub fn close_at_ctrl_c(store: &Store) -> Result<(), Failure> {
    let store = store.clone();
    at_ctrl_c(move || {
        // A store that does not close lets go of its file when the process ends, which is next.
        let _ = store.close();
    })
}

/// Has the command that waits come to its end at Ctrl-C.
pub fn at_ctrl_c(end: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    ctrlc::set_handler(end)
        .map_err(|error| Failure::Refused(format!("Ctrl-C cannot be listened for: {error}; try again")))
}
