//! What a process writes down for the judge: a file of its own, a line for each thing.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use larder::{ErrorKind, Event};
use serde::{Deserialize, Serialize};

use crate::moment;
use crate::neighbours::history::Record;

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Note {
    /// A call that reads or writes.
    Call(Record),
    /// How long any call took, and the error of one that is not part of its promise.
    Took { what: String, from: u64, to: u64, error: Option<(String, String)> },
    /// A neighbour did something to the file, or tried to, and perhaps held the lock to write.
    Held { what: String, from: u64, to: u64, writes: bool, done: bool },
    /// A feed begins. A cursor begins after what it has acknowledged, a watcher after a revision, or where it was.
    Begun { feed: String, is_cursor: bool, prefix: String, after: Option<u64> },
    /// A feed told this change.
    Told { feed: String, change: Told },
    /// A cursor has acknowledged what it was told.
    Acknowledged { feed: String },
    /// A feed was told that the log does not reach back.
    Compacted { feed: String },
    /// A mirror shows these keys and values of its group.
    Mirrored { feed: String, group: String, entries: Vec<(String, String)> },
    /// A copy was interrupted before it was complete.
    Interrupted,
    /// A feed has told the last change.
    Ended { feed: String, at: u64 },
    /// A promise that was seen broken on the way.
    Wrong(String),
}

/// A change, as a watcher tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub revision: u64,
    pub kind: String,
    pub group: String,
    pub key: Option<String>,
    pub value: Option<String>,
}

impl From<&Event> for Told {
    fn from(event: &Event) -> Self {
        Self {
            revision: event.revision.0,
            kind: event.kind.to_string(),
            group: event.group.clone(),
            key: event.key.clone(),
            value: event.value.as_ref().map(|value| value.to_string_lossy().into_owned()),
        }
    }
}

/// The file.
#[derive(Debug)]
pub struct Notes(Mutex<BufWriter<File>>);

impl Notes {
    pub fn new(path: &Path) -> io::Result<Self> {
        Ok(Self(Mutex::new(BufWriter::new(File::create(path)?))))
    }

    pub fn write(&self, note: &Note) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = serde_json::to_writer(&mut *file, note).map_err(io::Error::from);
        if let Err(error) = written.and_then(|()| file.write_all(b"\n")) {
            // The judge must not take what is missing for what was not done.
            eprintln!("the notes cannot be written: {error}");
            std::process::exit(1);
        }
    }

    pub fn wrong(&self, what: String) {
        self.write(&Note::Wrong(what));
    }

    /// Makes a call, and notes how long it took and how it failed. An error of these kinds is no failure.
    pub fn time<T>(
        &self,
        what: &str,
        expected: &[ErrorKind],
        call: impl FnOnce() -> larder::Result<T>,
    ) -> larder::Result<T> {
        let from = moment::now();
        let result = call();
        let failed = result.as_ref().err().filter(|error| !expected.contains(&error.kind()));
        let error = failed.map(|error| (error.kind().to_string(), format!("{error:?}")));
        self.write(&Note::Took { what: what.to_owned(), from, to: moment::now(), error });
        result
    }

    pub fn flush(&self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

/// Reads a file of notes.
pub fn read(path: &Path) -> io::Result<Vec<Note>> {
    let lines = BufReader::new(File::open(path)?).lines();
    lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}
