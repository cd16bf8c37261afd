//! A figure in a back end's primitives: both formats look alike.

use super::axes::Axis;
use super::{Figure, Line, Panel, failed, font};
use crate::error::{Error, Result};
use plotters_backend::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontFamily};

// in pixels; a picture is drawn large, for screens that show two of its pixels as one
const PANEL: (i32, i32) = (1120, 740);
const LEFT: i32 = 140;
const RIGHT: i32 = 48;
const TITLE: i32 = 84;
const LEGEND_ROW: i32 = 44;
const BOTTOM: i32 = 108;
const SAMPLE: i32 = 44;
/// Lines of more points than this are drawn without dots.
const DOTS: usize = 40;

const INK: (u8, u8, u8) = (38, 43, 51);
const SOFT: (u8, u8, u8) = (98, 106, 118);
const GRID: (u8, u8, u8) = (230, 233, 238);
const AXIS: (u8, u8, u8) = (168, 176, 188);
const COLORS: [(u8, u8, u8); 8] =
    [(47, 101, 163), (214, 118, 43), (74, 141, 97), (178, 62, 66), (122, 92, 165), (140, 106, 66), (190, 98, 151), (104, 110, 120)];

struct Pen {
    rgb: (u8, u8, u8),
    width: u32,
}

impl BackendStyle for Pen {
    fn color(&self) -> BackendColor {
        BackendColor { alpha: 1.0, rgb: self.rgb }
    }
    fn stroke_width(&self) -> u32 {
        self.width
    }
}

struct Words {
    rgb: (u8, u8, u8),
    anchor: Pos,
}

impl BackendTextStyle for Words {
    type FontError = std::fmt::Error;
    fn color(&self) -> BackendColor {
        BackendColor { alpha: 1.0, rgb: self.rgb }
    }
    fn size(&self) -> f64 {
        // the SVG back end divides by 1.24
        font::SIZE * 1.24
    }
    fn anchor(&self) -> Pos {
        Pos { ..self.anchor }
    }
    fn family(&self) -> FontFamily<'_> {
        FontFamily::SansSerif
    }
    fn layout_box(&self, text: &str) -> Result<((i32, i32), (i32, i32)), std::fmt::Error> {
        Ok(((0, 0), (font::width(text), font::height() as i32)))
    }
    fn draw<E, F: FnMut(i32, i32, BackendColor) -> Result<(), E>>(
        &self,
        _: &str,
        _: BackendCoord,
        _: F,
    ) -> Result<Result<(), E>, std::fmt::Error> {
        Err(std::fmt::Error) // both back ends have letters of their own
    }
}

fn words(rgb: (u8, u8, u8), h_pos: HPos, v_pos: VPos) -> Words {
    Words { rgb, anchor: Pos { h_pos, v_pos } }
}

type Drawn<D> = Result<(), DrawingErrorKind<<D as DrawingBackend>::ErrorType>>;

impl Figure {
    /// Width and height in pixels: panels two to a row.
    pub(crate) fn size(&self) -> (u32, u32) {
        let (columns, rows) = (self.panels.len().clamp(1, 2), self.panels.len().div_ceil(2).max(1));
        (columns as u32 * PANEL.0 as u32, rows as u32 * PANEL.1 as u32)
    }

    pub(crate) fn draw<D: DrawingBackend>(&self, d: &mut D) -> Result<()> {
        if !self.panels.iter().any(|p| p.pieces().any(|_| true)) {
            return Err(Error::Unsupported {
                what: "a picture without a value".into(),
                at: "the figure, or the history".into(),
                help: "train an epoch first; values that are not finite are not drawn, nor on a logarithmic axis those of 0 or below"
                    .into(),
            });
        }
        self.all(d).map_err(|e| failed(&e))
    }

    fn all<D: DrawingBackend>(&self, d: &mut D) -> Drawn<D> {
        let (w, h) = self.size();
        d.draw_rect((0, 0), (w as i32, h as i32), &Pen { rgb: (255, 255, 255), width: 1 }, true)?;
        for (i, panel) in self.panels.iter().enumerate() {
            panel.draw(d, (i as i32 % 2 * PANEL.0, i as i32 / 2 * PANEL.1))?;
        }
        d.present()
    }
}

impl Panel {
    /// What can be drawn of each line: stretches of finite values, as the axes count them.
    fn pieces(&self) -> impl Iterator<Item = (usize, Vec<(f64, f64)>)> {
        let shown = |&(x, y): &(f64, f64)| {
            let y = if self.log_y { y.log10() } else { y };
            (x.is_finite() && y.is_finite()).then_some((x, y))
        };
        self.lines.iter().enumerate().flat_map(move |(i, line)| {
            let mut pieces = vec![vec![]];
            for p in line.points.iter().map(shown) {
                match (p, pieces.last_mut()) {
                    (Some(p), Some(piece)) => piece.push(p),
                    _ => pieces.push(vec![]),
                }
            }
            pieces.into_iter().filter(|p| !p.is_empty()).map(move |p| (i, p))
        })
    }

    fn draw<D: DrawingBackend>(&self, d: &mut D, (x0, y0): (i32, i32)) -> Drawn<D> {
        d.draw_text(&self.title, &words(INK, HPos::Left, VPos::Center), (x0 + LEFT, y0 + TITLE / 2 + 4))?;
        let rows = legend(&self.lines);
        let (left, right) = (x0 + LEFT, x0 + PANEL.0 - RIGHT);
        let (top, bottom) = (y0 + TITLE + rows.len() as i32 * LEGEND_ROW, y0 + PANEL.1 - BOTTOM);
        for (row, entries) in rows.iter().enumerate() {
            let y = y0 + TITLE + row as i32 * LEGEND_ROW + 4;
            for &(x, i) in entries {
                d.draw_line((left + x, y), (left + x + SAMPLE, y), &pen(i))?;
                d.draw_text(&self.lines[i].name, &words(SOFT, HPos::Left, VPos::Center), (left + x + SAMPLE + 12, y))?;
            }
        }

        let pieces: Vec<(usize, Vec<(f64, f64)>)> = self.pieces().collect();
        let all = || pieces.iter().flat_map(|(_, p)| p.iter().copied());
        let (Some(across), Some(up)) = (self.across(all().map(|p| p.0)), Axis::over(all().map(|p| p.1), self.log_y, 0.05, 6)) else {
            return d.draw_text("nothing to draw", &words(SOFT, HPos::Center, VPos::Center), ((left + right) / 2, (top + bottom) / 2));
        };
        let at_x = |x: f64| left + (across.part(x) * f64::from(right - left)).round() as i32;
        let at_y = |y: f64| bottom - (up.part(y) * f64::from(bottom - top)).round() as i32;
        let grid = Pen { rgb: GRID, width: 2 };
        for (v, text) in &up.ticks {
            d.draw_line((left, at_y(*v)), (right, at_y(*v)), &grid)?;
            d.draw_text(text, &words(SOFT, HPos::Right, VPos::Center), (left - 16, at_y(*v)))?;
        }
        for (v, text) in &across.ticks {
            d.draw_line((at_x(*v), top), (at_x(*v), bottom), &grid)?;
            d.draw_text(text, &words(SOFT, HPos::Center, VPos::Top), (at_x(*v), bottom + 16))?;
        }
        d.draw_path([(left, top), (left, bottom), (right, bottom)], &Pen { rgb: AXIS, width: 2 })?;
        d.draw_text(&self.x_label, &words(SOFT, HPos::Center, VPos::Top), ((left + right) / 2, bottom + 62))?;

        for (i, piece) in &pieces {
            let points: Vec<BackendCoord> = piece.iter().map(|&(x, y)| (at_x(x), at_y(y))).collect();
            if self.lines[*i].points.len() <= DOTS {
                points.iter().try_for_each(|p| d.draw_circle(*p, 6, &pen(*i), true))?;
            }
            if points.len() > 1 {
                d.draw_path(points, &pen(*i))?;
            }
        }
        Ok(())
    }

    /// The horizontal axis: no ticks between whole numbers where all are whole, as epochs are.
    fn across(&self, values: impl Iterator<Item = f64> + Clone) -> Option<Axis> {
        let whole = values.clone().all(|x| x.fract() == 0.0);
        let mut axis = Axis::over(values, false, 0.02, 9)?;
        if whole {
            axis.ticks.retain(|(v, _)| (v - v.round()).abs() < 1e-9);
            axis.ticks.iter_mut().filter(|(v, _)| v.abs() < 1e5).for_each(|(v, text)| *text = format!("{v:.0}"));
        }
        Some(axis)
    }
}

fn pen(line: usize) -> Pen {
    Pen { rgb: COLORS[line % COLORS.len()], width: 4 }
}

/// Rows of the legend: (distance from the left, line). A line alone needs none: the heading names it.
fn legend(lines: &[Line]) -> Vec<Vec<(i32, usize)>> {
    let mut rows: Vec<Vec<(i32, usize)>> = vec![];
    let mut x = i32::MAX;
    for (i, line) in lines.iter().enumerate().filter(|_| lines.len() > 1) {
        let wide = SAMPLE + 12 + font::width(&line.name);
        if x.saturating_add(wide) > PANEL.0 - LEFT - RIGHT {
            rows.push(vec![]);
            x = 0;
        }
        if let Some(row) = rows.last_mut() {
            row.push((x, i));
        }
        x = x.saturating_add(wide + 36);
    }
    rows
}
