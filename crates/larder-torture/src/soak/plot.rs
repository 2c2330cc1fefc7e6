//! The figures as an SVG, a panel for each, drawn as the benchmarks are.

#[allow(dead_code, reason = "the benchmarks draw more kinds of shapes")]
#[path = "../../../larder-bench/src/plot/drawing.rs"]
mod drawing;
#[allow(dead_code, reason = "the benchmarks need more colours")]
#[path = "../../../larder-bench/src/plot/palette.rs"]
mod palette;

use drawing::{Anchor, Drawing};
use palette::{FAINT_INK, GRID, INK, LARDER};

use super::judge::{FIGURES, Figure, Trend};
use super::sample::Sample;

const WIDTH: f64 = 760.0;
const PANEL: f64 = 130.0;
const TOP: f64 = 60.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;

pub fn draw(seed: u64, samples: &[Sample], trends: &[Trend]) -> String {
    let end = samples.last().map_or(1.0, |last| last.seconds);
    let mut drawing = Drawing::new(WIDTH, TOP + PANEL * FIGURES.len() as f64 + 20.0);
    drawing.title(16.0, 28.0, 16.0, &format!("A soak of {:.0} minutes, seed {seed}", end / 60.0));
    drawing.text(16.0, 46.0, 11.0, FAINT_INK, "one sample a second");
    let mut top = TOP;
    for (figure, trend) in FIGURES.iter().zip(trends) {
        panel(&mut drawing, top, figure, &trend.line(), samples, end);
        top += PANEL;
    }
    for quarter in 0..=4_u8 {
        let share = f64::from(quarter) / 4.0;
        let text = format!("{:.1} min", share * end / 60.0);
        drawing.anchored(along(share), top + 4.0, 10.0, FAINT_INK, Anchor::Middle, &text);
    }
    drawing.svg()
}

/// How far to the right a share of the time is.
fn along(share: f64) -> f64 {
    LEFT + share * (WIDTH - LEFT - RIGHT - 15.0)
}

fn panel(drawing: &mut Drawing, top: f64, figure: &Figure, line: &str, samples: &[Sample], end: f64) {
    let value = |sample: &Sample| (figure.of)(sample) as f64 / figure.divisor;
    let most = samples.iter().map(value).fold(1.0, f64::max);
    let (upper, lower) = (top + 24.0, top + PANEL - 18.0);
    let height = |value: f64| lower - value / most * (lower - upper);
    drawing.text(LEFT, top + 14.0, 12.0, INK, line);
    for mark in [0.0, most / 2.0, most] {
        drawing.line(&[(LEFT, height(mark)), (along(1.0), height(mark))], GRID, 1.0, "");
        let text = format!("{mark:.0} {}", figure.unit);
        drawing.anchored(LEFT - 8.0, height(mark) + 3.5, 10.0, FAINT_INK, Anchor::End, text.trim_end());
    }
    let points: Vec<_> =
        samples.iter().map(|sample| (along(sample.seconds / end), height(value(sample)))).collect();
    drawing.line(&points, LARDER, 1.5, "");
}
