//! The kernels of a program as files: for an editor, a browser, or the compiler of a GPU's vendor.

use super::program::Program;
use crate::disk;
use crate::error::{Error, Result};
use crate::kernels::files_of;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

impl Program {
    /// Writes each distinct kernel to a file of its own in this folder, which is made if it is not there: the whole text that a GPU is given,
    /// with a first line that says from which files of `shaders/` it is made. Gives the files, in the order of the launches.
    ///
    /// A file is named as `explain()` names its kernel; further kernels of one name have a number.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let data = Dataset::new(HostTensor::f32([4, 2], vec![0.0; 8])?, HostTensor::f32([4, 1], vec![0.0; 4])?)?;
    /// let net = Sequential::new().add(Linear::new(1));
    /// let model = net.compile(Compile::new(Sgd::default(), Mse::new()).input([2]).device(Device::cpu()))?;
    /// let folder = std::env::temp_dir().join("gradus-kernels");
    /// let files = model.prepare(&data, 4)?.write_sources(&folder)?;
    /// assert!(files.contains(&folder.join("gemm_nt.wgsl")));
    /// # std::fs::remove_dir_all(folder).unwrap();
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn write_sources(&self, folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        let mut seen: HashSet<String> = HashSet::new();
        let mut names: HashMap<String, usize> = HashMap::new();
        let mut written = Vec::new();
        for l in &self.launches {
            let text = l.kernel.source();
            // a custom op without a kernel has none
            if text.is_empty() || !seen.insert(text.clone()) {
                continue;
            }
            let name = l.kernel.name();
            let count = names.entry(name.clone()).and_modify(|n| *n += 1).or_insert(1);
            let number = if *count > 1 { format!("_{count}") } else { String::new() };
            let path = folder.as_ref().join(format!("{}{number}.wgsl", plain(&name)));
            let from = match files_of(&text) {
                files if files.is_empty() => format!("the kernel of the custom op `{name}`"),
                files => files.join(", "),
            };
            let first = format!("// gradus: {name}, made from {from}\n");
            disk::make_folder(&path)
                .and_then(|()| disk::replace(&path, &[first.as_bytes(), text.as_bytes()], false))
                .map_err(|e| Error::io("write", &path, e))?;
            written.push(path);
        }
        Ok(written)
    }
}

/// A name that is one on every system: of a custom op it is the user's.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}
