//! What each client writes down, a line a fact, so that nothing is lost when it is killed.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use larder::Event;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// One fact.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Record {
    /// A call begins. One without a return may have happened or not, or may yet.
    Call {
        id: u64,
        at_ns: u64,
        group: String,
        key: String,
        action: Action,
    },
    Return {
        id: u64,
        at_ns: u64,
        outcome: Outcome,
    },
    /// Something was seen that may never be.
    Violation(String),
    /// A listener begins: of what is in its pattern, after a revision, where that is known.
    Listens {
        listener: String,
        pattern: Scope,
        after: Option<u64>,
    },
    Heard {
        listener: String,
        event: Heard,
    },
    /// The log has forgotten everything up to a revision, and with it something that was still to come.
    Gap {
        listener: String,
        oldest: u64,
        at_ns: u64,
    },
    /// A cursor acknowledges the last event that it has heard.
    Acknowledges {
        listener: String,
    },
    Acknowledged {
        listener: String,
    },
    /// It failed, which is no violation.
    Trouble {
        listener: String,
        error: String,
    },
    /// The listener has heard the end.
    Reached {
        listener: String,
    },
}

/// What a call is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    Read,
    Set(i64),
    SetIf(Requirement, i64),
    Delete,
    DeleteIf(u64),
    Increment(i64),
    /// The latest revision of the store.
    Latest,
    /// A write of which nothing is read back but by the feed: a value that nothing else has.
    Mark(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Requirement {
    Absent,
    Present,
    Revision(u64),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// A value and its revision, where that is told.
    Found(Option<(i64, Option<u64>)>),
    Written(u64),
    Deleted(bool),
    Sum(i64),
    Latest(u64),
    /// A condition was not met: what is there has this revision.
    Conflict(Option<u64>),
    /// A write that has a revision which it does not tell.
    Done,
    /// It has not happened, and will not.
    Failed(String),
    /// It may have happened, or may yet.
    Unknown,
}

/// Which events a listener wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    All,
    Group(String),
    Key(String, String),
}

impl Scope {
    pub fn matches(&self, event: &Heard) -> bool {
        match self {
            Self::All => true,
            Self::Group(group) => event.group == *group,
            // A group that is deleted takes the key with it.
            Self::Key(group, key) => {
                event.group == *group && event.key.as_ref().is_none_or(|other| other == key)
            }
        }
    }
}

/// An event, as it was heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    pub revision: u64,
    pub kind: String,
    pub group: String,
    pub key: Option<String>,
    pub value: Option<String>,
    pub expires_ms: Option<u64>,
    pub at_ms: u64,
}

impl From<&Event> for Heard {
    fn from(event: &Event) -> Self {
        Self {
            revision: event.revision.0,
            kind: event.kind.as_str().to_owned(),
            group: event.group.clone(),
            key: event.key.clone(),
            value: event.value.as_ref().map(|value| value.as_str().unwrap().to_owned()),
            expires_ms: event.expires_at.map(unix_ms),
            at_ms: unix_ms(event.at),
        }
    }
}

/// A file to which facts are added.
pub struct Diary(File);

impl Diary {
    pub fn open(path: &Path) -> Self {
        Self(OpenOptions::new().create(true).append(true).open(path).unwrap())
    }

    /// In one write: a process that is killed writes whole lines, or at the most one that is cut short.
    pub fn note(&self, record: &Record) {
        let mut line = serde_json::to_vec(record).unwrap();
        line.push(b'\n');
        (&self.0).write_all(&line).unwrap();
    }
}

/// Where a client writes in one of its lives.
pub fn diary_path(folder: &Path, client: u64, life: u64) -> PathBuf {
    folder.join(format!("client-{client}-life-{life}"))
}

/// All that was written. A last line that was cut short did not become a fact.
pub fn read(path: &Path) -> Vec<Record> {
    let Ok(text) = fs::read_to_string(path) else { return Vec::new() };
    let lines: Vec<&str> = text.lines().collect();
    let parse = |(number, line): (usize, &&str)| match serde_json::from_str(line) {
        Ok(record) => Some(record),
        Err(_) if number + 1 == lines.len() => None,
        Err(error) => panic!("{}: {error}: {line}", path.display()),
    };
    lines.iter().enumerate().filter_map(parse).collect()
}

/// The revision of the last event in a diary that is still being written.
pub fn last_received(path: &Path) -> Option<u64> {
    const TAIL: u64 = 8192;
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail);
    tail.lines().rev().find_map(|line| match serde_json::from_str(line) {
        Ok(Record::Heard { event, .. }) => Some(event.revision),
        _ => None,
    })
}

/// A clock that is the same for all processes of a machine and that nobody sets.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

pub fn unix_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}
