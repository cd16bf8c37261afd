use crate::tensor::Shape;

/// Tensors of an arena start at multiples of this many elements: 256 bytes even for an f16 copy.
pub const ALIGN: usize = 128;

/// A parameter's place.
#[derive(Debug, Clone, PartialEq)]
pub struct ArenaEntry {
    /// Its full name.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// Its first element.
    pub offset: usize,
}

/// One flat f32 buffer over all parameters; gradients and moments use the same offsets.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Arena {
    /// The parameters, in the order they were made.
    pub entries: Vec<ArenaEntry>,
    /// Elements, gaps included: a multiple of [`ALIGN`].
    pub size: usize,
}

impl Arena {
    /// Lays parameters out one after another.
    pub fn new(parameters: impl IntoIterator<Item = (String, Shape)>) -> Self {
        let mut arena = Arena::default();
        for (name, shape) in parameters {
            let offset = arena.size;
            arena.size += shape.size().next_multiple_of(ALIGN);
            arena.entries.push(ArenaEntry { name, shape, offset });
        }
        arena.size = arena.size.max(ALIGN);
        arena
    }

    /// The parameter of this name.
    pub fn find(&self, name: &str) -> Option<&ArenaEntry> {
        self.entries.iter().find(|e| e.name == name)
    }

    /// Elements without gaps.
    pub fn count(&self) -> usize {
        self.entries.iter().map(|e| e.shape.size()).sum()
    }
}
