//! Axes: from figures to positions, and their ticks.

use crate::table::{number, thousands};

/// Maps figures to positions between two ends.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Axis {
    /// A linear axis from zero to at least the greatest figure.
    pub fn linear(greatest: f64, from: f64, to: f64) -> Self {
        let step = round_step(greatest);
        let high = (greatest / step).ceil().max(1.0) * step;
        Self { low: 0.0, high, from, to, logarithmic: false }
    }

    /// A logarithmic axis from the least figure to at least the greatest.
    pub fn logarithmic(least: f64, greatest: f64, from: f64, to: f64) -> Self {
        Self { low: least, high: greatest.max(least * 1.01), from, to, logarithmic: true }
    }

    pub fn position(&self, figure: f64) -> f64 {
        let part = if self.logarithmic {
            (figure / self.low).ln() / (self.high / self.low).ln()
        } else {
            (figure - self.low) / (self.high - self.low)
        };
        self.from + part * (self.to - self.from)
    }

    /// The round figures along the axis.
    pub fn ticks(&self) -> Vec<f64> {
        if !self.logarithmic {
            let step = round_step(self.high);
            let steps = (self.high / step).round() as u32;
            return (0..=steps).map(|tick| f64::from(tick) * step).collect();
        }
        let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let within = |tick: &f64| *tick >= self.low * 0.999 && *tick <= self.high * 1.001;
        let ticks = |steps: &'static [f64]| -> Vec<f64> {
            let decades = decades.clone().map(|decade| 10f64.powi(decade));
            decades.flat_map(|decade| steps.iter().map(move |step| step * decade)).filter(within).collect()
        };
        let whole = ticks(&[1.0]);
        if whole.len() >= 3 { whole } else { ticks(&[1.0, 2.0, 5.0]) }
    }
}

/// Round bounds of a logarithmic axis that contain both extremes.
pub fn round_bounds(least: f64, greatest: f64) -> (f64, f64) {
    let below = [5.0, 2.0, 1.0].map(|step| step * 10f64.powf(least.log10().floor()));
    let above = [1.0, 2.0, 5.0, 10.0].map(|step| step * 10f64.powf(greatest.log10().floor()));
    let low = below.into_iter().find(|bound| *bound <= least).unwrap_or(least);
    let high = above.into_iter().find(|bound| *bound >= greatest).unwrap_or(greatest);
    (low, high)
}

/// A round step, of which four or five reach the greatest figure.
fn round_step(greatest: f64) -> f64 {
    let rough = greatest.max(f64::MIN_POSITIVE) / 4.5;
    let decade = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|step| step * decade).into_iter().find(|step| *step >= rough).unwrap_or(rough)
}

/// A figure with its unit. Times get a suitable unit.
pub fn quantity(value: f64, unit: &str) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let ns = match unit {
        "ns" => value,
        "µs" => value * 1e3,
        "ms" => value * 1e6,
        "/s" => return format!("{}/s", thousands(value)),
        _ => return format!("{} {unit}", rounded(value)),
    };
    match ns {
        ns if ns < 1e3 => format!("{} ns", rounded(ns)),
        ns if ns < 1e6 => format!("{} µs", rounded(ns / 1e3)),
        ns if ns < 1e9 => format!("{} ms", rounded(ns / 1e6)),
        ns => format!("{} s", rounded(ns / 1e9)),
    }
}

/// The significant digits, without trailing zeros.
fn rounded(value: f64) -> String {
    let text = number(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
