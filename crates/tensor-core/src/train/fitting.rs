//! What tasks of one set of parameters share: updates, validation with the best epoch, and the state of all of it.

use super::task::EpochEnd;
use super::{Best, KeepBest};
use crate::optim::{Optimizer, UpdateConfig, Updater};
use crate::store::{Fingerprint, State};
use crate::{Params, Result};

/// An updater and, where a rule asks for it, the best epoch so far.
pub(super) struct Fitting<O: Optimizer> {
    pub(super) updater: Updater<O>,
    pub(super) best: Option<Best>,
}

impl<O: Optimizer> Fitting<O> {
    pub(super) fn new(optimizer: O, cfg: UpdateConfig, keep: Option<KeepBest>) -> Result<Self> {
        Ok(Self { updater: Updater::new(optimizer, cfg)?, best: keep.map(Best::new) })
    }

    /// Measures the parameters, averaged where there is an average, and compares them with the best epoch's.
    pub(super) fn end_epoch(
        &mut self,
        params: &Params,
        epoch: usize,
        measure: impl FnOnce() -> Result<Vec<(String, f64)>>,
    ) -> Result<EpochEnd> {
        params.require_finite()?;
        self.updater.swap_average(params)?;
        let end = measure().and_then(|metrics| {
            let stop = self.best.as_mut().map_or(Ok(false), |b| b.consider(epoch, &metrics, params))?;
            Ok(EpochEnd { metrics, stop })
        });
        // Also after an error.
        self.updater.swap_average(params)?;
        end
    }

    /// Puts the result in place: the best epoch's parameters, else their average, else they stay.
    pub(super) fn finish(&mut self, params: &Params) -> Result<()> {
        match &self.best {
            Some(best) => best.restore_weights(params),
            None => self.updater.swap_average(params),
        }
    }

    pub(super) fn best_epoch(&self) -> Option<usize> {
        self.best.as_ref().and_then(Best::epoch)
    }

    pub(super) fn state(&self, params: &Params) -> Result<State> {
        let state = State::default().with("params", State::of(&(), params)?)?.with("update", self.updater.state()?)?;
        match &self.best {
            Some(best) => state.with("best", best.state()?),
            None => Ok(state),
        }
    }

    pub(super) fn restore(&mut self, params: &Params, mut state: State) -> Result<()> {
        params.restore(&state.take("params")?.into_tensors())?;
        self.updater.restore(params, state.take("update")?)?;
        match &mut self.best {
            Some(best) => best.restore(params, state.take("best")?),
            None => Ok(()),
        }
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        let rule = self.best.as_ref().map_or_else(|| "the last epoch".to_owned(), |b| format!("{:?}", b.rule()));
        Fingerprint::new().with("optimizer", self.updater.describe()).with("keep", rule)
    }
}
