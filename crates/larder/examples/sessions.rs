//! The sessions of a web service: they expire by themselves, live on while they are used, and send an event
//! when they end.

use std::time::Duration;

use larder::{EventKind, ManualClock, Store};

/// Runs the example.
pub fn main() -> larder::Result<()> {
    // The example moves the clock itself instead of waiting. A service omits this option.
    let clock = ManualClock::new();
    let store = Store::options().clock(clock.clone()).in_memory()?;
    let ended = store.watch(("session", "*"))?;
    let minutes = |count: u64| Duration::from_secs(60 * count);

    store.set_with_ttl("session", "session-1", r#"{"user":1}"#, minutes(30))?;
    store.set_with_ttl("session", "session-2", r#"{"user":2}"#, minutes(30))?;

    clock.advance(minutes(20));
    assert!(store.touch("session", "session-1", minutes(30))?, "the first session is still alive");

    clock.advance(minutes(15));
    assert!(store.exists("session", "session-1")?);
    assert!(!store.exists("session", "session-2")?, "the second session was idle for 35 minutes");

    let expired = ended.map_while(Result::ok).find(|event| event.kind == EventKind::Expire);
    println!("the session of {:?} has ended", expired.and_then(|event| event.key));
    Ok(())
}
