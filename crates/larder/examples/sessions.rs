//! The sessions of a web service: they expire by themselves, stay alive while they are used, and
//! somebody hears of each that ends.

use std::time::Duration;

use larder::{EventKind, ManualClock, Store};

/// Shows it.
pub fn main() -> larder::Result<()> {
    // A clock that is moved by hand, so that this example need not wait. A service leaves it out.
    let clock = ManualClock::new();
    let store = Store::options().clock(clock.clone()).in_memory()?;
    let ended = store.watch(("session", "*"))?;
    let minutes = |count: u64| Duration::from_secs(60 * count);

    store.set_with_ttl("session", "alice", r#"{"user":1}"#, minutes(30))?;
    store.set_with_ttl("session", "bob", r#"{"user":2}"#, minutes(30))?;

    clock.advance(minutes(20));
    assert!(store.touch("session", "alice", minutes(30))?, "alice is still here");

    clock.advance(minutes(15));
    assert!(store.exists("session", "alice")?);
    assert!(!store.exists("session", "bob")?, "bob has been away for 35 minutes");

    let expired = ended.map_while(Result::ok).find(|event| event.kind == EventKind::Expire);
    println!("the session of {:?} has ended", expired.and_then(|event| event.key));
    Ok(())
}
