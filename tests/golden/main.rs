//! What gradus computes against files of numbers that others made: PyTorch, scikit-learn, Keras, papers. The `make*.py` beside wrote them.

#[path = "../common/mod.rs"]
mod common;
mod convolution;
mod hashed;
mod initialisers;
mod layer;
mod losses;
mod models;
mod normalisation;
mod optimizers;
mod pytorch;
mod schedules;
mod window;
