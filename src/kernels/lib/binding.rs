//! How a kernel uses each of its buffers.

/// How a kernel uses a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// A uniform: the state.
    Uniform,
    /// Storage, only read.
    Read,
    /// Storage, written (and perhaps read).
    Write,
}

/// For each of a kernel's results the first one that lies in the same buffer. They share its binding: WebGPU forbids a buffer that one
/// dispatch binds twice to write.
pub fn shared<T: PartialEq>(buffers: &[T]) -> Vec<usize> {
    buffers.iter().enumerate().map(|(i, b)| buffers.iter().position(|x| x == b).unwrap_or(i)).collect()
}

/// Results that have a binding of their own.
pub(crate) fn owners(via: &[usize]) -> usize {
    via.iter().enumerate().filter(|&(i, &v)| i == v).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_one_buffer_share_a_binding() {
        assert_eq!(shared(&['a', 'b', 'a', 'c', 'b']), [0, 1, 0, 3, 1]);
        assert_eq!(owners(&shared(&['a', 'b', 'a', 'c', 'b'])), 3);
    }
}
