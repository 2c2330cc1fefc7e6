//! One row as bars: larder and its peers, the best first.

use super::axis::{Axis, quantity};
use super::drawing::{Anchor, Drawing};
use super::palette::{FAINT_INK, GRID, INK, LARDER, LARDER_TOO, PEER, SMALL, TEXT, TITLE, width_of};
use crate::row::Row;

const EDGE: f64 = 24.0;
const HEAD: f64 = 66.0;
const FOOT: f64 = 40.0;
const BAR: f64 = 20.0;
const STEP: f64 = 30.0;
const LENGTH: f64 = 300.0;

pub struct Bars<'a> {
    row: &'a Row,
    title: &'a str,
    /// Names and figures, sorted.
    bars: Vec<(&'a str, f64)>,
    more_is_better: bool,
}

impl<'a> Bars<'a> {
    /// `None` if there is nothing to compare.
    pub fn of(row: &'a Row, title: &'a str) -> Option<Self> {
        let peers = row.peers.iter().map(|(name, value)| (name.as_str(), *value));
        let mut bars: Vec<(&str, f64)> = std::iter::once(("larder", row.larder)).chain(peers).collect();
        bars.retain(|(_, value)| value.is_finite());
        let more_is_better = row.unit.ends_with("/s");
        bars.sort_by(
            |one, other| {
                if more_is_better { other.1.total_cmp(&one.1) } else { one.1.total_cmp(&other.1) }
            },
        );
        (bars.len() > 1).then_some(Self { row, title, bars, more_is_better })
    }

    pub fn width(&self) -> f64 {
        let value = self.bars.iter().map(|(_, value)| width_of(&quantity(*value, &self.row.unit), TEXT));
        let full = self.names_width() + LENGTH + value.fold(0.0, f64::max) + 2.0 * EDGE + 16.0;
        full.max(width_of(self.title, TITLE) * 1.15 + 2.0 * EDGE)
    }

    pub fn height(&self) -> f64 {
        HEAD + self.bars.len() as f64 * STEP + FOOT
    }

    pub fn draw(&self, drawing: &mut Drawing, left: f64, top: f64) {
        let unit = &self.row.unit;
        drawing.title(left + EDGE, top + 30.0, TITLE, self.title);
        let direction = if self.more_is_better { "more is better" } else { "less is better" };
        drawing.text(left + EDGE, top + 50.0, SMALL, FAINT_INK, direction);

        let start = left + EDGE + self.names_width() + 8.0;
        let greatest = self.bars.iter().map(|(name, value)| self.spread(name)[1].max(*value));
        let axis = Axis::linear(greatest.fold(0.0, f64::max), start, start + LENGTH);
        let bottom = top + HEAD + self.bars.len() as f64 * STEP;
        for tick in axis.ticks() {
            let x = axis.position(tick);
            drawing.line(&[(x, top + HEAD - 4.0), (x, bottom)], GRID, 1.0, "");
            drawing.anchored(x, bottom + 18.0, SMALL, FAINT_INK, Anchor::Middle, &quantity(tick, unit));
        }
        for (index, (name, value)) in self.bars.iter().enumerate() {
            let y = top + HEAD + index as f64 * STEP + (STEP - BAR) / 2.0;
            let text_y = y + BAR / 2.0 + TEXT * 0.36;
            let (colour, ink) = match *name {
                "larder" => (LARDER, LARDER),
                name if name.starts_with("larder") => (LARDER_TOO, INK),
                _ => (PEER, INK),
            };
            drawing.anchored(start - 8.0, text_y, TEXT, ink, Anchor::End, name);
            let end = axis.position(*value);
            drawing.rectangle(start, y, (end - start).max(1.5), BAR, colour);
            let [low, high] = self.spread(name).map(|bound| axis.position(bound));
            if high - low > 2.0 {
                let middle = y + BAR / 2.0;
                drawing.line(&[(low, middle), (high, middle)], INK, 1.2, "");
            }
            drawing.text(end.max(high) + 7.0, text_y, TEXT, ink, &quantity(*value, unit));
        }
    }

    fn names_width(&self) -> f64 {
        self.bars.iter().map(|(name, _)| width_of(name, TEXT)).fold(0.0, f64::max)
    }

    /// The bounds of the middle half of the rounds.
    fn spread(&self, name: &str) -> [f64; 2] {
        let value = self.bars.iter().find(|(bar, _)| *bar == name).map_or(0.0, |(_, value)| *value);
        self.row.quartiles.get(name).copied().unwrap_or([value, value])
    }
}
