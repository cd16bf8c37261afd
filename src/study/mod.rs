#![doc = include_str!("../../docs/studies.md")]

mod axis;
mod cells;
mod journal;
mod path;
mod power;
mod print;
mod record;
mod run;
mod settings;
mod student;
mod table;

pub use axis::{Arm, Axis};
pub use power::Power;
pub use record::Record;
pub use run::{Event, RunOptions};
pub use settings::{Small, Study};
pub use table::{Difference, Row, Summary, Table};
