//! Preprocessing that is saved with the detector: categories and missing values become numeric features.

use crate::detector::around;
use crate::rows::in_blocks;
use crate::{Conformal, Detector, Error, Loaded, Method, Result, State, TrainingRows};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::Rng;
use sconce_tensor_core::table::{Kind, Schema};
use serde::{Deserialize, Serialize};

/// How missing values (NaN) are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// A missing value is an error with its row and column.
    #[default]
    Refuse,
    /// A missing number is replaced by the median of the column over the normal training examples; a missing category has no
    /// indicator set.
    Impute,
}

/// A method for tables with categories and missing values. A number stays a feature; a category becomes one indicator for each
/// of its names (one-hot encoding; all indicators are 0 for a name that did not occur in training). The schema is saved with
/// the detector.
///
/// An example is a row as [`sconce_tensor_core::table::Table::tensor`] gives it. Contributions are summed over the indicators
/// of a category, so that there is one contribution for each column.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use sconce_anomaly::{Encoded, Knn, KnnConfig, Method, Missing, TrainingRows};
/// use sconce_tensor_core::table::{Column, Kind, Schema};
/// use sconce_tensor_core::Rng;
/// let colour = Kind::Category(vec!["blue".into(), "red".into()]);
/// let schema = Schema::new(vec![
///     Column { name: "size".into(), kind: Kind::Number },
///     Column { name: "colour".into(), kind: colour },
/// ])?;
/// let x = Tensor::new(&[[1f64, 1.0], [f64::NAN, 1.0], [3.0, 1.0], [2.0, 0.0]], &Device::Cpu)?;
/// let knn = Knn::new(KnnConfig { neighbours: 1, ..Default::default() })?;
/// let fitted = Encoded::new(knn, schema, Missing::Impute).fit(&TrainingRows::normal(&x), &Rng::new(0))?;
/// // The missing value is filled with the median, 2.
/// let s = fitted.score(&Tensor::new(&[[2f64, 1.0], [f64::NAN, 0.0]], &Device::Cpu)?)?.to_vec1::<f64>()?;
/// assert_eq!(s, [0.0, 0.0]);
/// # Ok::<(), sconce_anomaly::Error>(())
/// ```
#[derive(Debug)]
pub struct Encoded<M> {
    method: M,
    schema: Schema,
    missing: Missing,
}

impl<M: Method> Encoded<M> {
    /// `method` on the encoded columns of a schema.
    pub fn new(method: M, schema: Schema, missing: Missing) -> Self {
        Self { method, schema, missing }
    }
}

#[derive(Debug)]
struct Fitted {
    code: Code,
    inner: Box<dyn Detector>,
}

/// Maps rows of a table to features.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Code {
    schema: Schema,
    missing: Missing,
    /// The value that replaces a missing number, for each column; 0 for categories.
    fill: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
struct Values {
    code: Code,
    inner: String,
    values: serde_json::Value,
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => None,
        _ if n % 2 == 1 => Some(values[n / 2]),
        _ => Some(0.5 * (values[n / 2 - 1] + values[n / 2])),
    }
}

fn rows(x: &Tensor, width: usize) -> Result<Vec<f64>> {
    match x.dims() {
        [n, d] if *d == width && *n > 0 => {
            Ok(x.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
        }
        other => Err(Error::shape("examples", format!("(N, {width}): the columns of the schema, N at least 1"), other)),
    }
}

impl Code {
    fn of(schema: &Schema, missing: Missing, normals: &Tensor) -> Result<Self> {
        let width = schema.columns().len();
        let values = rows(normals, width)?;
        let fill = |(j, c): (usize, &sconce_tensor_core::table::Column)| match c.kind {
            Kind::Category(_) => Ok(0.0),
            Kind::Number => {
                let there = values.iter().skip(j).step_by(width).filter(|v| !v.is_nan());
                let found = median(&mut there.copied().collect::<Vec<f64>>());
                // With `Missing::Refuse` the error comes when the rows are encoded.
                let none = || {
                    Error::value(
                        format!("column `{}`", c.name),
                        "no normal example has a value in this column, so there is no median to impute",
                    )
                };
                if missing == Missing::Impute { found.ok_or_else(none) } else { Ok(0.0) }
            }
        };
        let fill = schema.columns().iter().enumerate().map(fill).collect::<Result<_>>()?;
        Ok(Self { schema: schema.clone(), missing, fill })
    }

    /// The number of features of each column.
    fn widths(&self) -> impl Iterator<Item = usize> {
        self.schema.columns().iter().map(|c| match &c.kind {
            Kind::Number => 1,
            Kind::Category(names) => names.len(),
        })
    }

    /// Encodes rows; `first` is the number of the first row, for messages.
    fn apply(&self, x: &Tensor, first: usize) -> Result<Tensor> {
        let columns = self.schema.columns();
        let values = rows(x, columns.len())?;
        let width: usize = self.widths().sum();
        let mut out = Vec::with_capacity(values.len() / columns.len() * width);
        for (i, row) in values.chunks_exact(columns.len()).enumerate() {
            for ((v, c), fill) in row.iter().zip(columns).zip(&self.fill) {
                let bad =
                    |what: &str| Error::value("examples", format!("{what} at row {}, column `{}`", first + i, c.name));
                if v.is_nan() && self.missing == Missing::Refuse {
                    return Err(bad("a missing value (NaN)"));
                }
                match &c.kind {
                    Kind::Number if v.is_infinite() => return Err(bad(&v.to_string())),
                    Kind::Number => out.push(if v.is_nan() { *fill } else { *v }),
                    Kind::Category(names) => {
                        if !v.is_nan() && (v.fract() != 0.0 || *v < 0.0 || *v > names.len() as f64) {
                            return Err(bad(&format!("{v} is not an index of {} categories,", names.len())));
                        }
                        out.extend((0..names.len()).map(|k| f64::from(u8::from(*v == k as f64))));
                    }
                }
            }
        }
        Ok(Tensor::from_vec(out, (values.len() / columns.len(), width), x.device())?)
    }
}

impl<M: Method> Method for Encoded<M> {
    fn fit(&self, train: &TrainingRows<'_>, rng: &Rng) -> Result<Box<dyn Detector>> {
        let code = Code::of(&self.schema, self.missing, &train.normals()?)?;
        let x = code.apply(train.x, 0)?;
        let inner = self.method.fit(&train.with_rows(&x, train.known), rng)?;
        Ok(Box::new(Fitted { code, inner }))
    }
}

pub(crate) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    let Values { code, inner, values } = from.values()?;
    let inner = from.inner(&inner, values)?;
    if code.widths().sum::<usize>() != inner.features() || code.fill.len() != code.schema.columns().len() {
        return Err(Error::value("detector", "the schema does not match the features of the wrapped detector"));
    }
    Ok(Box::new(Fitted { code, inner }))
}

impl Detector for Fitted {
    fn name(&self) -> &'static str {
        "encoded"
    }

    fn features(&self) -> usize {
        self.code.schema.columns().len()
    }

    fn score(&self, x: &Tensor) -> Result<Tensor> {
        in_blocks(x, |x, first| self.inner.score(&self.code.apply(x, first)?))
    }

    fn contributions(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let Some(each) = self.inner.contributions(&self.code.apply(x, 0)?)? else { return Ok(None) };
        let mut at = 0;
        let column = |w: usize| -> Result<Tensor> {
            at += w;
            // A category without any name in training has no feature.
            match w {
                0 => Ok(Tensor::zeros((each.dim(0)?, 1), DType::F64, each.device())?),
                _ => Ok(each.narrow(1, at - w, w)?.sum_keepdim(1)?),
            }
        };
        let columns = self.code.widths().map(column).collect::<Result<Vec<_>>>()?;
        Ok(Some(Tensor::cat(&columns, 1)?))
    }

    fn schema(&self) -> Option<&Schema> {
        Some(&self.code.schema)
    }

    fn calibration(&self) -> Option<&Conformal> {
        self.inner.calibration()
    }

    fn state(&self) -> Result<State> {
        let values = |inner| Values { code: self.code.clone(), inner: self.inner.name().to_owned(), values: inner };
        around(self.inner.state()?, values)
    }
}
