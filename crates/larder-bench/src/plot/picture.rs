//! Writes drawings to files. The PNG uses embedded fonts, so that it needs none on the machine.

use std::path::Path;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use super::drawing::Drawing;
use crate::Outcome;

/// Pixels of the PNG for each unit of the SVG.
const SCALE: f32 = 2.0;

pub struct Pictures<'a> {
    folder: &'a Path,
    options: Options<'a>,
}

impl<'a> Pictures<'a> {
    pub fn new(folder: &'a Path) -> Self {
        let mut options = Options { font_family: "DejaVu Sans".into(), ..Options::default() };
        let fonts = options.fontdb_mut();
        fonts.load_font_data(dejavu::sans::regular().to_vec());
        fonts.load_font_data(dejavu::sans::bold().to_vec());
        Self { folder, options }
    }

    pub fn write(&self, name: &str, drawing: &Drawing) -> Outcome {
        let svg = drawing.svg();
        std::fs::write(self.folder.join(format!("{name}.svg")), &svg)?;
        let tree = Tree::from_str(&svg, &self.options)?;
        let size = tree.size().to_int_size().scale_by(SCALE).ok_or("a plot has no size")?;
        let mut pixels = Pixmap::new(size.width(), size.height()).ok_or("a plot has no size")?;
        resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
        pixels.save_png(self.folder.join(format!("{name}.png")))?;
        Ok(())
    }
}
