//! In the place of the reading where gradus was built without the feature `data-csv` or `data-parquet`.

use super::made::Table;
use crate::error::{Error, Result};
use std::path::Path;

fn without(what: &str, feature: &str, path: &Path) -> Result<Table> {
    Err(Error::Unsupported {
        what: format!("reading {what}"),
        at: format!("{}; gradus was built without the feature `{feature}`", path.display()),
        help: format!("build with `--features {feature}`"),
    })
}

#[cfg(not(feature = "data-csv"))]
pub(super) fn read(_: &super::settings::Csv, path: &Path) -> Result<Table> {
    without("CSV", "data-csv", path)
}

#[cfg(not(feature = "data-parquet"))]
pub(super) fn read_parquet(_: &super::parquet::Parquet, path: &Path) -> Result<Table> {
    without("Parquet", "data-parquet", path)
}
