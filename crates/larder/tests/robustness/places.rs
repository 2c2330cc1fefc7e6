//! What the clients write to.

use larder::{Quota, Result, Store};

/// Single entries, which are set, deleted and incremented, on conditions and without.
pub const REGISTERS: &str = "register";
pub const REGISTER_KEYS: u64 = 8;
/// Entries that are only ever incremented by one.
pub const COUNTERS: &str = "counter";
pub const COUNTER_KEYS: u64 = 3;
/// Entries that are only ever set together, to one value, over several groups.
pub const TOGETHER: [(&str, &str); 4] =
    [("together", "a"), ("together", "b"), ("together", "c"), ("together-too", "d")];
/// The key that stands for all of them.
pub const ALL: &str = "*";
/// Entries between which amounts are moved.
pub const ACCOUNTS: &str = "account";
pub const ACCOUNT_KEYS: u64 = 5;
pub const ACCOUNT_START: i64 = 100;
/// Says in each transfer whose it was.
pub const TRANSFERS: &str = "transfer";
/// Entries that expire.
pub const SESSIONS: &str = "session";
pub const SESSION_KEYS: u64 = 6;
/// Entries whose expiry is moved about.
pub const LEASES: &str = "lease";
/// A namespace that is always full.
pub const TENANT: &str = "tenant";
pub const QUOTA: Quota = Quota { max_keys: Some(10), max_groups: Some(2), max_bytes: Some(600) };

/// What has to be there before the clients begin.
pub fn prepare(store: &Store) -> Result<()> {
    store.scoped(TENANT)?.set_quota(QUOTA)?;
    let batch = (0..ACCOUNT_KEYS).fold(store.batch(), |batch, number| {
        batch.set(ACCOUNTS, number.to_string(), ACCOUNT_START.to_string())
    });
    batch.commit().map(drop)
}
