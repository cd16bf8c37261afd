//! A model's parameters and buffers from and to the host, whichever arena they lie in.

use super::core::Core;
use super::face::wait_for;
use super::journal::Arenas;
use super::parameter_words::ParameterWords;
use super::shared::Model;
use crate::error::{Error, Result};
use crate::plan::{ArenaEntry, BufferEntry, BufferId};
use crate::tensor::HostTensor;

impl Model {
    /// A parameter's values.
    pub fn parameter(&self, name: &str) -> Result<HostTensor> {
        self.lock().parameter(name)
    }

    /// Sets a parameter's values: f32 of its shape. Frozen ones can be set too.
    pub fn set_parameter(&mut self, name: &str, values: &HostTensor) -> Result<()> {
        self.core().set_parameter(name, values)
    }

    /// The values of a buffer: state that is kept from step to step and not trained, as `0.running_mean`.
    pub fn buffer(&self, name: &str) -> Result<HostTensor> {
        self.lock().buffer(name)
    }

    /// Sets the values of a buffer: f32 of its shape.
    pub fn set_buffer(&mut self, name: &str, values: &HostTensor) -> Result<()> {
        self.core().set_buffer(name, values)
    }
}

impl Core {
    /// The parameters' names, in the order they were made.
    pub(crate) fn parameter_names(&self) -> impl Iterator<Item = &str> {
        self.engine.arena.entries.iter().map(|e| e.name.as_str())
    }

    /// The buffers' names, in the order they were made.
    pub(crate) fn buffer_names(&self) -> impl Iterator<Item = &str> {
        self.engine.arena.buffers.iter().map(|e| e.name.as_str())
    }

    pub(crate) fn parameter(&mut self, name: &str) -> Result<HostTensor> {
        let e = self.entry(name)?;
        let words = self.read_words(e.buffer(), e.offset, e.shape.size())?;
        own_values(&e, &words)
    }

    pub(crate) fn set_parameter(&mut self, name: &str, values: &HostTensor) -> Result<()> {
        let e = self.entry(name)?;
        match values.as_f32() {
            Some(v) if *values.shape() == e.shape => {
                let words: Vec<u32> = e.store(v).iter().map(|x| x.to_bits()).collect();
                if let Some(average) = self.engine.average().filter(|_| !e.frozen) {
                    self.write_words(average, e.offset, &words)?;
                }
                self.write_words(e.buffer(), e.offset, &words)
            }
            _ => Err(Error::ShapeMismatch {
                op: "set_parameter".into(),
                problem: format!("`{name}` is f32 {}, the values are {} {}", e.shape, values.dtype(), values.shape()),
                at: name.into(),
                help: "give f32 values of the parameter's shape".into(),
            }),
        }
    }

    pub(crate) fn entry(&self, name: &str) -> Result<ArenaEntry> {
        self.engine.arena.find(name).cloned().ok_or_else(|| Error::NotFound {
            what: "parameter".into(),
            name: name.into(),
            at: "the model".into(),
            known: self.engine.arena.entries.iter().map(|e| e.name.clone()).collect(),
        })
    }

    pub(crate) fn buffer(&mut self, name: &str) -> Result<HostTensor> {
        let e = self.buffer_entry(name)?;
        let words = self.read_words(BufferId::Buffers, e.offset, e.shape.size())?;
        HostTensor::f32(e.shape, words.into_iter().map(f32::from_bits).collect())
    }

    pub(crate) fn set_buffer(&mut self, name: &str, values: &HostTensor) -> Result<()> {
        let e = self.buffer_entry(name)?;
        match values.as_f32() {
            Some(v) if *values.shape() == e.shape => {
                let words: Vec<u32> = v.iter().map(|x| x.to_bits()).collect();
                self.write_words(BufferId::Buffers, e.offset, &words)
            }
            _ => Err(Error::ShapeMismatch {
                op: "set_buffer".into(),
                problem: format!("`{name}` is f32 {}, the values are {} {}", e.shape, values.dtype(), values.shape()),
                at: name.into(),
                help: "give f32 values of the buffer's shape".into(),
            }),
        }
    }

    fn buffer_entry(&self, name: &str) -> Result<BufferEntry> {
        self.engine.arena.find_buffer(name).cloned().ok_or_else(|| Error::NotFound {
            what: "buffer".into(),
            name: name.into(),
            at: "the model".into(),
            known: self.buffer_names().map(String::from).collect(),
        })
    }

    /// All parameters and buffers as they are now.
    pub(crate) fn read_parameters(&mut self) -> Result<ParameterWords> {
        let trainable = self.read_words(BufferId::Parameters, 0, self.engine.arena.size)?;
        let frozen = if self.engine.arena.frozen > 0 { self.read_words(BufferId::Frozen, 0, self.engine.arena.frozen)? } else { vec![] };
        let buffers =
            if self.engine.arena.buffered > 0 { self.read_words(BufferId::Buffers, 0, self.engine.arena.buffered)? } else { vec![] };
        Ok(ParameterWords { trainable, frozen, buffers })
    }

    /// Sets all parameters and buffers, and the parameters' average where one is kept.
    pub(crate) fn write_parameters(&mut self, words: &ParameterWords) -> Result<()> {
        self.write_words(BufferId::Parameters, 0, &words.trainable)?;
        if let Some(average) = self.engine.average() {
            self.write_words(average, 0, &words.trainable)?;
        }
        if !words.frozen.is_empty() {
            self.write_words(BufferId::Frozen, 0, &words.frozen)?;
        }
        if words.buffers.is_empty() { Ok(()) } else { self.write_words(BufferId::Buffers, 0, &words.buffers) }
    }

    /// Reads the buffers that outlive a step, those that `which` picks. Nothing may be under way.
    pub(crate) fn read_arenas(&mut self, which: impl Fn(BufferId) -> bool) -> Result<Arenas> {
        wait_for(self.read_arenas_async(which))
    }

    /// As [`Core::read_arenas`].
    pub(crate) async fn read_arenas_async(&mut self, which: impl Fn(BufferId) -> bool) -> Result<Arenas> {
        let wanted: Vec<(BufferId, usize)> = self.engine.lasting().into_iter().filter(|(id, _)| which(*id)).collect();
        let mut losses = 0;
        loop {
            let read = self.engine.read_all(&wanted).await;
            if let Some(arenas) = self.survived(&mut losses, read)? {
                return Ok(arenas);
            }
        }
    }

    /// Writes what `read_arenas` read.
    pub(crate) fn write_arenas(&mut self, all: &Arenas) -> Result<()> {
        all.iter().try_for_each(|(id, words)| self.write_words(*id, 0, words))
    }
}

/// The values of a parameter, or what is laid out as they are, from the words of its arena.
pub(crate) fn own_values(e: &ArenaEntry, words: &[u32]) -> Result<HostTensor> {
    HostTensor::f32(e.shape.clone(), e.restore(words).iter().map(|w| f32::from_bits(*w)).collect())
}
