//! The entries that the clients write.

use larder::{Quota, Result, Store};

/// Single entries that are set, deleted and incremented, with and without conditions.
pub const REGISTERS: &str = "register";
pub const REGISTER_KEYS: u64 = 8;
/// Entries that are only ever incremented by one.
pub const COUNTERS: &str = "counter";
pub const COUNTER_KEYS: u64 = 3;
/// Entries of several groups that are only ever set together, to the same value.
pub const TOGETHER: [(&str, &str); 4] =
    [("together", "a"), ("together", "b"), ("together", "c"), ("together-too", "d")];
/// Stands for all of these entries as the key of a call.
pub const ALL: &str = "*";
/// Entries between which amounts are moved.
pub const ACCOUNTS: &str = "account";
pub const ACCOUNT_KEYS: u64 = 5;
pub const ACCOUNT_START: i64 = 100;
/// Records which worker made a transfer.
pub const TRANSFERS: &str = "transfer";
/// Entries that expire.
pub const SESSIONS: &str = "session";
pub const SESSION_KEYS: u64 = 6;
/// Entries whose expiry changes.
pub const LEASES: &str = "lease";
/// A namespace that is always full.
pub const TENANT: &str = "tenant";
pub const QUOTA: Quota = Quota { max_keys: Some(10), max_groups: Some(2), max_bytes: Some(600) };

/// Writes what must exist before the clients begin.
pub fn prepare(store: &Store) -> Result<()> {
    store.set_quota(TENANT, QUOTA)?;
    let batch = (0..ACCOUNT_KEYS).fold(store.batch(), |batch, number| {
        batch.set(ACCOUNTS, number.to_string(), ACCOUNT_START.to_string())
    });
    batch.commit().map(drop)
}
