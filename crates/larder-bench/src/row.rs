//! The rows of the results.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::measure::Figure;

/// The peer that is larder without what disturbs it.
pub const ALONE: &str = "alone";

/// One row of the results.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub id: String,
    pub unit: String,
    pub larder: f64,
    pub peers: BTreeMap<String, f64>,
    /// What larder's figure must reach, in words; `None` for no target.
    pub target: Option<String>,
    /// Whether the target was met.
    pub met: Option<bool>,
    /// The bounds of the middle half of the rounds, for larder (by that name) and each peer.
    pub quartiles: BTreeMap<String, [f64; 2]>,
}

/// The unit of a row.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    Nanoseconds,
    Microseconds,
    Milliseconds,
    PerSecond,
    MillionPerSecond,
    /// Any other unit; figures stay as measured.
    Plain(&'static str),
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::PerSecond => "/s",
            Self::MillionPerSecond => "million/s",
            Self::Plain(name) => name,
        }
    }

    fn of(self, measured: f64) -> f64 {
        match self {
            Self::Nanoseconds | Self::Plain(_) => measured,
            Self::Microseconds => measured / 1e3,
            Self::Milliseconds => measured / 1e6,
            Self::PerSecond => 1e9 / measured,
            Self::MillionPerSecond => 1e3 / measured,
        }
    }
}

impl Row {
    /// A row of figures. The first is larder's.
    pub fn of(id: impl Into<String>, unit: Unit, figures: &[Figure]) -> Self {
        let value = |figure: &Figure| unit.of(figure.median());
        let quartiles = |figure: &Figure| {
            let [low, high] = figure.quartiles().map(|bound| unit.of(bound));
            [low.min(high), low.max(high)]
        };
        let larder = figures.first().map_or(f64::NAN, value);
        let peers = figures.iter().skip(1).map(|figure| (figure.name.clone(), value(figure))).collect();
        let spread = figures.iter().enumerate().map(|(index, figure)| {
            let name = if index == 0 { "larder".to_owned() } else { figure.name.clone() };
            (name, quartiles(figure))
        });
        Self {
            id: id.into(),
            unit: unit.name().into(),
            larder,
            peers,
            target: None,
            met: None,
            quartiles: spread.collect(),
        }
    }

    /// A row with a single figure.
    pub fn single(id: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self::of(id, Unit::Plain(unit), &[Figure::new("larder", vec![value])])
    }

    pub fn with_target(mut self, target: impl Into<String>, met: bool) -> Self {
        self.target = Some(target.into());
        self.met = Some(met);
        self
    }

    /// How many times as long it takes as alone, if the row compares that.
    pub fn times_alone(&self) -> Option<f64> {
        self.peers.get(ALONE).map(|alone| self.larder / alone)
    }

    /// A peer's figure.
    pub fn peer(&self, name: &str) -> Outcome<f64> {
        let missing = || format!("{} has no peer named {name:?}", self.id);
        Ok(*self.peers.get(name).ok_or_else(missing)?)
    }
}
