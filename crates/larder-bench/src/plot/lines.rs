//! A family of rows as lines over keys, bytes or threads.

use std::collections::BTreeMap;

use super::axis::{Axis, quantity, round_bounds};
use super::drawing::{Anchor, Drawing};
use super::palette::{FAINT_INK, GRID, INK, LARDER, LARDER_TOO, SMALL, TEXT, TITLE, peer_line, width_of};
use crate::row::Row;
use crate::table::thousands;

const EDGE: f64 = 24.0;
const HEAD: f64 = 66.0;
const FOOT: f64 = 58.0;
const LENGTH: f64 = 460.0;
const TALL: f64 = 280.0;
/// The distance between the names at the ends of lines.
const NAME_STEP: f64 = 17.0;

/// The horizontal axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Points {
    Keys,
    Bytes,
    Threads,
}

pub struct Lines<'a> {
    title: &'a str,
    unit: &'a str,
    points: Points,
    /// The points of each line, by name: position on the horizontal axis, and figure.
    lines: BTreeMap<&'a str, Vec<(f64, f64)>>,
}

impl<'a> Lines<'a> {
    /// Lines of the rows whose ids are the prefix and a number; `None` for fewer than two rows.
    pub fn of(rows: &'a [Row], prefix: &str, title: &'a str, points: Points) -> Option<Self> {
        let mut numbered: Vec<(f64, &Row)> =
            rows.iter().filter_map(|row| Some((row.id.strip_prefix(prefix)?.parse().ok()?, row))).collect();
        numbered.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let unit = numbered.first()?.1.unit.as_str();
        let mut lines: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for (point, row) in &numbered {
            let peers = row.peers.iter().map(|(name, value)| (name.as_str(), *value));
            for (name, value) in std::iter::once(("larder", row.larder)).chain(peers) {
                lines.entry(name).or_default().push((*point, value));
            }
        }
        (numbered.len() > 1).then_some(Self { title, unit, points, lines })
    }

    pub fn width(&self) -> f64 {
        let names = self.lines.keys().map(|name| width_of(name, TEXT)).fold(0.0, f64::max);
        let full = self.left() + LENGTH + 14.0 + names + EDGE;
        full.max(width_of(self.title, TITLE) * 1.15 + 2.0 * EDGE)
    }

    pub fn height(&self) -> f64 {
        HEAD + TALL + FOOT
    }

    pub fn draw(&self, drawing: &mut Drawing) {
        let (left, right, bottom) = (self.left(), self.left() + LENGTH, HEAD + TALL);
        drawing.title(EDGE, 30.0, TITLE, self.title);
        let direction = if self.unit.ends_with("/s") { "more is better" } else { "less is better" };
        drawing.text(EDGE, 50.0, SMALL, FAINT_INK, direction);

        let (across, up) = (self.across(), self.up());
        for tick in up.ticks() {
            let y = up.position(tick);
            drawing.line(&[(left, y), (right, y)], GRID, 1.0, "");
            let label = quantity(tick, self.unit);
            drawing.anchored(left - 8.0, y + SMALL * 0.36, SMALL, FAINT_INK, Anchor::End, &label);
        }
        for point in self.values(|(point, _)| point) {
            let x = across.position(point);
            drawing.line(&[(x, HEAD), (x, bottom)], GRID, 1.0, "");
            drawing.anchored(x, bottom + 18.0, SMALL, FAINT_INK, Anchor::Middle, &self.point(point));
        }
        let what = match self.points {
            Points::Keys => "keys",
            Points::Bytes => "bytes of the value",
            Points::Threads => "threads",
        };
        drawing.anchored((left + right) / 2.0, bottom + 38.0, SMALL, FAINT_INK, Anchor::Middle, what);

        let position = |(point, figure): &(f64, f64)| (across.position(*point), up.position(*figure));
        let mut names = Vec::new();
        // Larder's line is drawn last, above the others.
        let (larder, peers): (Vec<_>, Vec<_>) = self.lines.iter().partition(|(name, _)| **name == "larder");
        for (name, points) in peers.into_iter().chain(larder) {
            let (colour, dashes, width) = match *name {
                "larder" => (LARDER, "", 2.6),
                name if name.starts_with("larder") => (LARDER_TOO, "", 2.0),
                name => {
                    let (colour, dashes) = peer_line(name);
                    (colour, dashes, 1.8)
                }
            };
            let positions: Vec<(f64, f64)> = points.iter().map(position).collect();
            drawing.line(&positions, colour, width, dashes);
            for (x, y) in &positions {
                drawing.dot(*x, *y, width * 1.3, colour);
            }
            let ink = if *name == "larder" { LARDER } else { INK };
            names.extend(positions.last().map(|(_, y)| (*y, *name, ink)));
        }
        for (y, name, ink) in spread_out(names, bottom) {
            drawing.text(right + 14.0, y + TEXT * 0.36, TEXT, ink, name);
        }
    }

    fn across(&self) -> Axis {
        let points = self.values(|(point, _)| point);
        let (least, greatest) = ends(&points);
        Axis::logarithmic(least, greatest, self.left() + 20.0, self.left() + LENGTH - 6.0)
    }

    /// The vertical axis: logarithmic if the figures differ a lot, otherwise linear.
    fn up(&self) -> Axis {
        let figures = self.values(|(_, figure)| figure);
        let (least, greatest) = ends(&figures);
        if self.points == Points::Threads || greatest < 6.0 * least {
            return Axis::linear(greatest, HEAD + TALL, HEAD);
        }
        let (low, high) = round_bounds(least, greatest);
        Axis::logarithmic(low, high, HEAD + TALL, HEAD)
    }

    /// The left end, with space for the figures of the vertical axis.
    fn left(&self) -> f64 {
        let widest = self
            .up()
            .ticks()
            .into_iter()
            .map(|tick| width_of(&quantity(tick, self.unit), SMALL))
            .fold(0.0, f64::max);
        EDGE + widest + 8.0
    }

    fn values(&self, of: fn((f64, f64)) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> = self.lines.values().flatten().map(|pair| of(*pair)).collect();
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        values.dedup();
        values
    }

    fn point(&self, point: f64) -> String {
        match self.points {
            Points::Keys if point >= 1e6 => format!("{} million", thousands(point / 1e6)),
            Points::Keys | Points::Threads => thousands(point),
            Points::Bytes if point >= 1_048_576.0 => format!("{:.0} MiB", point / 1_048_576.0),
            Points::Bytes if point >= 1_024.0 => format!("{:.0} KiB", point / 1_024.0),
            Points::Bytes => format!("{point:.0} B"),
        }
    }
}

fn ends(sorted: &[f64]) -> (f64, f64) {
    (sorted.first().copied().unwrap_or(1.0), sorted.last().copied().unwrap_or(1.0))
}

/// Spreads out names that would overlap: moves them down, and then up from the bottom.
fn spread_out<'a>(mut names: Vec<(f64, &'a str, &'a str)>, bottom: f64) -> Vec<(f64, &'a str, &'a str)> {
    names.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
    let mut floor = f64::NEG_INFINITY;
    for (y, ..) in &mut names {
        *y = y.max(floor);
        floor = *y + NAME_STEP;
    }
    let mut ceiling = bottom;
    for (y, ..) in names.iter_mut().rev() {
        *y = y.min(ceiling);
        ceiling = *y - NAME_STEP;
    }
    names
}
