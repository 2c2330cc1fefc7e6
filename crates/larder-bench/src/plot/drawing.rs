//! Builds an SVG shape by shape.

use std::fmt::Write;

use super::palette::{INK, PAPER};

/// The embedded font first; a browser without it uses one of the others.
const FONTS: &str = "DejaVu Sans, Verdana, Helvetica, sans-serif";

pub struct Drawing {
    width: f64,
    height: f64,
    shapes: String,
}

/// Which part of a text is at its position.
#[derive(Clone, Copy)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Drawing {
    pub fn new(width: f64, height: f64) -> Self {
        Self { width, height, shapes: String::new() }
    }

    pub fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, colour: &str) {
        self.shape(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{colour}"/>"#
        ));
    }

    /// A line through points, dashed if `dashes` is not empty.
    pub fn line(&mut self, points: &[(f64, f64)], colour: &str, width: f64, dashes: &str) {
        let mut positions = String::new();
        for (x, y) in points {
            // Writing to a string cannot fail.
            let _ = write!(positions, "{x:.1},{y:.1} ");
        }
        let dashes =
            if dashes.is_empty() { String::new() } else { format!(r#" stroke-dasharray="{dashes}""#) };
        self.shape(format_args!(
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="{width}"{dashes}/>"#,
            positions.trim_end()
        ));
    }

    pub fn dot(&mut self, x: f64, y: f64, radius: f64, colour: &str) {
        self.shape(format_args!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius}" fill="{colour}"/>"#));
    }

    pub fn text(&mut self, x: f64, y: f64, size: f64, colour: &str, text: &str) {
        self.anchored(x, y, size, colour, Anchor::Start, text);
    }

    pub fn anchored(&mut self, x: f64, y: f64, size: f64, colour: &str, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        self.shape(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" fill="{colour}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    pub fn title(&mut self, x: f64, y: f64, size: f64, text: &str) {
        let text = escaped(text);
        self.shape(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" font-weight="bold" fill="{INK}">{text}</text>"#
        ));
    }

    pub fn svg(&self) -> String {
        let Self { width, height, shapes } = self;
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}" font-family="{FONTS}">
<rect width="100%" height="100%" fill="{PAPER}"/>
{shapes}</svg>
"#
        )
    }

    fn shape(&mut self, shape: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.shapes, "{shape}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
