//! From data to the input that a model declares.

use crate::graph::Port;
use crate::net::{Layout, OnnxConfig};
use candle_core::Tensor;
use sconce_tensor_core::nn::Normalize;
use sconce_tensor_core::{Error, Result};

/// From data to the model's input.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) example: Vec<usize>,
    layout: Layout,
    range: (f64, f64),
    normalize: Option<Normalize>,
    /// The shape of one example as the model declares it, where it is another one.
    reshape: Option<Vec<usize>>,
}

impl Form {
    /// Compares the examples with the declared input.
    ///
    /// # Errors
    /// Elements that have no gradient, sizes that do not fit.
    pub(crate) fn new(input: &Port, cfg: &OnnxConfig, notes: &mut Vec<String>) -> Result<Self> {
        let example = cfg.example.clone();
        let bytes = input.element == "uint8";
        if !bytes && !input.element.contains("float") {
            let reason =
                format!("`{}` has elements of {}; gradients need floating-point numbers", input.name, input.element);
            return Err(Error::value("input", reason));
        }
        if bytes {
            notes.push("the input is one of bytes: it is attacked as real numbers in [0, 255], so deployed, with rounding, the model may differ".to_owned());
        }
        let declared = input.shape.get(1..).unwrap_or_default();
        let known = |axes: &[usize], d: &[Result<usize, String>]| {
            axes.len() == d.len() && axes.iter().zip(d).all(|(a, d)| d.as_ref().map_or(true, |d| d == a))
        };
        let channels = |d: Option<&Result<usize, String>>| matches!(d, Some(Ok(1 | 3 | 4)));
        let read = match declared {
            // The layout that fits the example; where both do, what the sizes look like.
            [first, _, last] if !channels(Some(first)) && channels(Some(last)) => match example[..] {
                [c, h, w] if first.is_ok() || (!known(&example, declared) && known(&[h, w, c], declared)) => {
                    Layout::Nhwc
                }
                _ => Layout::Nchw,
            },
            _ => Layout::Nchw,
        };
        let layout = cfg.layout.unwrap_or(read);
        if cfg.layout.is_none() && layout == Layout::Nhwc {
            notes.push("the input has its channels last (NHWC)".to_owned());
        }
        let given = match (layout, &example[..]) {
            (Layout::Nhwc, [c, h, w]) => vec![*h, *w, *c],
            _ => example.clone(),
        };
        let mut reshape = None;
        if !declared.is_empty() && !known(&given, declared) {
            let total: usize = given.iter().product();
            let sizes: Option<Vec<usize>> = declared.iter().map(|d| d.as_ref().ok().copied()).collect();
            match sizes {
                // One axis of all elements, or one less for images of one channel.
                Some(s)
                    if s.iter().product::<usize>() == total
                        && (s.len() == 1 || s.len() + 1 == given.len() || s.len() == given.len() + 1)
                        && s.len() != given.len() =>
                {
                    notes.push(format!("each example is reshaped from {given:?} to {s:?}"));
                    reshape = Some(s);
                }
                _ => {
                    let reason = format!(
                        "the model's input `{}` is {}, but an example is {given:?}{}; bring the images to the model's size",
                        input.name,
                        input.describe(),
                        if layout == Layout::Nhwc { " with its channels last" } else { "" }
                    );
                    return Err(Error::value("input", reason));
                }
            }
        }
        let range = cfg.range.unwrap_or(if bytes { (0.0, 255.0) } else { (0.0, 1.0) });
        Ok(Self { example, layout, range, normalize: cfg.normalize.clone(), reshape })
    }

    /// A batch of data as the model expects it.
    ///
    /// # Errors
    /// candle's only.
    pub(crate) fn prepare(&self, x: &Tensor) -> Result<Tensor> {
        let (lo, hi) = self.range;
        let mut x = match &self.normalize {
            Some(n) => n.forward(x)?,
            None if self.range == (0.0, 1.0) => x.clone(),
            None => x.affine(hi - lo, lo)?,
        };
        if self.layout == Layout::Nhwc && x.rank() == 4 {
            x = x.permute((0, 2, 3, 1))?.contiguous()?;
        }
        if let Some(shape) = &self.reshape {
            x = x.contiguous()?.reshape([&[x.dim(0)?], shape.as_slice()].concat())?;
        }
        Ok(x)
    }
}
