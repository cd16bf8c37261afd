//! A field's vectors as the model sees them: what layers that look at the data before training read.

use super::Dataset;
use crate::error::{Error, Result};
use crate::tensor::DType;

impl Dataset {
    /// Every vector along the last axis of a field, as the model sees it, with its row: of the set's own rows, a bounded number at a time.
    pub(crate) fn each_vector(&self, field: &str, mut f: impl FnMut(usize, &[f64])) -> Result<()> {
        let at = format!("the field `{field}` of the data set `{}`", self.name);
        let Some(i) = self.looks.iter().position(|l| *l.name == *field) else {
            let known = self.looks.iter().map(|l| l.name.to_string()).collect();
            return Err(Error::NotFound { what: "field".into(), name: field.into(), at, known });
        };
        let look = self.looks[i].field();
        if look.one_hot.is_some() {
            let help = "take its classes as they are stored".into();
            return Err(Error::Unsupported { what: "reading one-hot rows".into(), at, help });
        }
        if look.image.is_some() || look.channels.is_some() {
            let help = "take the values before `center_crop` and `normalize`".into();
            return Err(Error::Unsupported { what: "reading the middle of images, or normalised channels".into(), at, help });
        }
        let (words, width, stored) = (look.words(), look.width(), self.sources[i].dtype());
        let vector = look.row.dims().last().copied().unwrap_or(1);
        let mut values = vec![0.0; width];
        self.each_chunk(i, |first, chunk| {
            for (row, stored_row) in chunk.chunks_exact(words).enumerate() {
                for (e, value) in values.iter_mut().enumerate() {
                    let raw = match stored {
                        DType::U8 => (stored_row[e / 4] >> (8 * (e % 4)) & 255) as f32,
                        DType::F32 => f32::from_bits(stored_row[e]),
                        _ => stored_row[e] as f32,
                    };
                    *value = f64::from(if look.keep_integer { raw } else { raw * look.scale + look.shift });
                }
                values.chunks_exact(vector).for_each(|v| f(first + row, v));
            }
            Ok(())
        })
    }
}
