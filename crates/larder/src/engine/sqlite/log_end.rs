//! The end of the log, where the next change goes.

use rusqlite::Connection;

use super::columns::Stored;
use super::held::{Held, Prepared};
use super::log_parts::{Parts, ROW_BYTES};
use super::schema::signed;
use crate::data::{Event, LogPosition, Revision, Value, clock};
use crate::rules::Division;

/// The end of the log: of each of its parts.
#[derive(Clone, Debug, Default)]
pub(super) struct LogEnd {
    /// The last closed revision.
    pub revision: Revision,
    pub parts: Parts,
    /// What is to become of the log once the open transaction is committed.
    pub division: Option<Division>,
}

impl LogEnd {
    pub fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let parts = Parts::read(connection)?;
        Ok(Self { revision: parts.revision(), parts, division: None })
    }

    /// Reads the log again, because another process may have written to it.
    pub fn read_again(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let earlier = std::mem::replace(self, Self::read(connection)?);
        self.parts.remember_holds(&earlier.parts);
        Ok(())
    }

    /// Begins a transaction.
    pub fn begin(&mut self) {
        self.parts.0.iter_mut().for_each(|part| part.added = 0);
    }

    /// Appends a change, the `step`-th of its revision. `large` is the number of its value, if that is a large one.
    pub fn append(
        &mut self,
        connection: &Prepared,
        step: u64,
        event: &Event,
        large: Option<i64>,
    ) -> rusqlite::Result<()> {
        let index = self.parts.of(&event.group);
        let Some(part) = self.parts.0.get_mut(index) else { return Ok(()) };
        let value = event.value.as_ref().filter(|_| !part.is_none());
        let names = event.group.len() + event.key.as_ref().map_or(0, String::len);
        part.last.number += 1;
        part.last.bytes += ROW_BYTES + (names + value.map_or(0, Value::len)) as u64;
        part.last.place = LogPosition { revision: event.revision, step };
        part.added += 1;
        let mut log = connection.held(Held::Log)?;
        log.number(1, part.id(part.last.number))?;
        log.number(2, signed(event.revision.0))?;
        log.number(3, signed(step))?;
        log.text(4, event.kind.as_str())?;
        log.text(5, &event.group)?;
        if let Some(key) = &event.key {
            log.text(6, key)?;
        }
        if let Some(value) = value {
            log.stored(7, &Stored { value, large })?;
        }
        if let Some(expires_at) = event.expires_at {
            log.number(8, clock::ms(expires_at))?;
        }
        log.number(9, clock::ms(event.at))?;
        log.number(10, signed(part.last.bytes))?;
        log.finish()
    }
}
