//! Ending in order when the user presses Ctrl-C, or the system asks the process to end.

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
    ctrlc::set_handler(end).map_err(|error| {
        Failure::Refused(format!("Ctrl-C cannot be listened for: {error}")).advise("Try again.")
    })
}

/// Does something each time that the process is asked to end (SIGTERM), in the place of ending at once.
#[cfg(unix)]
pub fn at_termination(mut end: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    use signal_hook::consts::SIGTERM;
    use signal_hook::iterator::Signals;

    let refused =
        |error| Failure::Refused(format!("SIGTERM cannot be listened for: {error}")).advise("Try again.");
    let mut signals = Signals::new([SIGTERM]).map_err(refused)?;
    let listener = std::thread::Builder::new().name("larder-signals".into());
    listener.spawn(move || signals.forever().for_each(|_| end())).map_err(refused)?;
    Ok(())
}

/// Elsewhere a process is not asked.
#[cfg(not(unix))]
pub fn at_termination(_end: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    Ok(())
}
