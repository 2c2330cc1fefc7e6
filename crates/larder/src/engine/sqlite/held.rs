//! Statements that stay prepared for as long as their connection is open, with `unsafe`.
//!
//! rusqlite finds a cached statement by its text, takes it out of a list and puts it back. For a statement that takes a
//! microsecond that is a third of its time. Those that matter have a place of their own here, and are bound and read
//! through SQLite's functions directly. `docs/unsafe.md` argues why that is sound.

#![expect(unsafe_code, reason = "a statement that lives beside its connection borrows from it")]

use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

use rusqlite::hooks::Wal;
use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, ffi};

use super::columns::Stored;
use super::scan_shape::Shape;

/// A statement that has a place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    /// The value, revision and expiry of one entry, by group and key.
    Get,
    /// A large value, by its number.
    LargeValue,
    /// The same, as one of many that a query collects.
    CollectedValue,
    /// Begins to write.
    Begin,
    Commit,
    /// A number that changes when another connection commits.
    OthersVersion,
    /// Sets an entry, whether or not it exists.
    Put,
    /// Sets an entry that exists and keeps its expiry.
    Overwrite,
    /// Appends a change to the log.
    Log,
    /// Writes the tally of a group that has one.
    TallyGroup,
}

const COUNT: usize = 10;

impl Held {
    pub fn sql(self) -> &'static str {
        match self {
            Self::Get => {
                "SELECT entry_value, revision, expires_at FROM entries WHERE group_name = ?1 AND entry_key = ?2"
            }
            Self::LargeValue => "SELECT content FROM large_values WHERE large_value = ?1",
            Self::CollectedValue => {
                "SELECT content, collected(0, octet_length(content)) FROM large_values WHERE large_value = ?1"
            }
            Self::Begin => "BEGIN IMMEDIATE",
            Self::Commit => "COMMIT",
            Self::OthersVersion => "PRAGMA data_version",
            // Not REPLACE, which would delete whatever stands in the way of an index of another program.
            Self::Put => {
                "INSERT INTO entries (group_name, entry_key, entry_value, expires_at, revision)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (group_name, entry_key) DO UPDATE
                 SET entry_value = excluded.entry_value, expires_at = excluded.expires_at,
                     revision = excluded.revision"
            }
            Self::Overwrite => {
                "UPDATE entries SET entry_value = ?3, revision = ?4 WHERE group_name = ?1 AND entry_key = ?2"
            }
            Self::Log => {
                "INSERT INTO changes (rowid, revision, position, kind, group_name, entry_key, entry_value,
                                      expires_at, at, logged_bytes)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
            }
            Self::TallyGroup => "UPDATE groups SET keys = ?2, bytes = ?3 WHERE group_name = ?1",
        }
    }
}

/// Where a statement lies while it does not run.
type Place = Cell<Option<Statement>>;

/// A connection and its held statements. Never gives out its connection mutably: it must stay the one that the
/// statements were prepared for.
pub(super) struct Prepared {
    // Dropped first: a connection cannot be closed while it has statements.
    statements: [Place; COUNT],
    scans: [Place; Shape::COUNT],
    connection: Connection,
}

impl Prepared {
    pub fn new(connection: Connection) -> Self {
        let statements = Default::default();
        Self { statements, scans: [const { Cell::new(None) }; Shape::COUNT], connection }
    }

    /// The connection, without its statements.
    pub fn into_inner(self) -> Connection {
        self.connection
    }

    /// Calls `tell` after each commit to a log.
    pub fn wal_hook(
        &mut self,
        tell: impl FnMut(&mut Wal, c_int) -> rusqlite::Result<()> + Send + 'static,
    ) -> rusqlite::Result<()> {
        self.connection.wal_hook(Some(tell))
    }

    /// Begins to run a statement, which nothing is bound to yet.
    #[inline]
    pub fn held(&self, held: Held) -> rusqlite::Result<Run<'_>> {
        self.run(&self.statements[held as usize], || held.sql())
    }

    /// Begins to run a scan, which nothing is bound to yet.
    #[inline]
    pub fn scan(&self, shape: Shape) -> rusqlite::Result<Run<'_>> {
        self.run(&self.scans[shape.number()], || shape.sql())
    }

    #[inline]
    fn run<'c>(&'c self, place: &'c Place, sql: impl FnOnce() -> &'static str) -> rusqlite::Result<Run<'c>> {
        let statement = match place.take() {
            Some(statement) => statement,
            None => Statement::prepare(&self.connection, sql())?,
        };
        // Whoever leaks a `Run` leaks the statement, and closing the connection then fails.
        let statement = ManuallyDrop::new(statement).0;
        Ok(Run { statement, place, connection: &self.connection, bound: PhantomData })
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection.fmt(f)
    }
}

impl Deref for Prepared {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

/// A prepared statement. It is used and dropped while its connection is open, by the thread that has the connection.
struct Statement(NonNull<ffi::sqlite3_stmt>);

// SAFETY: SQLite lets any thread use a statement, one at a time, as it does with its connection. Both lie in `Prepared`,
// which is not `Sync`.
unsafe impl Send for Statement {}

impl Statement {
    #[cold]
    fn prepare(connection: &Connection, sql: &str) -> rusqlite::Result<Self> {
        let mut statement = std::ptr::null_mut();
        let bytes = c_int::try_from(sql.len()).unwrap_or(c_int::MAX);
        // SAFETY: the connection is open, the text has at least so many bytes, and SQLite writes a pointer to where the
        // fifth argument points.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(
                connection.handle(),
                sql.as_ptr().cast(),
                bytes,
                ffi::SQLITE_PREPARE_PERSISTENT,
                &raw mut statement,
                std::ptr::null_mut(),
            )
        };
        match NonNull::new(statement) {
            Some(statement) if code == ffi::SQLITE_OK => Ok(Self(statement)),
            _ => Err(failure(connection, code)),
        }
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: the connection is still open, and nobody else has the statement. What it returns was returned before.
        unsafe { ffi::sqlite3_finalize(self.0.as_ptr()) };
    }
}

/// What a column of a row has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column<'r> {
    Null,
    Integer(i64),
    Text(&'r [u8]),
    Blob(&'r [u8]),
}

/// A held statement while it runs. What is bound to it lives at least as long.
pub(super) struct Run<'c> {
    statement: NonNull<ffi::sqlite3_stmt>,
    place: &'c Place,
    connection: &'c Connection,
    bound: PhantomData<&'c [u8]>,
}

impl<'c> Run<'c> {
    /// Binds a text to a parameter, the first of which is 1. What nothing is bound to is NULL.
    #[inline]
    pub fn text(&mut self, parameter: c_int, text: &'c str) -> rusqlite::Result<()> {
        // SAFETY: the text lives until this `Run` is dropped, which unbinds it. If it is leaked instead, the statement is
        // never run again. SQLite checks the number of the parameter.
        let code = unsafe {
            ffi::sqlite3_bind_text64(
                self.statement.as_ptr(),
                parameter,
                text.as_ptr().cast(),
                text.len() as u64,
                ffi::SQLITE_STATIC(),
                ffi::SQLITE_UTF8 as u8,
            )
        };
        self.check(code)
    }

    /// Binds a blob to a parameter.
    #[inline]
    pub fn blob(&mut self, parameter: c_int, bytes: &'c [u8]) -> rusqlite::Result<()> {
        // SAFETY: as for a text. The start of a slice is never null, so no bytes are an empty blob.
        let code = unsafe {
            ffi::sqlite3_bind_blob64(
                self.statement.as_ptr(),
                parameter,
                bytes.as_ptr().cast(),
                bytes.len() as u64,
                ffi::SQLITE_STATIC(),
            )
        };
        self.check(code)
    }

    /// Binds a value as SQLite stores it to a parameter.
    #[inline]
    pub fn stored(&mut self, parameter: c_int, stored: &Stored<'c>) -> rusqlite::Result<()> {
        match (stored.large, stored.value.as_str()) {
            (Some(number), _) => self.number(parameter, number),
            (None, Some(text)) => self.text(parameter, text),
            (None, None) => self.blob(parameter, stored.value.as_bytes()),
        }
    }

    /// Binds an integer to a parameter.
    #[inline]
    pub fn number(&mut self, parameter: c_int, number: i64) -> rusqlite::Result<()> {
        // SAFETY: the statement is prepared. SQLite checks the number of the parameter.
        let code = unsafe { ffi::sqlite3_bind_int64(self.statement.as_ptr(), parameter, number) };
        self.check(code)
    }

    /// Runs to the next row. Returns whether there is one.
    #[inline]
    pub fn step(&mut self) -> rusqlite::Result<bool> {
        // SAFETY: the statement is prepared, and no column of its last row is borrowed: that would borrow `self`.
        match unsafe { ffi::sqlite3_step(self.statement.as_ptr()) } {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => Ok(false),
            code => Err(failure(self.connection, code)),
        }
    }

    /// Runs a statement that has no rows.
    #[inline]
    pub fn finish(mut self) -> rusqlite::Result<()> {
        self.step().map(drop)
    }

    /// A column of the row.
    #[inline]
    pub fn column(&self, column: c_int) -> rusqlite::Result<Column<'_>> {
        let statement = self.statement.as_ptr();
        // SAFETY: the statement is prepared. Without a row, or such a column, SQLite answers as for NULL.
        match unsafe { ffi::sqlite3_column_type(statement, column) } {
            ffi::SQLITE_NULL => Ok(Column::Null),
            // SAFETY: as above.
            ffi::SQLITE_INTEGER => {
                Ok(Column::Integer(unsafe { ffi::sqlite3_column_int64(statement, column) }))
            }
            ffi::SQLITE_TEXT => self.content(column).map(Column::Text),
            ffi::SQLITE_BLOB => self.content(column).map(Column::Blob),
            _ => Err(wrong_type(column, Type::Real)),
        }
    }

    /// The bytes of a TEXT or BLOB column. A text is not asked for as one: SQLite would copy it to append a zero. The bytes
    /// are those of the file, which [`super::kind`] accepts only if its texts are UTF-8.
    #[inline]
    fn content(&self, column: c_int) -> rusqlite::Result<&[u8]> {
        let statement = self.statement.as_ptr();
        // SAFETY: as for `column`.
        let start: *const u8 = unsafe { ffi::sqlite3_column_blob(statement, column) }.cast();
        // SAFETY: as above. It is called after the function that may convert the value, as SQLite asks.
        let len = unsafe { ffi::sqlite3_column_bytes(statement, column) };
        let len = usize::try_from(len).unwrap_or_default();
        if start.is_null() {
            // Nothing is in it, or there was no memory for a conversion.
            return if len == 0 { Ok(&[]) } else { Err(failure(self.connection, ffi::SQLITE_NOMEM)) };
        }
        // SAFETY: SQLite has so many bytes there, until the statement is stepped, reset or finalized. Each of these needs
        // `self` mutably.
        Ok(unsafe { std::slice::from_raw_parts(start, len) })
    }

    /// The integer of a column of the row; `None` for NULL.
    #[inline]
    pub fn integer(&self, column: c_int) -> rusqlite::Result<Option<i64>> {
        match self.column(column)? {
            Column::Null => Ok(None),
            Column::Integer(number) => Ok(Some(number)),
            Column::Text(_) => Err(wrong_type(column, Type::Text)),
            Column::Blob(_) => Err(wrong_type(column, Type::Blob)),
        }
    }

    /// The text of a column of the row.
    #[inline]
    pub fn name(&self, column: c_int) -> rusqlite::Result<&str> {
        match self.column(column)? {
            Column::Text(bytes) => Ok(ValueRef::Text(bytes).as_str()?),
            Column::Null => Err(wrong_type(column, Type::Null)),
            Column::Integer(_) => Err(wrong_type(column, Type::Integer)),
            Column::Blob(_) => Err(wrong_type(column, Type::Blob)),
        }
    }

    #[inline]
    fn check(&self, code: c_int) -> rusqlite::Result<()> {
        if code == ffi::SQLITE_OK { Ok(()) } else { Err(failure(self.connection, code)) }
    }
}

impl Drop for Run<'_> {
    #[inline]
    fn drop(&mut self) {
        let statement = self.statement.as_ptr();
        // SAFETY: the statement is prepared. After this it refers to nothing that was bound. What `reset` returns is the
        // error that `step` has returned.
        unsafe {
            ffi::sqlite3_reset(statement);
            ffi::sqlite3_clear_bindings(statement);
        }
        self.place.set(Some(Statement(self.statement)));
    }
}

fn wrong_type(column: c_int, found: Type) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(usize::try_from(column).unwrap_or_default(), String::new(), found)
}

/// The error of the last call on a connection.
#[cold]
fn failure(connection: &Connection, code: c_int) -> rusqlite::Error {
    // SAFETY: the connection is open. SQLite returns a text that ends with a zero, and is copied before the next call.
    let message = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(connection.handle())) };
    let message = message.to_string_lossy().into_owned();
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(message))
}
