//! Hearing of changes: as they happen, from the beginning, and in the middle of a write.

use larder::{Pattern, Revision, Store};

/// Shows it.
pub fn main() -> larder::Result<()> {
    let store = Store::in_memory()?;
    store.set("config", "colour", "blue")?;

    // In another thread, as changes come.
    let watcher = store.watch(Pattern::group("config"))?;
    let listener = std::thread::spawn(move || {
        for event in watcher.flatten() {
            println!("revision {}: {:?} is now {:?}", event.revision, event.key, event.value);
        }
    });

    // Before the write returns, on the thread that writes.
    let audit = store.on_change(|event| println!("audit: {} of {:?}", event.kind.as_str(), event.group));
    store.set("config", "colour", "green")?;
    drop(audit);

    // From the beginning, also after a restart: the change log remembers.
    let replay = store.watch_from(Pattern::all(), Revision(0))?;
    let colours: Vec<_> =
        std::iter::from_fn(|| replay.try_recv().transpose()).collect::<larder::Result<_>>()?;
    assert_eq!(colours.len(), 2);

    store.close()?;
    listener.join().map_err(|_| larder::Error::other("the listener panicked"))
}
