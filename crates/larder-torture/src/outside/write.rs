//! What a thread writes that is killed: its number says what.

use std::time::Duration;

use larder::Store;

/// Three changes, as a batch or as a transaction. Each raises a number of the thread's own and a sum of all; the third
/// sets an entry, deletes it or gives it an expiry.
pub fn write(store: &Store, thread: u64, number: u64) -> larder::Result<()> {
    let own = format!("tenant-{thread}:numbers");
    let other = format!("thread-{thread}-{}", number % 7);
    let key = (number % 11).to_string();
    if number.is_multiple_of(2) {
        let batch = store.batch().set(own, "last", number.to_string()).increment("sum", "all", 1);
        let batch = match number % 3 {
            0 => batch.delete_group(&other),
            1 => batch.set(&other, key, vec![b'x'; (number % 3000) as usize]),
            _ => batch.set_with_ttl(&other, key, "short", Duration::from_millis(5)),
        };
        return batch.commit().map(drop);
    }
    store.transaction(|tx| {
        tx.set(&own, "last", number.to_string())?;
        tx.increment("sum", "all", 1)?;
        tx.set(&other, key.as_str(), number.to_string()).map(drop)
    })
}
