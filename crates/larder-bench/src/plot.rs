//! Draws the rows as plots, each as SVG and as PNG.

mod axis;
mod bars;
mod drawing;
mod lines;
mod palette;
mod picture;

use std::path::Path;

use self::bars::Bars;
use self::drawing::Drawing;
use self::lines::{Lines, Points};
use self::picture::Pictures;
use crate::Outcome;
use crate::row::Row;

/// The rows that are drawn as bars, one picture each: id and title.
const BARS: [(&str, &str); 11] = [
    ("get-hit", "get: an entry that was got before"),
    ("get-hit-threads", "get: an entry that was got before, two threads"),
    ("get-miss", "get: past the cache"),
    ("get-all", "get_all: 10,000 entries"),
    ("stream-time", "entries: each of a large group"),
    ("set-1", "set: on the disk, one thread"),
    ("set-64", "set: on the disk, 64 threads"),
    ("set-memory", "set: a store in memory"),
    ("quota", "set: a new key under three limits"),
    ("change-log-durable", "set: what the change log costs, on the disk"),
    ("change-log-memory", "set: what the change log costs, in memory"),
];

/// The rows that also appear together in one picture.
const HEADLINES: [&str; 4] = ["get-hit", "get-all", "set-1", "set-64"];

/// The families of rows that are drawn as lines: the prefix of their ids, a title, and the horizontal axis.
const LINES: [(&str, &str, Points); 8] = [
    ("get-hit-keys-", "get, by the number of keys (with the default cache)", Points::Keys),
    ("get-miss-keys-", "get past the cache, by the number of keys", Points::Keys),
    ("set-1-keys-", "set on the disk, by the number of keys", Points::Keys),
    ("get-hit-size-", "get of an entry that was got before, by its size", Points::Bytes),
    ("get-miss-size-", "get past the cache, by the entry's size", Points::Bytes),
    ("set-1-size-", "set on the disk, by the entry's size", Points::Bytes),
    ("get-hit-threads-", "gets of entries that were got before, by threads", Points::Threads),
    ("quota-", "set of a new key under three limits, by the namespace's keys", Points::Keys),
];

/// Draws every picture for which there are rows, with a remark below.
pub fn draw(rows: &[Row], folder: &Path, remark: Option<&str>) -> Outcome {
    std::fs::create_dir_all(folder)?;
    let pictures = Pictures::new(folder);
    let mut panels = Vec::new();
    for (id, title) in BARS {
        if let Some(bars) = rows.iter().find(|row| row.id == id).and_then(|row| Bars::of(row, title)) {
            pictures.write(
                id,
                &framed(bars.width(), bars.height(), remark, |drawing| bars.draw(drawing, 0.0, 0.0)),
            )?;
            if HEADLINES.contains(&id) {
                panels.push(bars);
            }
        }
    }
    if panels.len() == HEADLINES.len() {
        pictures.write("headlines", &headlines(&panels, remark))?;
    }
    for (prefix, title, points) in LINES {
        if let Some(lines) = Lines::of(rows, prefix, title, points) {
            pictures.write(
                &format!("{prefix}lines"),
                &framed(lines.width(), lines.height(), remark, |drawing| lines.draw(drawing)),
            )?;
        }
    }
    Ok(())
}

/// The headlines, two per line.
fn headlines(panels: &[Bars<'_>], remark: Option<&str>) -> Drawing {
    let width = panels.iter().map(Bars::width).fold(0.0, f64::max);
    let height = panels.iter().map(Bars::height).fold(0.0, f64::max);
    let rows = panels.len().div_ceil(2) as f64;
    framed(2.0 * width, rows * height, remark, |drawing| {
        for (index, bars) in panels.iter().enumerate() {
            bars.draw(drawing, (index % 2) as f64 * width, (index / 2) as f64 * height);
        }
    })
}

fn framed(width: f64, height: f64, remark: Option<&str>, draw: impl FnOnce(&mut Drawing)) -> Drawing {
    let below = if remark.is_some() { 24.0 } else { 0.0 };
    let mut drawing = Drawing::new(width, height + below);
    draw(&mut drawing);
    if let Some(remark) = remark {
        drawing.text(24.0, height + 6.0, palette::SMALL, palette::FAINT_INK, remark);
    }
    drawing
}
