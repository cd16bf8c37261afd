//! In the place of `read.rs` where gradus was built without the feature `data-csv`.

use super::Table;
use super::settings::Csv;
use crate::error::{Error, Result};
use std::path::Path;

pub(super) fn read(_: &Csv, path: &Path) -> Result<Table> {
    Err(Error::Unsupported {
        what: "reading CSV".into(),
        at: format!("{}; gradus was built without the feature `data-csv`", path.display()),
        help: "build with `--features data-csv`".into(),
    })
}
