//! Shuts down cleanly on Ctrl-C and SIGTERM.

use larder::Store;

use crate::failure::Failure;

/// Closes the store on Ctrl-C. That ends its watchers, and so the command that waits for one.
pub fn close_at_ctrl_c(store: &Store) -> Result<(), Failure> {
    let store = store.clone();
    at_ctrl_c(move || {
        // If closing fails, the process releases the file when it exits, which is next.
        let _ = store.close();
    })
}

/// Calls `end` on Ctrl-C.
pub fn at_ctrl_c(end: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    ctrlc::set_handler(end).map_err(|error| {
        Failure::Refused("Ctrl-C cannot be listened for".into()).because(&error).advise("Try again.")
    })
}

/// Calls `end` on each SIGTERM instead of ending the process.
#[cfg(unix)]
pub fn at_termination(mut end: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    use signal_hook::consts::SIGTERM;
    use signal_hook::iterator::Signals;

    let refused = |error: std::io::Error| {
        Failure::Refused("SIGTERM cannot be listened for".into()).because(&error).advise("Try again.")
    };
    let mut signals = Signals::new([SIGTERM]).map_err(refused)?;
    let listener = std::thread::Builder::new().name("larder-signals".into());
    listener.spawn(move || signals.forever().for_each(|_| end())).map_err(refused)?;
    Ok(())
}

/// Makes a write beyond the limit on the size of files (`ulimit -f`) fail, instead of ending the process.
#[cfg(unix)]
pub fn survive_file_limits() {
    // The flag is for nobody: with a handler, the system call returns an error, which says it all.
    let signal = rustix::process::Signal::XFSZ.as_raw();
    let _ = signal_hook::flag::register(signal, std::sync::Arc::default());
}

/// Other systems have no such signal.
#[cfg(not(unix))]
pub fn survive_file_limits() {}

/// Other systems have no SIGTERM.
#[cfg(not(unix))]
pub fn at_termination(_end: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    Ok(())
}
