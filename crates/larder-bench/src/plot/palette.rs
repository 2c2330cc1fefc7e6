//! Colours and sizes. Only larder has a colour. Peers are greys, distinguished by their names, and lines by
//! their dashes, so that no reader has to distinguish hues.

pub const PAPER: &str = "#ffffff";
pub const INK: &str = "#1f2933";
pub const FAINT_INK: &str = "#5f6b76";
pub const GRID: &str = "#e3e7eb";
pub const LARDER: &str = "#c2410c";
/// Larder in other variants.
pub const LARDER_TOO: &str = "#f0b48f";
pub const PEER: &str = "#9aa5b1";

/// A peer's grey and dashes, the same in every picture.
pub fn peer_line(name: &str) -> (&'static str, &'static str) {
    match name {
        "LMDB" => ("#4b5563", ""),
        "libmdbx" => ("#9aa5b1", ""),
        "fjall" => ("#4b5563", "7 4"),
        "redb" => ("#7b8794", "2 3"),
        "raw SQLite" => ("#7b8794", "9 3 2 3"),
        _ => ("#9aa5b1", "4 2"),
    }
}

pub const TITLE: f64 = 16.0;
pub const TEXT: f64 = 13.0;
pub const SMALL: f64 = 11.5;

/// An upper estimate of a text's width.
pub fn width_of(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.6
}
