//! The queries of every connection that reads.

use std::ffi::c_int;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, OptionalExtension, Row, ToSql, params};

use super::ascending::Ascending;
use super::cache::{Figure, Question};
use super::expiry_index;
use super::guard::GuardedConnection;
use super::held::{Held, Run};
use super::large_values;
use super::log_parts::Parts;
use super::schema::unsigned;
use super::step_limit::limited;
use crate::data::namespace::{namespace_with_prefix, prefix_of};
use crate::data::{
    Clock, Entries, Facts, Found, GroupInfo, NamespaceInfo, Quota, Result, Revision, SmallValue, Usage, clock,
};
use crate::engine::{Answer, Extent, Read, Scan};

/// Queries through one connection. Each uses the clock's time of its call.
#[derive(Clone, Copy)]
pub(super) struct Queries<'a> {
    pub connection: &'a GuardedConnection,
    pub clock: &'a dyn Clock,
    /// Whether the file has the index of expiries. Without it every query reads more, and answers the same.
    pub has_index: bool,
}

/// The revision and the expiry of an entry, in two columns of a row.
pub(super) fn facts(row: &Run<'_>, first: c_int) -> rusqlite::Result<Facts> {
    let revision = Revision(unsigned(row.integer(first)?.unwrap_or_default()));
    Ok(Facts { revision, expires_at_ms: row.integer(first + 1)? })
}

/// Asks through a connection, without the index of expiries if the file has lost it.
pub(super) fn ask<T>(
    connection: &GuardedConnection,
    clock: &dyn Clock,
    query: impl Fn(&Queries<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    match limited(|| query(&Queries { connection, clock, has_index: true })) {
        Err(error) if expiry_index::is_why(&error, connection) => {
            limited(|| query(&Queries { connection, clock, has_index: false }))
        }
        answer => answer,
    }
}

/// A type that lends a connection for a query. With that it can answer every read.
pub(super) trait ReadThrough {
    /// Runs a query. It may be repeated while another process holds the lock of the file.
    fn read<T>(&self, query: impl Fn(&Queries<'_>) -> rusqlite::Result<T>) -> Answer<T>;

    /// The live entry of a key. An engine with a cache overrides this.
    fn find(&self, group: &str, key: &str) -> Result<Option<Found>> {
        self.read(|reading| Ok(reading.stored(group, key)?.filter(|found| found.is_live(reading.clock))))
            .wait()
    }

    /// Copies the value of a live entry, if the cache knows and it is small. Returns whether there is one.
    fn copy_cached(&self, _group: &str, _key: &str, _into: &mut SmallValue) -> Option<bool> {
        None
    }

    /// The live entry of a key, if the cache knows.
    fn cached(&self, _group: &str, _key: &str) -> Option<Option<Found>> {
        None
    }

    /// A page of a group, if the cache has the group.
    fn scan_cached(&self, _scan: &Scan<'_>) -> Option<Entries> {
        None
    }

    /// What a group holds, if the cache has the group.
    fn kept_usage(&self, _group: &str) -> Option<Usage> {
        None
    }

    /// The answer to a question, if the cache has it.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    fn answer_cached<T: Figure>(&self, _question: &Question<'_>) -> Option<T> {
        None
    }

    /// Answers a question by a query. An engine with a cache overrides this.
    fn answer<T: Figure>(
        &self,
        _question: &Question<'_>,
        query: impl Fn(&Queries<'_>) -> rusqlite::Result<T>,
    ) -> Answer<T> {
        self.read(query)
    }

    /// Notes that so many entries of a group were read in a snapshot.
    fn walked(&self, _group: &str, _entries: usize) {}

    /// A page of a group. An engine with a cache overrides this.
    fn scanned(&self, scan: &Scan<'_>) -> Answer<Entries> {
        self.read(|reading| reading.scan(scan))
    }
}

impl<R: ReadThrough + Send + Sync> Read for R {
    fn try_get(&self, group: &str, key: &str) -> Option<Answer<Option<Found>>> {
        self.cached(group, key).map(|found| Answer::ready(Ok(found)))
    }

    fn peek(&self, group: &str, key: &str, into: &mut SmallValue) -> Option<bool> {
        self.copy_cached(group, key, into)
    }

    fn fetch(&self, group: &str, key: &str) -> Result<Option<Found>> {
        self.find(group, key)
    }

    fn try_scan(&self, scan: &Scan<'_>) -> Option<Entries> {
        self.scan_cached(scan)
    }

    fn try_usage(&self, extent: Extent<'_>) -> Option<Usage> {
        let of_kept = match extent {
            Extent::Group(group) => self.kept_usage(group),
            Extent::Prefix(_) => None,
        };
        of_kept.or_else(|| self.answer_cached(&Question::of_usage(extent)))
    }

    fn try_groups(&self, prefix: &str) -> Option<Vec<GroupInfo>> {
        self.answer_cached(&Question::Groups(prefix))
    }

    fn try_namespaces(&self, only: Option<&str>) -> Option<Vec<NamespaceInfo>> {
        self.answer_cached(&Question::Namespaces(only))
    }

    fn note_walk(&self, group: &str, entries: usize) {
        self.walked(group, entries);
    }

    fn scan(&self, scan: &Scan<'_>) -> Answer<Entries> {
        self.scanned(scan)
    }

    fn usage(&self, extent: Extent<'_>) -> Answer<Usage> {
        if let Extent::Group(group) = extent
            && let Some(usage) = self.kept_usage(group)
        {
            return Answer::ready(Ok(usage));
        }
        self.answer(&Question::of_usage(extent), |reading| reading.usage(extent))
    }

    fn groups(&self, prefix: &str) -> Answer<Vec<GroupInfo>> {
        self.answer(&Question::Groups(prefix), |reading| reading.groups(prefix))
    }

    fn namespaces(&self, only: Option<&str>) -> Answer<Vec<NamespaceInfo>> {
        self.answer(&Question::Namespaces(only), |reading| reading.namespaces(only))
    }

    fn revision(&self) -> Answer<Revision> {
        self.read(|reading| reading.revision())
    }
}

impl<'a> Queries<'a> {
    pub(super) fn now_ms(&self) -> i64 {
        clock::now_ms(self.clock)
    }

    pub(super) fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'a>> {
        if self.has_index {
            self.connection.prepare_cached(sql)
        } else {
            self.connection.prepare_cached(&sql.replace(expiry_index::HINT, ""))
        }
    }

    /// What is stored under a key, expired or not.
    pub fn stored(&self, group: &str, key: &str) -> rusqlite::Result<Option<Found>> {
        let walked = self.connection.walk(|walker, connection| {
            walker.get(connection, group, key, |row| Found::new(group, key, row.value, row.facts))
        });
        if let Some(found) = walked {
            return Ok(found);
        }
        let mut get = self.connection.held(Held::Get)?;
        get.text(1, group)?;
        get.text(2, key)?;
        if !get.step()? {
            return Ok(None);
        }
        let facts = facts(&get, 1)?;
        // While the entry is read, a large value is that of the same moment.
        let found = |value: &[u8]| Some(Found::new(group, key, value, facts));
        large_values::read(self.connection, &get, 0, Held::LargeValue, found)
    }

    /// What a group has stored, expired or not.
    pub(super) fn tally(&self, group: &str) -> rusqlite::Result<Usage> {
        let mut statement = self.prepare("SELECT keys, bytes FROM groups WHERE group_name = ?1")?;
        let tally = statement.query_row([group], |row| usage(row.get(0)?, 1, row.get(1)?)).optional()?;
        Ok(tally.unwrap_or_default())
    }

    pub fn usage(&self, extent: Extent<'_>) -> rusqlite::Result<Usage> {
        match extent {
            Extent::Group(group) => self.usage_of_group(group),
            Extent::Prefix(prefix) => match namespace_with_prefix(prefix) {
                Some(namespace) => self.usage_of_groups(
                    "SELECT keys, groups, bytes FROM namespaces WHERE namespace = ?4",
                    prefix,
                    namespace,
                ),
                None => self.usage_of_groups(
                    "SELECT keys, 1 AS groups, bytes FROM groups WHERE group_name >= ?2 AND group_name < ?3 AND ?4 = ''",
                    prefix,
                    "",
                ),
            },
        }
    }

    fn usage_of_group(&self, group: &str) -> rusqlite::Result<Usage> {
        let due = self.due_of(Extent::Group(group))?;
        let size = large_values::size_in(self.connection)?;
        let mut statement = self.prepare(&format!(
            "SELECT keys - (SELECT count(*) FROM {due} AND group_name = ?2),
                    bytes - (SELECT coalesce(sum(octet_length(entry_key) + {size}), 0)
                             FROM {due} AND group_name = ?2)
             FROM groups WHERE group_name = ?2"
        ))?;
        let live = statement
            .query_row(params![self.now_ms(), group], |row| {
                let keys: i64 = row.get(0)?;
                usage(keys, keys.min(1), row.get(1)?)
            })
            .optional()?;
        Ok(live.unwrap_or_default())
    }

    /// Sums what `stored` selects, without what has expired of it.
    fn usage_of_groups(&self, stored: &str, prefix: &str, namespace: &str) -> rusqlite::Result<Usage> {
        let due = self.due_by_group(prefix)?;
        let mut statement = self.prepare(&format!(
            "{due}, gone AS (
                SELECT coalesce(sum(due.keys), 0) AS keys, coalesce(sum(due.keys = groups.keys), 0) AS groups,
                       coalesce(sum(due.bytes), 0) AS bytes
                FROM due JOIN groups USING (group_name))
             SELECT coalesce(sum(stored.keys), 0) - gone.keys, coalesce(sum(stored.groups), 0) - gone.groups,
                    coalesce(sum(stored.bytes), 0) - gone.bytes
             FROM gone LEFT JOIN ({stored}) AS stored"
        ))?;
        statement.query_row(params![self.now_ms(), prefix, End::of(prefix), namespace], |row| {
            usage(row.get(0)?, row.get(1)?, row.get(2)?)
        })
    }

    pub fn groups(&self, prefix: &str) -> rusqlite::Result<Vec<GroupInfo>> {
        let due = self.due_by_group(prefix)?;
        let mut statement = self.prepare(&format!(
            "{due}
             SELECT group_name, groups.keys - coalesce(due.keys, 0) AS live, groups.bytes - coalesce(due.bytes, 0)
             FROM groups LEFT JOIN due USING (group_name)
             WHERE group_name >= ?2 AND group_name < ?3 AND live > 0 ORDER BY group_name"
        ))?;
        let mut order = Ascending::default();
        let groups = statement.query_map(params![self.now_ms(), prefix, End::of(prefix)], |row| {
            order.next(row)?;
            Ok(GroupInfo { name: row.get(0)?, keys: unsigned(row.get(1)?), bytes: unsigned(row.get(2)?) })
        })?;
        groups.collect()
    }

    pub fn namespaces(&self, only: Option<&str>) -> rusqlite::Result<Vec<NamespaceInfo>> {
        let filter = if only.is_some() { "namespace = ?4" } else { "?4 IS NULL" };
        let prefix = only.map(prefix_of).unwrap_or_default();
        let due = self.due_by_group(&prefix)?;
        let mut statement = self.prepare(&format!(
            "{due}, gone AS (
                SELECT namespace_of(group_name) AS namespace, sum(due.keys) AS keys,
                       sum(due.keys = groups.keys) AS groups, sum(due.bytes) AS bytes
                FROM due JOIN groups USING (group_name) GROUP BY 1)
             SELECT namespace, stored.keys - coalesce(gone.keys, 0), stored.groups - coalesce(gone.groups, 0),
                    stored.bytes - coalesce(gone.bytes, 0), max_keys, max_groups, max_bytes
             FROM namespaces AS stored LEFT JOIN gone USING (namespace)
             WHERE {filter} ORDER BY namespace"
        ))?;
        let mut order = Ascending::default();
        let namespaces =
            statement.query_map(params![self.now_ms(), prefix, End::of(&prefix), only], |row| {
                order.next(row)?;
                let quota = quota(row, 4)?;
                Ok(NamespaceInfo {
                    name: row.get(0)?,
                    usage: usage(row.get(1)?, row.get(2)?, row.get(3)?)?,
                    quota,
                })
            })?;
        let has_something = |info: &NamespaceInfo| info.usage.keys > 0 || !info.quota.is_unlimited();
        namespaces.filter(|found| found.as_ref().map_or(true, has_something)).collect()
    }

    pub fn revision(&self) -> rusqlite::Result<Revision> {
        Ok(Parts::read(self.connection)?.revision())
    }

    pub fn next_expiry_ms(&self) -> rusqlite::Result<Option<i64>> {
        let mut statement = self.prepare(
            "SELECT expires_at FROM entries INDEXED BY entries_by_expiry
             WHERE expires_at IS NOT NULL ORDER BY expires_at LIMIT 1",
        )?;
        statement.query_row([], |row| row.get(0)).optional()
    }
}

/// The end of the range of names that start with a prefix: the least text that is greater than all of them. If there
/// is none, it is a blob, which SQLite sorts after every text.
pub(super) struct End(Option<String>);

impl End {
    pub fn of(prefix: &str) -> Self {
        let mut characters: Vec<char> = prefix.chars().collect();
        while let Some(last) = characters.pop() {
            // UTF-8 sorts as the characters do, so the next character makes the next text.
            let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(last as u32 + 1) };
            if let Some(next) = next {
                characters.push(next);
                return Self(Some(characters.into_iter().collect()));
            }
        }
        Self(None)
    }
}

impl ToSql for End {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match &self.0 {
            Some(text) => ValueRef::Text(text.as_bytes()),
            None => ValueRef::Blob(&[]),
        }))
    }
}

/// The three limits of a namespace, in adjacent columns.
pub(super) fn quota(row: &Row<'_>, first: usize) -> rusqlite::Result<Quota> {
    let limit = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(unsigned));
    Ok(Quota { max_keys: limit(first)?, max_groups: limit(first + 1)?, max_bytes: limit(first + 2)? })
}

fn usage(keys: i64, groups: i64, bytes: i64) -> rusqlite::Result<Usage> {
    Ok(Usage { keys: unsigned(keys), groups: unsigned(groups), bytes: unsigned(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_right_after_all_that_start_with_it() {
        assert_eq!(End::of("tenant_").0.unwrap(), "tenant`");
        assert_eq!(End::of("a\u{d7ff}").0.unwrap(), "a\u{e000}");
        assert_eq!(End::of("a\u{10ffff}").0.unwrap(), "b");
        assert_eq!(End::of("").0, None);
        assert_eq!(End::of("\u{10ffff}").0, None);
    }
}
