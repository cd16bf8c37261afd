//! In the place of the reading where gradus was built without the feature `data-images`.

use super::ImageFolder;
use crate::data::Dataset;
use crate::error::{Error, Result};
use std::path::Path;

pub(super) fn open(path: &Path, _: &ImageFolder) -> Result<Dataset> {
    Err(Error::Unsupported {
        what: "reading pictures".into(),
        at: format!("{}; gradus was built without the feature `data-images`", path.display()),
        help: "build with `--features data-images`".into(),
    })
}
