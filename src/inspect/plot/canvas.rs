//! A back end of plotters that draws into pixels, for PNG.

use super::font;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind};
use std::convert::Infallible;

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// Pixels as a back end of plotters: smooth lines of any width, and letters of its own.
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
    /// How much of each pixel the line under way covers; all 0 between lines.
    covered: Vec<u8>,
}

impl Canvas {
    /// All white.
    pub fn new(width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        Canvas { width, height, rgb: vec![255; width * height * 3], covered: vec![0; width * height] }
    }

    pub fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header()?.write_image_data(&self.rgb)?;
        Ok(out)
    }

    /// Sets a pixel, if it is there.
    pub fn set(&mut self, x: usize, y: usize, rgb: [u8; 3]) {
        if x < self.width && y < self.height {
            self.rgb[3 * (y * self.width + x)..][..3].copy_from_slice(&rgb);
        }
    }

    /// Puts colour over a pixel; `part` of it is covered.
    fn blend(&mut self, x: i32, y: i32, color: BackendColor, part: f64) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x < self.width && y < self.height {
            let part = part * color.alpha;
            let at = 3 * (y * self.width + x);
            for (old, new) in self.rgb[at..at + 3].iter_mut().zip([color.rgb.0, color.rgb.1, color.rgb.2]) {
                *old = (f64::from(*old) * (1.0 - part) + f64::from(new) * part).round() as u8;
            }
        }
    }

    /// A line through points, with round joints: what lies within half a width of it. Where two pieces meet the larger cover holds.
    fn stroke(&mut self, points: &[BackendCoord], color: BackendColor, width: f64) {
        let reach = (width / 2.0 + 1.0).ceil() as i32;
        let mut touched = Vec::new();
        for ends in points.windows(2) {
            let ((ax, ay), (bx, by)) = (ends[0], ends[1]);
            let (dx, dy) = (f64::from(bx - ax), f64::from(by - ay));
            let square = (dx * dx + dy * dy).max(1e-12);
            for y in (ay.min(by) - reach).max(0)..=(ay.max(by) + reach).min(self.height as i32 - 1) {
                // the stretch of this row that the line can reach
                let (mut from, mut to) = (f64::from(ax.min(bx)), f64::from(ax.max(bx)));
                if dy != 0.0 {
                    let ends = [f64::from(y - reach), f64::from(y + reach)].map(|y| f64::from(ax) + (y - f64::from(ay)) / dy * dx);
                    (from, to) = (from.max(ends[0].min(ends[1])), to.min(ends[0].max(ends[1])));
                }
                for x in (from as i32 - reach).max(0)..=(to as i32 + reach).min(self.width as i32 - 1) {
                    let (px, py) = (f64::from(x - ax), f64::from(y - ay));
                    let along = ((px * dx + py * dy) / square).clamp(0.0, 1.0);
                    let away = (px - along * dx).hypot(py - along * dy);
                    let part = (width / 2.0 + 0.5 - away).clamp(0.0, 1.0);
                    let at = y as usize * self.width + x as usize;
                    let part = (part * 255.0) as u8;
                    if part > self.covered[at] {
                        touched.push((x, y));
                        self.covered[at] = part;
                    }
                }
            }
        }
        for (x, y) in touched {
            let part = std::mem::take(&mut self.covered[y as usize * self.width + x as usize]);
            self.blend(x, y, color, f64::from(part) / 255.0);
        }
    }
}

impl DrawingBackend for Canvas {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.width as u32, self.height as u32)
    }
    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }
    fn present(&mut self) -> Drawn {
        Ok(())
    }
    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.blend(x, y, color, 1.0);
        Ok(())
    }
    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.stroke(&[from, to], style.color(), f64::from(style.stroke_width()));
        Ok(())
    }
    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        let points: Vec<BackendCoord> = path.into_iter().collect();
        self.stroke(&points, style.color(), f64::from(style.stroke_width()));
        Ok(())
    }
    /// A filled one: a line of no length.
    fn draw_circle<S: BackendStyle>(&mut self, center: BackendCoord, radius: u32, style: &S, _: bool) -> Drawn {
        self.stroke(&[center, center], style.color(), 2.0 * f64::from(radius));
        Ok(())
    }
    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, (x, y): BackendCoord) -> Drawn {
        let mut left = match style.anchor().h_pos {
            HPos::Left => x,
            HPos::Center => x - font::width(text) / 2,
            HPos::Right => x - font::width(text),
        };
        // as the SVG back end sets a text: by the height of its capitals, about 0.72 of the size
        let capital = (0.72 * font::SIZE) as i32;
        let top = font::baseline();
        let top = match style.anchor().v_pos {
            VPos::Top => y - top + capital,
            VPos::Center => y - top + capital / 2,
            VPos::Bottom => y - top,
        };
        for glyph in font::glyphs(text) {
            for row in 0..font::height() {
                for column in 0..glyph.width {
                    let part = glyph.coverage(row * glyph.width + column);
                    if part > 0 {
                        self.blend(left + column as i32, top + row as i32, style.color(), f64::from(part) / 15.0);
                    }
                }
            }
            left += glyph.advance;
        }
        Ok(())
    }
    fn estimate_text_size<S: BackendTextStyle>(&self, text: &str, _: &S) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        Ok((font::width(text).max(0) as u32, font::height() as u32))
    }
}
