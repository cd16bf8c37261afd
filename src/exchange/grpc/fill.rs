//! Arrays out of the chunks that come.

use super::wire::Chunk;
use half::f16;

/// Fills two arrays, one after the other.
pub(crate) struct Fill<'a> {
    arrays: [&'a mut Vec<u32>; 2],
    lengths: [usize; 2],
    /// Which array comes, and how much of it has.
    array: usize,
    at: usize,
}

impl<'a> Fill<'a> {
    /// Of these lengths. Arrays keep their memory, and grow as words come: nothing is taken for what is only announced.
    pub fn new(arrays: [&'a mut Vec<u32>; 2], lengths: [usize; 2]) -> Self {
        let mut fill = Fill { arrays, lengths, array: 0, at: 0 };
        (0..2).for_each(|i| fill.arrays[i].truncate(lengths[i]));
        fill.skip();
        fill
    }

    /// Whether all have come.
    pub fn is_full(&self) -> bool {
        self.array == 2
    }

    /// Takes the next words. Fails on more than are due.
    pub fn take(&mut self, chunk: &Chunk) -> Result<(), &'static str> {
        let n = match (chunk.full.len(), chunk.half.len()) {
            (0, 0) => chunk.count as usize,
            (0, half) => half / 2,
            (full, _) => full / 4,
        };
        let whole = chunk.full.len().is_multiple_of(4) && chunk.half.len().is_multiple_of(2) && chunk.pairs.len().is_multiple_of(8);
        put(chunk, self.room(if whole { n } else { 0 })?)?;
        self.took(n);
        Ok(())
    }

    /// Where so many words that come next shall lie. Fails on more than are due.
    pub fn room(&mut self, n: usize) -> Result<&mut [u32], &'static str> {
        let left = self.lengths.get(self.array).map_or(0, |l| l - self.at);
        if n == 0 || n > left || n > super::codec::CHUNK {
            return Err("a chunk of another length than is due");
        }
        let array = &mut *self.arrays[self.array];
        if array.len() < self.at + n {
            array.resize(self.at + n, 0);
        }
        Ok(&mut array[self.at..self.at + n])
    }

    /// So many words lie where [`Fill::room`] has said.
    pub fn took(&mut self, n: usize) {
        self.at += n;
        self.skip();
    }

    fn skip(&mut self) {
        while self.array < 2 && self.at == self.lengths[self.array] {
            (self.array, self.at) = (self.array + 1, 0);
        }
    }
}

fn put(chunk: &Chunk, to: &mut [u32]) -> Result<(), &'static str> {
    let word = |b: &[u8]| b.first_chunk::<4>().map_or(0, |b| u32::from_le_bytes(*b));
    if !chunk.full.is_empty() {
        if cfg!(target_endian = "little") {
            bytemuck::cast_slice_mut::<u32, u8>(to).copy_from_slice(&chunk.full);
        } else {
            to.iter_mut().zip(chunk.full.chunks_exact(4)).for_each(|(to, b)| *to = word(b));
        }
    } else if !chunk.half.is_empty() {
        let halves = chunk.half.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32().to_bits());
        to.iter_mut().zip(halves).for_each(|(to, w)| *to = w);
    } else {
        to.fill(0);
        for pair in chunk.pairs.chunks_exact(8) {
            *to.get_mut(word(pair) as usize).ok_or("a position beyond its chunk")? = word(&pair[4..]);
        }
    }
    Ok(())
}
