//! A connection that reads, and the moment that it is kept at.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use rusqlite::TransactionState;

use super::guard::GuardedConnection;
use super::kept_reads::Moment;
use super::wal_index::WalIndex;
use super::walker::Base;

/// A connection that reads.
pub(super) struct Reader {
    connection: GuardedConnection,
    /// The moment of the read transaction that it is kept in.
    kept_at: Option<Moment>,
    /// When it was lent last.
    pub lent_at: Instant,
}

impl Reader {
    pub fn new(connection: GuardedConnection) -> Self {
        Self { connection, kept_at: None, lent_at: Instant::now() }
    }

    /// The moment of the read transaction that it is kept in.
    #[inline]
    pub fn kept_at(&self) -> Option<Moment> {
        self.kept_at
    }

    /// Begins a read transaction. Its first read fixes its moment.
    pub fn begin(&self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("BEGIN")?.execute([]).map(drop)
    }

    /// Whether the read transaction has its moment: something was read in it.
    pub fn has_moment(&self) -> bool {
        self.connection.transaction_state(Some("main")).is_ok_and(|state| state == TransactionState::Read)
    }

    /// Keeps the read transaction, which shows that moment.
    pub fn keep(&mut self, moment: Moment, index: Arc<WalIndex>) {
        self.kept_at = Some(moment);
        self.walk_at(moment, index);
    }

    /// Lets reads of the open transaction, which shows that moment, find their pages by themselves.
    pub fn walk_at(&self, moment: Moment, index: Arc<WalIndex>) {
        if let Some(base) = Base::of(moment, index) {
            self.connection.begin_walking(base);
        }
    }

    /// Ends the read transaction, if it is in one.
    pub fn leave(&mut self) -> rusqlite::Result<()> {
        self.kept_at = None;
        self.connection.end_walking();
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection.prepare_cached("ROLLBACK")?.execute([]).map(drop)
    }
}

impl Deref for Reader {
    type Target = GuardedConnection;

    fn deref(&self) -> &GuardedConnection {
        &self.connection
    }
}
