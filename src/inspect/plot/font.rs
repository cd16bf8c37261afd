//! Letters for the PNG: Aileron Regular (Sora Sagano, CC0) as `make_font.py` drew it once.

static DATA: &[u8] = include_bytes!("font.bin");

/// The size that the letters were drawn at.
pub(crate) const SIZE: f64 = 27.0;

/// A character's picture: coverages 0 to 15, row by row.
pub(crate) struct Glyph {
    pub advance: i32,
    pub width: usize,
    levels: &'static [u8],
}

impl Glyph {
    pub fn coverage(&self, index: usize) -> u8 {
        self.levels.get(index / 2).map_or(0, |b| if index.is_multiple_of(2) { b & 15 } else { b >> 4 })
    }
}

/// Rows of every glyph.
pub(crate) fn height() -> usize {
    usize::from(DATA[0])
}

/// The row that letters stand on.
pub(crate) fn baseline() -> i32 {
    i32::from(DATA[1])
}

/// The glyphs of a text; a question mark for what is not ASCII.
pub(crate) fn glyphs(text: &str) -> impl Iterator<Item = Glyph> {
    text.chars().filter_map(|c| find(if (' '..='~').contains(&c) { c } else { '?' }))
}

/// How wide a text is.
pub(crate) fn width(text: &str) -> i32 {
    glyphs(text).map(|g| g.advance).sum()
}

fn find(c: char) -> Option<Glyph> {
    let mut rest = DATA.get(2..)?;
    for code in 32..c as u32 + 1 {
        let (&[advance, width], after) = rest.split_first_chunk::<2>()?;
        let (levels, after) = after.split_at_checked((usize::from(width) * height()).div_ceil(2))?;
        if code == c as u32 {
            return Some(Glyph { advance: advance.into(), width: width.into(), levels });
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_there() {
        let all: String = (' '..='~').collect();
        assert_eq!(glyphs(&all).count(), 95);
        assert_eq!(glyphs("é").count(), 1);
        for (c, g) in all.chars().zip(glyphs(&all)) {
            let ink = (0..g.width * height()).filter(|i| g.coverage(*i) > 7).count();
            assert!((ink > 3) != (c == ' ') && g.advance > 3, "{c}: {ink}");
        }
        assert!(width("loss") > width("l") * 4 - 20 && width("") == 0);
    }
}
