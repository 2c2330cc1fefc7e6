//! What a process writes down for the judge: a file of its own, a line for each thing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use larder::{ErrorKind, Event, ResumeToken};
use serde::{Deserialize, Serialize};

use crate::moment;
use crate::neighbours::history::{self, Record};

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Note {
    /// A call that writes begins. Its answer follows, unless the process is killed.
    Asked(Record),
    /// A call that reads or writes.
    Call(Record),
    /// How long any call took, and the error of one that is not part of its promise.
    Took { what: String, from: u64, to: u64, error: Option<(String, String)> },
    /// A neighbour did something to the file, or tried to, and perhaps held the lock to write.
    Held { what: String, from: u64, to: u64, writes: bool, done: bool },
    /// A feed begins. A cursor begins after what it has acknowledged, a watcher after a revision, or where it was.
    Begun { feed: String, prefix: String, after: Option<u64> },
    /// A feed told this change.
    Told { feed: String, change: Told },
    /// A watcher goes on here in the next life: after all that it was told.
    Marked { feed: String, token: String },
    /// A cursor is about to acknowledge what it was told.
    Acknowledging { feed: String },
    /// Whether it has.
    Acknowledged { feed: String, is_done: bool },
    /// A feed was told that the log does not reach back.
    Compacted { feed: String },
    /// A mirror shows these keys and values of its group.
    Mirrored { feed: String, group: String, entries: Vec<(String, String)> },
    /// A copy was interrupted before it was complete.
    Interrupted,
    /// A feed has told the last change.
    Ended { feed: String, at: u64 },
    /// A restore over the store was refused, since it is in use.
    NotRestored,
    /// A repair dropped what a neighbour had put on larder's tables.
    Repaired,
    /// A process was killed.
    Killed,
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

/// The file. A note is in it as soon as it is written, so a kill of the process loses none.
#[derive(Debug)]
pub struct Notes(Mutex<File>);

impl Notes {
    pub fn new(path: &Path) -> io::Result<Self> {
        Ok(Self(Mutex::new(File::create(path)?)))
    }

    pub fn write(&self, note: &Note) {
        let written = serde_json::to_vec(note).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
        });
        if let Err(error) = written {
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
}

/// The lines of a file of notes. Of a process that was killed, the last one may lack its end.
fn lines(path: &Path) -> io::Result<impl Iterator<Item = io::Result<String>>> {
    let mut file = BufReader::new(File::open(path)?);
    Ok(std::iter::from_fn(move || {
        let mut line = String::new();
        let length = file.read_line(&mut line);
        length.map(|_| line.ends_with('\n').then_some(line)).transpose()
    }))
}

/// Reads a file of notes. Of a process that was killed, and had ended at this moment, the calls that have no answer are
/// told as such.
pub fn read(path: &Path, killed: Option<u64>) -> io::Result<Vec<Note>> {
    let (mut notes, mut asked) = (Vec::new(), BTreeMap::new());
    for line in lines(path)? {
        match serde_json::from_str(&line?)? {
            Note::Asked(record) => drop(asked.insert(record.client.clone(), record)),
            Note::Call(record) => {
                asked.remove(&record.client);
                notes.push(Note::Call(record));
            }
            note => notes.push(note),
        }
    }
    for (client, mut record) in asked {
        match killed {
            Some(at) => {
                record.returned = at;
                record.told = history::Told::Killed;
                notes.push(Note::Call(record));
            }
            None => {
                notes.push(Note::Wrong(format!("{client} was not killed, and has a call without an answer")))
            }
        }
    }
    Ok(notes)
}

/// Where the watchers of a process go on, by their names, as its notes say.
pub fn marks(path: &Path) -> io::Result<BTreeMap<String, ResumeToken>> {
    let mut marks = BTreeMap::new();
    for line in lines(path)? {
        let line = line?;
        // Most of the notes are of something else.
        if line.starts_with("{\"Marked\"")
            && let Note::Marked { feed, token } = serde_json::from_str(&line)?
        {
            marks.insert(feed, ResumeToken::from_str(&token).map_err(io::Error::other)?);
        }
    }
    Ok(marks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neighbours::history::Asked;

    fn record(client: &str) -> Record {
        let (client, asked, told) = (client.to_owned(), Asked::Read(Vec::new()), history::Told::Killed);
        Record { client, invoked: 1, returned: 1, wall: (0, 0), asked, told }
    }

    #[test]
    fn what_a_killed_process_has_begun_and_not_noted_is_told_as_such_and_half_a_note_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes");
        let notes = Notes::new(&file).unwrap();
        let token = "2d532c9b5112310682e1f8fdb2b660de@7";
        let answered = Record { told: history::Told::Done(None), returned: 2, ..record("one") };
        for note in [
            Note::Asked(record("one")),
            Note::Marked { feed: "f".into(), token: token.into() },
            Note::Asked(record("two")),
            Note::Call(answered),
        ] {
            notes.write(&note);
        }
        notes.0.lock().unwrap().write_all(b"{\"Asked\":{\"cli").unwrap();
        let calls = |killed| -> Vec<(String, u64)> {
            let call = |note| match note {
                Note::Call(record) => Some((record.client, record.returned)),
                Note::Wrong(wrong) => Some((wrong, 0)),
                _ => None,
            };
            read(&file, killed).unwrap().into_iter().filter_map(call).collect()
        };
        assert_eq!(calls(Some(9)), [("one".into(), 2), ("two".into(), 9)]);
        assert_eq!(calls(None)[1].1, 0);
        assert_eq!(marks(&file).unwrap()["f"].to_string(), token);
    }
}
