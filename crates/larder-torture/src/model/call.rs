//! The calls of a sequence, and how bytes say them.

use arbitrary::{Result, Unstructured};
use larder::{Quota, Value};

use super::names::{CURSORS, GROUPS, KEYS, NAMESPACES, PREFIXES, namespace_of};
use super::plain::{EntryName, Step, When};
use super::wanted::Wanted;

/// A longer sequence finds no more, and takes longer.
pub const CALLS_MAX: usize = 80;

/// How the store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub cache: Cache,
    /// A second handle opens the file as another process does, and every other comparison reads there.
    pub is_shared: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Cache {
    Full,
    /// Evicts all the time.
    Small,
    None,
}

/// When the future of a call is dropped, on the asynchronous face.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub polls: u8,
    /// How long each poll is followed by a wait.
    pub microseconds: u16,
}

/// Where a watcher begins.
#[derive(Clone, Copy, Debug)]
pub enum From {
    Now,
    Token,
    Beginning,
    /// So many changes before the last one.
    Before(u8),
}

/// How a copy is made.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    InOneTransaction,
    /// It follows the source until it has looked so many times.
    Following(u8),
    /// It ends without a word when it has told its progress so many times. The next one goes on from there.
    Interrupted(u8),
}

/// One call of a sequence.
#[derive(Clone, Debug)]
pub enum Call {
    /// One change, through the whole store, or through the scoped store if the group is in a namespace.
    One {
        scoped: bool,
        step: Step,
        cut: Option<Cut>,
    },
    Batch {
        requires: Vec<(EntryName, When)>,
        steps: Vec<Step>,
        cut: Option<Cut>,
    },
    /// `stubborn` ignores refused steps instead of ending at the first. `abort` rolls back at the end.
    Transaction {
        steps: Vec<Step>,
        stubborn: bool,
        abort: bool,
        cut: Option<Cut>,
    },
    SetQuota {
        namespace: &'static str,
        quota: Quota,
        cut: Option<Cut>,
    },
    Purge {
        namespace: Option<&'static str>,
        cut: Option<Cut>,
    },
    Advance {
        ms: u64,
    },
    Reopen,
    Snapshot,
    Watch {
        wanted: Wanted,
        from: From,
    },
    Mirror {
        wanted: Wanted,
    },
    Cursor {
        name: &'static str,
        wanted: Wanted,
    },
    /// Lets a watcher, mirror or cursor receive all that there is; the first time its future is dropped.
    Receive {
        index: u8,
        cut: Option<Cut>,
    },
    /// Acknowledges the event that came `back` before the last one.
    Acknowledge {
        index: u8,
        back: u8,
    },
    Seek {
        index: u8,
        back: u8,
    },
    DeleteCursor {
        name: &'static str,
    },
    /// Registers a callback.
    Listen,
    Copy {
        cut: Option<Cut>,
    },
    /// A copy that is not made in many commits and at once.
    CopyOtherwise {
        way: Way,
    },
    Backup,
    /// Makes a backup and keeps it; the next time, puts that in the place of the store.
    Restore,
    Compact,
    /// Corrects what is wrong, which is nothing.
    Repair,
    /// Fills in a template with every entry.
    Render,
    /// Starts every kind of read, and drops it.
    Look {
        cut: Cut,
    },
}

/// A sequence, and the bytes of each of its calls.
#[derive(Clone, Debug)]
pub struct Sequence {
    pub setup: Setup,
    pub calls: Vec<Call>,
    /// The bytes of the setup, and those of each call.
    pub bytes: Vec<Vec<u8>>,
}

/// Understands any bytes.
pub fn decode(bytes: &[u8]) -> Sequence {
    let mut from = Unstructured::new(bytes);
    let mut parts = Vec::new();
    let mut at = 0;
    let mut part = |rest: usize| {
        let end = bytes.len() - rest;
        parts.push(bytes[at..end].to_vec());
        at = end;
    };
    let setup = setup(&mut from).unwrap_or(Setup { cache: Cache::Full, is_shared: false });
    part(from.len());
    let mut calls = Vec::new();
    while !from.is_empty() && calls.len() < CALLS_MAX {
        let Ok(call) = call(&mut from) else { break };
        calls.push(call);
        part(from.len());
    }
    Sequence { setup, calls, bytes: parts }
}

fn setup(from: &mut Unstructured<'_>) -> Result<Setup> {
    let cache = *from.choose(&[Cache::Full, Cache::Full, Cache::Small, Cache::None])?;
    Ok(Setup { cache, is_shared: from.ratio(1_u8, 2)? })
}

fn call(from: &mut Unstructured<'_>) -> Result<Call> {
    Ok(match from.int_in_range(0..=99_u8)? {
        0..=31 => Call::One { scoped: from.ratio(1_u8, 2)?, step: any_step(from)?, cut: cut(from)? },
        32..=40 => Call::Batch {
            requires: some(from, 1, |from| Ok((entry_name(from)?, when(from)?)))?,
            steps: some(from, 5, batch_step)?,
            cut: cut(from)?,
        },
        41..=49 => Call::Transaction {
            steps: some(from, 5, any_step)?,
            stubborn: from.ratio(1_u8, 2)?,
            abort: from.ratio(1_u8, 3)?,
            cut: cut(from)?,
        },
        50..=56 => {
            Call::SetQuota { namespace: from.choose(&NAMESPACES)?, quota: quota(from)?, cut: cut(from)? }
        }
        57..=59 => {
            let namespace = if from.ratio(1_u8, 2)? { Some(*from.choose(&NAMESPACES)?) } else { None };
            Call::Purge { namespace, cut: cut(from)? }
        }
        60..=67 => Call::Advance { ms: from.int_in_range(1..=8)? },
        68..=69 => Call::Reopen,
        70..=71 => Call::Snapshot,
        72..=75 => {
            let begin =
                *from.choose(&[From::Now, From::Token, From::Beginning, From::Before(1), From::Before(5)])?;
            Call::Watch { wanted: wanted(from)?, from: begin }
        }
        76..=77 => Call::Mirror { wanted: wanted(from)? },
        78..=80 => Call::Cursor { name: from.choose(&CURSORS)?, wanted: wanted(from)? },
        81..=85 => Call::Receive { index: from.int_in_range(0..=3)?, cut: cut(from)? },
        86..=88 => Call::Acknowledge { index: from.int_in_range(0..=3)?, back: from.int_in_range(0..=3)? },
        89 => Call::Seek { index: from.int_in_range(0..=3)?, back: from.int_in_range(0..=9)? },
        90 => Call::DeleteCursor { name: from.choose(&CURSORS)? },
        91..=92 => Call::Listen,
        93..=94 => Call::Copy { cut: cut(from)? },
        95 => Call::Backup,
        96 => Call::Compact,
        97 => Call::Look { cut: cut_anyway(from)? },
        98 => {
            if from.ratio(1_u8, 3)? {
                Call::Repair
            } else {
                Call::Render
            }
        }
        _ => {
            if from.ratio(1_u8, 2)? {
                Call::Restore
            } else {
                Call::CopyOtherwise { way: way(from)? }
            }
        }
    })
}

fn way(from: &mut Unstructured<'_>) -> Result<Way> {
    Ok(match from.int_in_range(0..=3_u8)? {
        0 => Way::InOneTransaction,
        1 => Way::Following(from.int_in_range(0..=2)?),
        _ => Way::Interrupted(from.int_in_range(1..=4)?),
    })
}

fn some<T>(
    from: &mut Unstructured<'_>,
    most: usize,
    one: impl Fn(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    (0..from.int_in_range(0..=most)?).map(|_| one(from)).collect()
}

fn cut(from: &mut Unstructured<'_>) -> Result<Option<Cut>> {
    if from.ratio(1_u8, 6)? { cut_anyway(from).map(Some) } else { Ok(None) }
}

fn cut_anyway(from: &mut Unstructured<'_>) -> Result<Cut> {
    let microseconds = *from.choose(&[0, 0, 10, 50, 200, 1000])?;
    Ok(Cut { polls: from.int_in_range(0..=3)?, microseconds })
}

fn entry_name(from: &mut Unstructured<'_>) -> Result<EntryName> {
    Ok(EntryName { group: from.choose(&GROUPS)?, key: from.choose(&KEYS)? })
}

fn value(from: &mut Unstructured<'_>) -> Result<Value> {
    let values: [&[u8]; 9] =
        [b"", b"1", b"-7", b"12345", b"text", b"9223372036854775807", b"\xff\0", &[b'x'; 40], &[b'y'; 5000]];
    Ok(Value::from(*from.choose(&values)?))
}

fn when(from: &mut Unstructured<'_>) -> Result<When> {
    Ok(*from.choose(&[When::Absent, When::Present, When::Unchanged, When::Changed])?)
}

fn ttl_ms(from: &mut Unstructured<'_>) -> Result<Option<u64>> {
    if from.ratio(1_u8, 2)? { from.int_in_range(1..=12).map(Some) } else { Ok(None) }
}

/// A step that needs no revision from within its own batch.
fn batch_step(from: &mut Unstructured<'_>) -> Result<Step> {
    Ok(match from.int_in_range(0..=15_u8)? {
        0..=5 => Step::Set { at: entry_name(from)?, value: value(from)?, ttl_ms: ttl_ms(from)? },
        6..=7 => Step::Increment {
            at: entry_name(from)?,
            by: *from.choose(&[1, -1, 0, 1000, i64::MAX, i64::MIN])?,
        },
        8..=9 => Step::Delete { at: entry_name(from)? },
        10 => Step::DeleteGroup { group: from.choose(&GROUPS)? },
        11 => Step::DeletePrefix { prefix: from.choose(&PREFIXES)? },
        12 => Step::Touch { at: entry_name(from)?, ttl_ms: from.int_in_range(1..=12)? },
        13 => Step::Persist { at: entry_name(from)? },
        _ => {
            let at = entry_name(from)?;
            // What has expired already counts towards a quota until it is purged.
            let least = u64::from(namespace_of(at.group).is_some());
            let in_ms = if from.ratio(1_u8, 2)? { Some(from.int_in_range(least..=12)?) } else { None };
            Step::SetUntil { at, value: value(from)?, in_ms }
        }
    })
}

fn any_step(from: &mut Unstructured<'_>) -> Result<Step> {
    Ok(match from.int_in_range(0..=7_u8)? {
        0 => Step::SetIf {
            at: entry_name(from)?,
            when: when(from)?,
            value: value(from)?,
            ttl_ms: ttl_ms(from)?,
        },
        1 => Step::DeleteIf { at: entry_name(from)?, when: when(from)? },
        _ => batch_step(from)?,
    })
}

fn wanted(from: &mut Unstructured<'_>) -> Result<Wanted> {
    Ok(match from.int_in_range(0..=7_u8)? {
        0..=2 => Wanted::All,
        3..=4 => Wanted::Groups(from.choose(&PREFIXES)?),
        5..=6 => Wanted::Group(from.choose(&GROUPS)?),
        _ => Wanted::Key(from.choose(&GROUPS)?, from.choose(&KEYS)?),
    })
}

fn quota(from: &mut Unstructured<'_>) -> Result<Quota> {
    let limit = |from: &mut Unstructured<'_>, most| {
        if from.ratio(3_u8, 5)? { from.int_in_range(0..=most).map(Some) } else { Ok(None) }
    };
    Ok(Quota { max_keys: limit(from, 4)?, max_groups: limit(from, 2)?, max_bytes: limit(from, 60)? })
}
