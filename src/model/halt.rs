//! The error of a step at which the device has stopped: which number was not finite, and where.

use super::core::Core;
use crate::error::Error;
use crate::plan::{Blocking, BufferId, LogLine};

impl Core {
    /// The error of a step that halted because its loss or a gradient is not finite. Where the loss is scaled no smaller scale has helped.
    /// Nothing may be under way.
    pub(crate) fn halt_error(&mut self, line: Option<&LogLine>, step: u64, epoch: u64) -> Error {
        // the gradients that are there have this step's scale
        if let (Some(s), Some(scale)) = (&mut self.progress.scaler, line.and_then(|l| l.scale)) {
            s.last = scale;
        }
        let (loss, norm) = (line.map(|l| l.loss), line.map_or(f32::NAN, |l| l.grad_norm));
        let scale = self.progress.scaler.map(|s| s.scale);
        match loss {
            Some(loss) if loss.is_finite() => {
                let (parameters, largest) = self.bad_gradients();
                Error::NonFiniteGradient { step, epoch, norm, parameters, largest, scale, cause: None }
            }
            loss => {
                let parameter = self.non_finite_in(BufferId::Parameters).into_iter().next();
                Error::NonFiniteLoss { step, epoch, loss: loss.unwrap_or(f32::NAN), parameter, scale, cause: None }
            }
        }
    }

    /// The parameters whose gradients are not finite. Where all gradients are finite: the parameter with the largest element, and that element.
    fn bad_gradients(&mut self) -> (Vec<String>, Option<f32>) {
        // where gradients are accumulated the bad one may lie in their sum alone
        for id in [BufferId::Gradients, BufferId::Sums] {
            let bad = self.non_finite_in(id);
            if !bad.is_empty() {
                return (bad, None);
            }
        }
        let words = self.engine.session.read(BufferId::Gradients, 0, self.engine.arena.size).unwrap_or_default();
        let sizes = self.engine.trained_in(&words).map(|(name, w)| (name, w.iter().map(|w| f32::from_bits(*w).abs()).fold(0.0, f32::max)));
        let largest = sizes.max_by(|a, b| a.1.total_cmp(&b.1));
        let unscale = self.progress.scaler.map_or(1.0, |s| s.last);
        largest.map_or((vec![], None), |(name, g)| (vec![name.into()], Some(g / unscale)))
    }

    /// The parameters of which this arena holds elements that are not finite. None where the arena cannot be read: an error is being made
    /// already.
    fn non_finite_in(&mut self, id: BufferId) -> Vec<String> {
        let words = self.engine.session.read(id, 0, self.engine.arena.size).unwrap_or_default();
        let bad = |w: &u32| !f32::from_bits(*w).is_finite();
        self.engine.trained_in(&words).filter(|(_, w)| w.iter().any(bad)).map(|(name, _)| name.into()).collect()
    }
}
