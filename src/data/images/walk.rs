//! Which pictures there are.

use crate::error::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders within folders: deeper ones are a link that leads back.
const DEEPEST: usize = 16;

/// A picture's file, and its class.
pub(super) type Picture = (PathBuf, u32);

/// The classes of a folder, and its pictures in order.
pub(super) fn pictures(dir: &Path) -> Result<(Vec<String>, Vec<Picture>)> {
    let none = |problem: String| Error::DataNotFound {
        problem,
        looked: vec![dir.display().to_string()],
        help: "give a folder that has a folder for each class, with PNG or JPEG files in each".into(),
    };
    let (mut names, mut all) = (Vec::new(), Vec::new());
    let (_, classes) = entries(dir)?;
    for (class, folder) in (0..).zip(classes) {
        let before = all.len();
        below(&folder, 0, &mut |path| all.push((path, class)))?;
        if all.len() == before {
            return Err(none(format!("{} has no picture", folder.display())));
        }
        names.push(folder.file_name().unwrap_or_default().to_string_lossy().into_owned());
    }
    if names.is_empty() {
        return Err(none(format!("{} has no folder in it, and each class is one", dir.display())));
    }
    Ok((names, all))
}

/// Every picture of a folder, then those of its folders.
fn below(dir: &Path, depth: usize, found: &mut impl FnMut(PathBuf)) -> Result<()> {
    let (files, folders) = entries(dir)?;
    files.into_iter().filter(|p| is_picture(p)).for_each(&mut *found);
    if depth == DEEPEST && !folders.is_empty() {
        let e = std::io::Error::other(format!("folders lie more than {DEEPEST} deep: is one a link that leads back?"));
        return Err(Error::io("read", dir, e));
    }
    folders.iter().try_for_each(|f| below(f, depth + 1, found))
}

/// The files and the folders of a folder, by the bytes of their names.
fn entries(dir: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let failed = |e| match dir.exists() {
        true => Error::io("read", dir, e),
        false => Error::DataNotFound {
            problem: format!("there is no folder {}", dir.display()),
            looked: vec![dir.display().to_string()],
            help: "give a folder that has a folder for each class".into(),
        },
    };
    let mut all = fs::read_dir(dir).and_then(|d| d.collect::<Result<Vec<_>, _>>()).map_err(failed)?;
    all.retain(|e| !e.file_name().as_encoded_bytes().starts_with(b"."));
    all.sort_by_key(fs::DirEntry::file_name);
    // a link is what it leads to
    Ok(all.into_iter().map(|e| e.path()).partition(|p| !p.is_dir()))
}

fn is_picture(path: &Path) -> bool {
    path.extension().is_some_and(|e| ["png", "jpg", "jpeg"].iter().any(|known| e.eq_ignore_ascii_case(known)))
}
