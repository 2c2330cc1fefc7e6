//! Watching changes: as they happen, from the beginning of the log, and before the write returns.

use larder::{Pattern, Revision, Store};

/// Runs the example.
pub fn main() -> larder::Result<()> {
    let store = Store::in_memory()?;
    store.set("config", "colour", "blue")?;

    // On another thread, as changes happen.
    let watcher = store.watch(Pattern::group("config"))?;
    let reader = std::thread::spawn(move || {
        for event in watcher.flatten() {
            println!("revision {}: {:?} is now {:?}", event.revision, event.key, event.value);
        }
    });

    // Before the write returns, on the thread that writes.
    let audit = store.on_change(|event| println!("audit: {} of {:?}", event.kind.as_str(), event.group));
    store.set("config", "colour", "green")?;
    drop(audit);

    // From the beginning of the change log, which outlives a restart.
    let replay = store.watch_from(Pattern::all(), Revision(0))?;
    let colours: Vec<_> =
        std::iter::from_fn(|| replay.try_recv().transpose()).collect::<larder::Result<_>>()?;
    assert_eq!(colours.len(), 2);

    store.close()?;
    reader.join().map_err(|_| larder::Error::other("the reader panicked"))
}
