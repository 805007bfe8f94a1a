//! A text as parallel streams, the batch of a language model.

use crate::{Error, Result};
use candle_core::{Device, Tensor};

/// A text cut into `rows` streams of equal length; words that do not fill the last step are dropped.
#[derive(Clone, Debug)]
pub struct Streams {
    /// (steps, rows).
    ids: Tensor,
}

impl Streams {
    /// Cuts a text into streams.
    ///
    /// # Errors
    /// [`Error::Value`] if a stream has fewer than two words: one to read and one to predict.
    pub fn new(text: &[u32], rows: usize, device: &Device) -> Result<Self> {
        let steps = text.len() / rows.max(1);
        if rows == 0 || steps < 2 {
            let reason = format!("of {} words is too short for {rows} streams of at least 2 words", text.len());
            return Err(Error::value("text", reason));
        }
        let at = |t: usize| (0..rows).map(move |r| text[r * steps + t]);
        let ids: Vec<u32> = (0..steps).flat_map(at).collect();
        Ok(Self { ids: Tensor::from_vec(ids, (steps, rows), device)? })
    }

    /// Checks that a window is shorter than a stream.
    ///
    /// # Errors
    /// [`Error::Config`] naming `field`.
    pub(super) fn admit(&self, field: &'static str, window: usize) -> Result<()> {
        if window >= 1 && window < self.steps() {
            return Ok(());
        }
        let reason = format!(
            "must be at least 1 and below the {} steps of each of the text's {} streams, got {window}",
            self.steps(),
            self.rows()
        );
        Err(Error::config(field, reason))
    }

    /// The number of words in a stream.
    pub fn steps(&self) -> usize {
        self.ids.dims()[0]
    }

    /// The number of streams.
    pub fn rows(&self) -> usize {
        self.ids.dims()[1]
    }

    /// The words of a window that starts at a step, and the flattened next words; `None` if no word is left to predict.
    ///
    /// # Errors
    /// candle's only.
    pub fn window(&self, from: usize, len: usize) -> Result<Option<(Tensor, Tensor)>> {
        let len = len.min((self.steps() - 1).saturating_sub(from));
        if len == 0 {
            return Ok(None);
        }
        let next = self.ids.narrow(0, from + 1, len)?.flatten_all()?.contiguous()?;
        Ok(Some((self.ids.narrow(0, from, len)?.contiguous()?, next)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_by_hand() -> Result<()> {
        let text: Vec<u32> = (0..11).collect();
        let s = Streams::new(&text, 2, &Device::Cpu)?;
        assert_eq!((s.steps(), s.rows()), (5, 2));
        let (x, y) = s.window(2, 9)?.ok_or_else(|| Error::value("window", "none"))?;
        assert_eq!(x.to_vec2::<u32>()?, [[2, 7], [3, 8]]);
        assert_eq!(y.to_vec1::<u32>()?, [3, 8, 4, 9]);
        assert!(s.window(4, 1)?.is_none());
        assert!(Streams::new(&text, 6, &Device::Cpu).is_err_and(|e| e.to_string().contains("11 words")));
        assert!(s.admit("bptt", 5).is_err_and(|e| e.to_string().contains("below the 5 steps")));
        Ok(())
    }
}
