//! The journal of each client: one line per fact, so that nothing is lost when the client is killed.

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
    /// A call begins. Without a return, it may have happened, or may still happen.
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
    /// The client saw something that must never happen.
    Violation(String),
    /// A listener, which is a watcher or a cursor, begins: with this pattern, after this revision if that is
    /// known.
    ListenerBegan {
        listener: String,
        pattern: Scope,
        after: Option<u64>,
        at_ns: u64,
    },
    Received {
        listener: String,
        event: ReceivedEvent,
    },
    /// The listener got `Compacted`: everything up to this revision is gone from the log.
    Gap {
        listener: String,
        oldest: u64,
        at_ns: u64,
    },
    /// A cursor begins to acknowledge the last event that it received.
    AcknowledgeBegan {
        listener: String,
        at_ns: u64,
    },
    Acknowledged {
        listener: String,
        at_ns: u64,
    },
    /// The cursor could not acknowledge the event, because it is of the time before a restore.
    NotAcknowledged {
        listener: String,
    },
    /// The listener was told that the cluster was restored: it continues after this revision.
    Restored {
        listener: String,
        latest: u64,
        at_ns: u64,
    },
    /// The listener was told that the cluster refuses the feed.
    Refused {
        listener: String,
        at_ns: u64,
    },
    /// The listener could not begin after a revision, which was asked for or found out since a moment, because the store
    /// was only at the latest one.
    FutureRevision {
        listener: String,
        asked: u64,
        latest: u64,
        since_ns: u64,
        at_ns: u64,
    },
    /// A call of the listener failed, which is allowed.
    ListenerFailed {
        listener: String,
        error: String,
    },
    /// The listener received the last revision.
    ReachedEnd {
        listener: String,
    },
}

/// What a call does.
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
    /// A write of a unique value, which only the feed reads back.
    Mark(String),
}

impl Action {
    /// The value that no other call writes, as it is stored.
    pub fn unique_value(&self) -> Option<String> {
        match self {
            Self::Set(value) | Self::SetIf(_, value) => Some(value.to_string()),
            Self::Mark(mark) => Some(mark.clone()),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Requirement {
    Absent,
    Present,
    Revision(u64),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The value, and its revision if the call returns one.
    Found(Option<(i64, Option<u64>)>),
    Written(u64),
    Deleted(bool),
    Sum(i64),
    Latest(u64),
    /// A condition was not met: the entry has this revision.
    Conflict(Option<u64>),
    /// A write that does not return its revision.
    Done,
    /// It did not happen, and will not.
    Failed(String),
    /// It may have happened, or may still happen.
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
    pub fn matches(&self, event: &ReceivedEvent) -> bool {
        match self {
            Self::All => true,
            Self::Group(group) => event.group == *group,
            // Deleting a group deletes the key.
            Self::Key(group, key) => {
                event.group == *group && event.key.as_ref().is_none_or(|other| other == key)
            }
        }
    }
}

/// An event as it was received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedEvent {
    pub revision: u64,
    pub kind: String,
    pub group: String,
    pub key: Option<String>,
    pub value: Option<String>,
    pub expires_ms: Option<u64>,
    pub at_ms: u64,
}

impl From<&Event> for ReceivedEvent {
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
pub struct Journal(File);

impl Journal {
    pub fn open(path: &Path) -> Self {
        Self(OpenOptions::new().create(true).append(true).open(path).unwrap())
    }

    /// Writes the record at once, so that a killed process leaves whole lines and at most one partial line.
    pub fn note(&self, record: &Record) {
        let mut line = serde_json::to_vec(record).unwrap();
        line.push(b'\n');
        (&self.0).write_all(&line).unwrap();
    }
}

/// The journal of one life of a client.
pub fn journal_path(folder: &Path, client: u64, life: u64) -> PathBuf {
    folder.join(format!("client-{client}-life-{life}"))
}

/// The client and the life of which a file is the journal.
pub fn life_of(path: &Path) -> Option<(u64, u64)> {
    let name = path.file_name()?.to_str()?.strip_prefix("client-")?;
    let (client, life) = name.split_once("-life-")?;
    Some((client.parse().ok()?, life.parse().ok()?))
}

/// Reads a journal. A partial last line is ignored.
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

/// The revision of the last event in a journal, which may still grow.
pub fn last_received(path: &Path) -> Option<u64> {
    const TAIL: u64 = 8192;
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail);
    tail.lines().rev().find_map(|line| match serde_json::from_str(line) {
        Ok(Record::Received { event, .. }) => Some(event.revision),
        _ => None,
    })
}

/// A clock that all processes of the machine share and that cannot be set.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

pub fn unix_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}
