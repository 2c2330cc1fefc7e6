//! How the files of a store are damaged.

use std::fmt;

use super::sample::Sample;
use crate::random::Random;

const PAGE: usize = 4096;
const LOG_HEADER: usize = 32;
const FRAME: usize = 24 + PAGE;

/// What is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Database,
    Log,
    Index,
}

impl Part {
    pub fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Log => "log",
            Self::Index => "index",
        }
    }
}

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One bit is changed, or a few.
    Flipped,
    Truncated,
    /// Two pages, or two frames of the log.
    Swapped,
    Zeroed,
    /// A page, or a frame, of another store.
    ForeignPage,
    /// The whole file is that of another store.
    ForeignFile,
    /// The log is one that the store had before.
    Stale,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Flipped,
        Self::Truncated,
        Self::Swapped,
        Self::Zeroed,
        Self::ForeignPage,
        Self::ForeignFile,
        Self::Stale,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Flipped => "flipped",
            Self::Truncated => "truncated",
            Self::Swapped => "swapped",
            Self::Zeroed => "zeroed",
            Self::ForeignPage => "foreign page",
            Self::ForeignFile => "foreign file",
            Self::Stale => "stale",
        }
    }
}

/// What was done to a store.
#[derive(Clone, Copy, Debug)]
pub struct Harm {
    pub part: Part,
    pub kind: Kind,
    /// The first byte that was changed.
    pub from: u64,
}

impl fmt::Display for Harm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, kind, from } = self;
        write!(formatter, "{} {} from byte {from} on", part.name(), kind.name())
    }
}

/// Damages the files. `other` is a store of the same shape.
pub fn harm(random: &mut Random, sample: &mut Sample, other: &Sample) -> Harm {
    loop {
        let has_log = !sample.log.is_empty();
        let part = match random.below(if has_log { 8 } else { 6 }) {
            0..=3 => Part::Database,
            4 => Part::Index,
            _ => Part::Log,
        };
        let kind = Kind::ALL.get(random.place(Kind::ALL.len())).copied().unwrap_or(Kind::Flipped);
        // There is only one database, and where there is no log, only another one can lie.
        let is_possible = match part {
            Part::Database => !matches!(kind, Kind::ForeignFile | Kind::Stale),
            Part::Log => has_log || matches!(kind, Kind::ForeignFile | Kind::Stale),
            Part::Index => kind != Kind::Stale && (!sample.index.is_empty() || kind == Kind::ForeignFile),
        };
        if !is_possible {
            continue;
        }
        let before = of(sample, part).clone();
        let from_other = match part {
            Part::Database => &other.database,
            // Another store that is closed has none left.
            Part::Log if other.log.is_empty() => &other.stale_log,
            Part::Log => &other.log,
            Part::Index => &other.index,
        };
        let (header, unit) = match part {
            Part::Log => (LOG_HEADER, FRAME),
            Part::Database | Part::Index => (0, PAGE),
        };
        let mut bytes = before.clone();
        match kind {
            Kind::ForeignFile => bytes.clone_from(from_other),
            Kind::Stale => bytes.clone_from(&sample.stale_log),
            Kind::Truncated => bytes.truncate(random.place(before.len())),
            Kind::Flipped => {
                for _ in 0..=(random.below(2) * random.below(8)) {
                    let (place, bit) = (random.place(bytes.len()), random.below(8));
                    if let Some(byte) = bytes.get_mut(place) {
                        *byte ^= 1 << bit;
                    }
                }
            }
            Kind::Swapped | Kind::Zeroed | Kind::ForeignPage => {
                let units = before.len().saturating_sub(header) / unit;
                let place = |number: usize| header + number * unit..header + (number + 1) * unit;
                let (one, two) = (random.place(units), random.place(units));
                let there = match kind {
                    Kind::Swapped => before.get(place(two)).map(<[u8]>::to_vec),
                    Kind::Zeroed => Some(vec![0; unit]),
                    _ => from_other.get(place(two)).map(<[u8]>::to_vec),
                };
                if let (Some(to), Some(from)) = (bytes.get_mut(place(one)), there) {
                    to.copy_from_slice(&from);
                }
                if kind == Kind::Swapped
                    && let (Some(to), Some(from)) = (bytes.get_mut(place(two)), before.get(place(one)))
                {
                    to.copy_from_slice(from);
                }
            }
        }
        // The first byte that differs, or the end of what is left.
        let same = before.iter().zip(&bytes).take_while(|(one, other)| one == other).count();
        if same < before.len().max(bytes.len()) {
            *of(sample, part) = bytes;
            return Harm { part, kind, from: same as u64 };
        }
    }
}

fn of(sample: &mut Sample, part: Part) -> &mut Vec<u8> {
    match part {
        Part::Database => &mut sample.database,
        Part::Log => &mut sample.log,
        Part::Index => &mut sample.index,
    }
}
