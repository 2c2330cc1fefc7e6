//! Whether a figure stays flat: a line through the second half of its samples, and a bound.

use serde::Serialize;

use super::sample::Sample;

const MIB: f64 = 1_048_576.0;

/// A figure, and what it may come to.
pub struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    /// By what the samples are divided, to be in that unit.
    pub divisor: f64,
    pub of: fn(&Sample) -> u64,
    /// By how much the line may rise from the middle of the run to its end.
    rise_max: f64,
    /// What no sample may exceed.
    bound: f64,
}

/// A backup needs a dozen descriptors while it is open. The log grows until the overlapping snapshots let it start over.
pub const FIGURES: [Figure; 6] = [
    Figure {
        name: "resident memory",
        unit: "MiB",
        divisor: MIB,
        of: |s| s.memory,
        rise_max: 8.0,
        bound: 192.0,
    },
    Figure {
        name: "open descriptors",
        unit: "",
        divisor: 1.0,
        of: |s| s.descriptors,
        rise_max: 16.0,
        bound: 96.0,
    },
    Figure { name: "threads", unit: "", divisor: 1.0, of: |s| s.threads, rise_max: 2.0, bound: 32.0 },
    Figure { name: "file", unit: "MiB", divisor: MIB, of: |s| s.file, rise_max: 4.0, bound: 96.0 },
    Figure {
        name: "write-ahead log",
        unit: "MiB",
        divisor: MIB,
        of: |s| s.log,
        rise_max: 160.0,
        bound: 224.0,
    },
    Figure { name: "live keys", unit: "", divisor: 1.0, of: |s| s.keys, rise_max: 500.0, bound: 10_000.0 },
];

/// What became of a figure.
#[derive(Debug, Serialize)]
pub struct Trend {
    figure: &'static str,
    unit: &'static str,
    mean: f64,
    most: f64,
    bound: f64,
    /// By how much the line through the second half rises.
    rise: f64,
    rise_max: f64,
    /// The same as a share of the mean, for an hour.
    per_hour: f64,
}

pub fn trends(samples: &[Sample]) -> Vec<Trend> {
    let half = samples.get(samples.len() / 2..).unwrap_or_default();
    FIGURES.iter().map(|figure| trend(figure, samples, half)).collect()
}

fn trend(figure: &Figure, all: &[Sample], half: &[Sample]) -> Trend {
    let value = |sample: &Sample| (figure.of)(sample) as f64 / figure.divisor;
    let points: Vec<_> = half.iter().map(|sample| (sample.seconds, value(sample))).collect();
    let number = (points.len() as f64).max(1.0);
    let mean = points.iter().map(|(_, y)| y).sum::<f64>() / number;
    let middle = points.iter().map(|(x, _)| x).sum::<f64>() / number;
    let spread: f64 = points.iter().map(|(x, _)| (x - middle).powi(2)).sum();
    let together: f64 = points.iter().map(|(x, y)| (x - middle) * (y - mean)).sum();
    let slope = if spread > 0.0 { together / spread } else { 0.0 };
    let seconds = points.last().map_or(0.0, |last| last.0) - points.first().map_or(0.0, |first| first.0);
    Trend {
        figure: figure.name,
        unit: figure.unit,
        mean,
        most: all.iter().map(value).fold(0.0, f64::max),
        bound: figure.bound,
        rise: slope * seconds,
        rise_max: figure.rise_max,
        per_hour: if mean > 0.0 { slope * 3600.0 / mean } else { 0.0 },
    }
}

impl Trend {
    pub fn complaints(&self) -> Vec<String> {
        let Self { figure, unit, most, bound, rise, rise_max, .. } = self;
        let risen = (rise > rise_max).then(|| {
            format!("{figure}: rises by {rise:.1} {unit} in the second half, {rise_max} {unit} are allowed")
        });
        let beyond = (most > bound)
            .then(|| format!("{figure}: reaches {most:.1} {unit}, the bound is {bound} {unit}"));
        risen.into_iter().chain(beyond).collect()
    }

    pub fn line(&self) -> String {
        let Self { figure, unit, mean, most, rise, .. } = self;
        format!("{figure}: {mean:.1} {unit} in the second half, rising by {rise:.2}; {most:.1} at most")
    }
}
