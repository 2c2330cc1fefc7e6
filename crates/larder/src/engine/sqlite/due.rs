//! How the expired entries of some groups are found that are still stored, to subtract them from the tallies: through the
//! index of all expiries, or through the entries of these groups. Whichever reads less is chosen, so what other
//! namespaces have left to be removed does not make a tenant's counts slower than its own entries would.

use rusqlite::{OptionalExtension, params};

use super::large_values;
use super::queries::{End, Queries};
use crate::data::namespace::namespace_with_prefix;
use crate::engine::Extent;

/// So many expired entries are read through the index without a second thought.
const BACKLOG_MIN: u64 = 500;

/// The entries that have expired by `?1`, through the index of expiries.
const BY_TIME: &str = "entries INDEXED BY entries_by_expiry WHERE expires_at <= ?1";

/// The same, through the names that further conditions select.
const BY_NAME: &str = "entries WHERE +expires_at <= ?1";

impl Queries<'_> {
    /// Expired entries: what follows FROM, up to the conditions that select their groups.
    pub(super) fn due_of(&self, within: Extent<'_>) -> rusqlite::Result<&'static str> {
        if !self.has_index {
            return Ok(BY_NAME);
        }
        if !self.has_backlog(BACKLOG_MIN)? {
            return Ok(BY_TIME);
        }
        let own = self.stored_keys(within)?;
        Ok(if self.has_backlog(own.max(BACKLOG_MIN))? { BY_NAME } else { BY_TIME })
    }

    /// The expired entries of the groups from `?2` to `?3`, by group, as the table `due`.
    pub(super) fn due_by_group(&self, prefix: &str) -> rusqlite::Result<String> {
        let due = self.due_of(Extent::Prefix(prefix))?;
        let size = large_values::size_in(self.connection)?;
        Ok(format!(
            "WITH due AS MATERIALIZED (
                SELECT group_name, count(*) AS keys,
                       sum(collected(octet_length(group_name) + octet_length(entry_key), {size})
                           - octet_length(group_name)) AS bytes
                FROM {due} AND group_name >= ?2 AND group_name < ?3 GROUP BY group_name)"
        ))
    }

    /// Whether more than `count` expired entries are stored.
    fn has_backlog(&self, count: u64) -> rusqlite::Result<bool> {
        let mut statement = self.prepare(
            "SELECT 1 FROM entries INDEXED BY entries_by_expiry WHERE expires_at <= ?1 LIMIT 1 OFFSET ?2",
        )?;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        Ok(statement.query_row([self.now_ms(), count], |_| Ok(())).optional()?.is_some())
    }

    /// How many keys are stored, expired or not.
    fn stored_keys(&self, within: Extent<'_>) -> rusqlite::Result<u64> {
        let prefix = match within {
            Extent::Group(group) => return Ok(self.tally(group)?.keys),
            Extent::Prefix(prefix) => prefix,
        };
        let keys = match namespace_with_prefix(prefix) {
            Some(namespace) => self
                .prepare("SELECT keys FROM namespaces WHERE namespace = ?1")?
                .query_row([namespace], |row| row.get(0))
                .optional()?,
            None => self
                .prepare("SELECT sum(keys) FROM groups WHERE group_name >= ?1 AND group_name < ?2")?
                .query_row(params![prefix, End::of(prefix)], |row| row.get(0))?,
        };
        Ok(super::schema::unsigned(keys.unwrap_or_default()))
    }
}
