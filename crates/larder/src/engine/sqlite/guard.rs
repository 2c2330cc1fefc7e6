//! Guards a store against what its users and their systems do to its file.
//!
//! SQLite's page "How To Corrupt An SQLite Database File" lists most of it. `docs/architecture.md` says how each guard
//! works, and why in this way.

mod connection;
mod file_id;
mod file_system;
mod leftovers;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod locks;
mod mount;
mod names;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod no_locks;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod no_notices;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod notices;
mod open_files;
mod ticks;
mod version;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

pub(super) use self::connection::GuardedConnection;
pub(super) use self::file_id::FileId;
use self::names::{Finding, Names};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use self::no_notices::Notices;
#[cfg(any(target_os = "linux", target_os = "android"))]
use self::notices::Notices;
use self::open_files::OpenFile;
use self::ticks::{Due, Tick};
use crate::data::{Error, Result, locked, report};
use crate::engine::{Process, Settings};

/// How long reads, and writes that nothing was reported to, go without looking at the names.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long a writer goes without asking for reports before it writes. (It always asks afterwards.)
const ASK_EVERY: Duration = Duration::from_millis(4);

/// Refuses what no store may be opened on: this version of SQLite, the file system, a file mounted by itself. `path`
/// is the file, or where it does not exist yet the folder that it is to be in; `shown` is the path that was given.
pub(super) fn admit(path: &Path, shown: &Path, settings: &Settings) -> Result<()> {
    version::check()?;
    if !settings.allow_unsafe_file_system {
        file_system::check(path, shown)?;
    }
    if path.is_file() && mount::is_mounted(path) {
        return Err(Error::MountedFile { path: shown.to_owned() });
    }
    Ok(())
}

/// Guards the file of one open store.
#[derive(Debug)]
pub(super) struct Guard {
    process: Process,
    location: String,
    /// The path that was given.
    given: PathBuf,
    /// `None` where the system does not tell files apart: then nothing is guarded.
    file: Option<(FileId, Arc<OpenFile>)>,
    names: OnceLock<Names>,
    notices: Mutex<Option<Arc<Notices>>>,
    /// How many reports there were when the names were last seen to be right. Relaxed: seen late, it costs one more look.
    reports: AtomicU64,
    asked: Due,
    looked: Due,
    /// When the open write began.
    began: Due,
    /// Whether the store was closed. Connections of readers that have not ended may be left.
    ended: AtomicBool,
    /// Why the store was stopped.
    stopped: OnceLock<(Finding, Error)>,
    /// The unsafe version of SQLite that had changed the file last when it was opened.
    met: OnceLock<String>,
}

impl Guard {
    /// Begins to guard a file that exists, before SQLite opens it.
    ///
    /// # Errors
    /// `ForkedProcess` where the file was open when this process was forked.
    pub fn begin(given: &Path, location: &str) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            process: Process::current(),
            location: location.to_owned(),
            given: given.to_owned(),
            file: OpenFile::register(given)?,
            names: OnceLock::new(),
            notices: Mutex::default(),
            reports: AtomicU64::new(0),
            asked: Due::at_once(),
            looked: Due::at_once(),
            began: Due::at_once(),
            ended: AtomicBool::new(false),
            stopped: OnceLock::new(),
            met: OnceLock::new(),
        }))
    }

    /// The version of an SQLite that can damage the file, if one has changed its header last: now, or when the file was
    /// opened.
    pub fn unsafe_sqlite(&self) -> Option<String> {
        let last = self.file.as_ref().and_then(|(_, file)| file.last_version());
        let is_unsafe = last.filter(|version| !version::is_safe(*version));
        is_unsafe.map(version::shown).or_else(|| self.met.get().cloned())
    }

    /// Guards in full, once SQLite has all its files open. `resolved` is the path beside which they lie. Without a log,
    /// SQLite takes its locks anew for each read, and nothing may be held in between.
    pub fn watch(&self, resolved: &Path, has_log: bool) -> Result<()> {
        let Some((id, file)) = &self.file else { return Ok(()) };
        if let Some(version) = self.unsafe_sqlite() {
            let _ = self.met.set(version.clone());
            let store = &self.location;
            report(|| {
                tracing::warn!(
                    store,
                    version,
                    "another program has changed the file with a version of SQLite that can damage it; 3.51.3 cannot"
                );
            });
        }
        // A file of an overlay changes its number when it is first written to, so the number is asked for again.
        let id = FileId::of(resolved).ok().flatten().unwrap_or(*id);
        let Some(names) = Names::now(&self.given, resolved, id) else { return Ok(()) };
        let paths = [&names.log, &names.index].into_iter().flatten().map(|named| named.path.as_path());
        if let Some(notices) = file.notices([resolved].into_iter().chain(paths)) {
            self.reports.store(notices.count().wrapping_sub(1), Ordering::Relaxed);
            *locked(&self.notices) = Some(notices);
        }
        if let Some(index) = names.index.as_ref().filter(|_| has_log)
            && let Err(error) = file.hold(&index.path)
        {
            // As safe as SQLite alone.
            tracing::debug!(%error, "this system has no locks that outlive a closed descriptor");
        }
        let _ = self.names.set(names);
        self.look()
    }

    pub fn is_of_this_process(&self) -> bool {
        self.process.is_current()
    }

    /// Fails once the store was stopped.
    pub fn check_stopped(&self) -> Result<()> {
        self.stopped.get().map_or(Ok(()), |(_, error)| Err(error.clone()))
    }

    /// To be called before each read that SQLite answers.
    #[inline]
    pub fn before_read(&self) -> Result<()> {
        if self.looked.is_due(Tick::now(), LOOK_EVERY) { self.look_to_read() } else { self.check_stopped() }
    }

    /// Looks where the names lead, and stops the store if they lead elsewhere. A file with several names may be read: what
    /// is written through the other name is missing, but nothing that is read is wrong.
    pub fn look_to_read(&self) -> Result<()> {
        match self.look() {
            Err(Error::SeveralNames { .. }) => Ok(()),
            looked => looked,
        }
    }

    /// To be called with the lock to write, before anything is written.
    #[inline]
    pub fn before_write(&self) -> Result<()> {
        let now = Tick::now();
        self.began.done(now);
        self.check_stopped()?;
        if self.looked.is_due(now, LOOK_EVERY) {
            return self.look();
        }
        if self.asked.is_due(now, ASK_EVERY) { self.ask() } else { Ok(()) }
    }

    /// To be called before each commit. If the write ran a caller's closure, or has taken long, SQLite's lock to write
    /// may be gone: a program that opens and closes the WAL index, which lies beside the database, drops it.
    #[inline]
    pub fn before_commit(&self, has_closure: bool) -> Result<()> {
        if !self.process.is_current() {
            return Err(Error::ForkedProcess);
        }
        match &self.file {
            Some((_, file))
                if (has_closure || self.began.is_due(Tick::now(), ASK_EVERY)) && !file.has_write_lock() =>
            {
                Err(Error::LockLost { location: self.location.clone() })
            }
            _ => Ok(()),
        }
    }

    /// To be called after each commit, before anybody learns of it: fails if the files are no longer those that
    /// everybody else finds.
    #[inline]
    pub fn after_commit(&self) -> Result<()> {
        match self.ask() {
            // It is in the file that has the store's name. The next write is refused.
            Err(Error::SeveralNames { .. }) => Ok(()),
            // It is in a file that had the store's name when the write began.
            Err(Error::Replaced { location, reason }) => {
                let reason = format!("its files were taken away meanwhile: {reason}");
                Err(Error::Unknown { location, waited: Duration::ZERO, reason, source: None })
            }
            asked => asked,
        }
    }

    /// Asks for reports, and looks at the names if there are any.
    #[inline]
    fn ask(&self) -> Result<()> {
        let Some(reports) = locked(&self.notices).as_ref().map(|notices| notices.count()) else {
            return self.look();
        };
        if reports != self.reports.load(Ordering::Relaxed) {
            // Until it finds the names right, each write looks again.
            self.asked.forget();
            self.look()?;
            self.reports.store(reports, Ordering::Relaxed);
        }
        // Without another look at the clock.
        self.asked.done(self.began.last());
        Ok(())
    }

    /// Looks where the names lead, and stops the store if they lead elsewhere.
    #[cold]
    fn look(&self) -> Result<()> {
        self.check_stopped()?;
        let Some(names) = self.names.get() else { return Ok(()) };
        let Err(finding) = names.check() else {
            self.looked.done(Tick::now());
            return Ok(());
        };
        let reason = match &finding {
            Finding::SeveralNames(names) => {
                return Err(Error::SeveralNames { path: self.given.clone(), names: *names });
            }
            Finding::DatabaseGone(reason) | Finding::LogGone(reason) | Finding::LogReplaced(reason) => {
                reason.clone()
            }
        };
        let error = Error::Replaced { location: self.location.clone(), reason };
        report(|| tracing::error!(%error, "a store was stopped"));
        let _ = self.stopped.set((finding, error));
        self.check_stopped()
    }

    /// Takes the log away from a file that it does not belong to, if that is why the store was stopped.
    pub fn clear_away(&self, connection: &Connection) {
        self.clear_away_from(connection, self.file.as_ref().and_then(|(_, file)| file.names()));
    }

    /// `count` is how many names the database has left, where the system tells.
    fn clear_away_from(&self, connection: &Connection, count: Option<u64>) {
        if let (Some((Finding::DatabaseGone(_), _)), Some(names)) = (self.stopped.get(), self.names.get()) {
            leftovers::take_away(connection, names, count != Some(0));
        }
    }

    fn connects(&self) {
        if let Some((_, file)) = &self.file {
            file.connects();
        }
    }

    fn failed_to_connect(&self) {
        if let Some((_, file)) = &self.file {
            file.failed_to_connect();
            self.settle();
        }
    }

    /// Releases what is open beside SQLite's connections: now, or with the last of them.
    pub fn end(&self) {
        let Some((id, _)) = &self.file else { return };
        // AcqRel: whoever closes a connection after this closes the descriptors with it.
        if !self.process.is_current() || self.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        *locked(&self.notices) = None;
        OpenFile::unregister(*id);
    }

    /// Releases what had to wait for a connection that is closed now.
    fn settle(&self) {
        if let Some((id, _)) = self.file.as_ref().filter(|_| self.ended.load(Ordering::Acquire)) {
            OpenFile::settle(*id);
        }
    }

    fn close(&self, connection: Connection) -> rusqlite::Result<()> {
        let closed = self.close_guarded(connection);
        self.settle();
        closed
    }

    fn close_guarded(&self, connection: Connection) -> rusqlite::Result<()> {
        let Some((_, file)) = &self.file else { return connection.close().map_err(|(_, error)| error) };
        file.close(connection, |connection, is_last, names| {
            if is_last {
                // Whatever is found here is known to everybody who asks.
                let _ = self.look();
            }
            match self.stopped.get() {
                // A log without a name still belongs to the file. Nobody has begun another: its name would be taken.
                None | Some((Finding::LogGone(_), _)) => {}
                Some(_) => {
                    let keep = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
                    if let Err(error) = keep {
                        tracing::error!(%error, "the log of a store that was replaced cannot be left alone");
                    }
                    if is_last {
                        self.clear_away_from(connection, names);
                    }
                }
            }
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end();
    }
}
