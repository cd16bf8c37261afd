//! Errors planted in shaders, for the tests that must notice them.

use super::session::GpuSession;
use crate::error::{Error, Result};
use crate::kernels::Kernel;

impl GpuSession {
    /// Rewrites the source of every kernel before its pipeline is made, for programs prepared from now on: so tests plant errors in shaders.
    /// Fails for a session whose shaders are without wgpu's checks, since a broken text may index anything.
    #[doc(hidden)]
    pub fn plant(&mut self, rewrite: impl Fn(&Kernel, String) -> String + Send + 'static) -> Result<()> {
        if !self.checked {
            return Err(Error::Unsupported {
                what: "rewriting kernels without the shaders' checks".into(),
                at: self.gpu.summary.name.clone(),
                help: "open the session with `checked` set".into(),
            });
        }
        self.planted = Some(Box::new(rewrite));
        Ok(())
    }
}
