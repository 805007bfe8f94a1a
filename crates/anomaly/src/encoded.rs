//! Preprocessing that is saved with the detector: categories and missing values become numeric features.

use crate::detector::around;
use crate::rows::in_blocks;
use crate::{Conformal, Detector, Error, Loaded, Method, Result, State, TrainingRows};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::Rng;
use sconce_tensor_core::table::{Column, Kind, Schema, date_features};
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

/// A method for tables with categories, dates and missing values. A number stays a feature; a category becomes one indicator for
/// each of its names (one-hot encoding); a date becomes the three numbers of [`date_features`]. The schema is saved with the
/// detector.
///
/// A row with a name that no normal training example has is at least as strange as the same row with the rarest name that they
/// have, whatever the method: its score is the largest of that with all indicators 0 (or the name's own indicator, if the schema
/// has it) and those with each of the rarest names instead (the first sixteen of them, if several are equally rare). The same
/// holds for a missing category where no normal training example lacks it.
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
    /// For each category how many normal training examples have each name, a name that the schema lacks, and none; empty for other
    /// columns.
    /// Detectors of earlier versions have no counts: all names are alike for them.
    #[serde(default)]
    counts: Vec<Vec<usize>>,
}

/// Equally rare names that stand for one that did not occur.
const MOST_RARE: usize = 16;

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

/// The slot of a category's value in its counts.
fn slot(v: f64, names: usize) -> usize {
    if v.is_nan() { names + 1 } else { (v as usize).min(names) }
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
        let column = |j: usize| values.iter().skip(j).step_by(width).copied();
        let fill = |(j, c): (usize, &Column)| match c.kind {
            Kind::Category(_) => Ok(0.0),
            Kind::Number | Kind::Date => {
                let found = median(&mut column(j).filter(|v| !v.is_nan()).collect::<Vec<f64>>());
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
        let count = |(j, c): (usize, &Column)| match &c.kind {
            Kind::Category(names) => {
                let mut counts = vec![0; names.len() + 2];
                column(j).for_each(|v| counts[slot(v, names.len())] += 1);
                counts
            }
            Kind::Number | Kind::Date => Vec::new(),
        };
        let fill = schema.columns().iter().enumerate().map(fill).collect::<Result<_>>()?;
        let counts = schema.columns().iter().enumerate().map(count).collect();
        Ok(Self { schema: schema.clone(), missing, fill, counts })
    }

    /// The number of features of each column.
    fn widths(&self) -> impl Iterator<Item = usize> {
        self.schema.columns().iter().map(|c| c.kind.features())
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
                    Kind::Number | Kind::Date if v.is_infinite() => return Err(bad(&v.to_string())),
                    Kind::Number => out.push(if v.is_nan() { *fill } else { *v }),
                    Kind::Date => out.extend(date_features(if v.is_nan() { *fill } else { *v })),
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

    /// The rarest names of a category among the normal training examples; none for a detector without counts.
    fn rarest(&self, column: usize) -> impl Iterator<Item = f64> {
        let counts = self.counts.get(column).map_or(&[][..], Vec::as_slice);
        let names = &counts[..counts.len().saturating_sub(2)];
        let least = names.iter().copied().filter(|c| *c > 0).min();
        let equal = names.iter().enumerate().filter(move |(_, c)| Some(**c) == least);
        equal.map(|(i, _)| i as f64).take(MOST_RARE)
    }

    /// Variants of the rows with a category that no normal training example has: the same row with the rarest names instead, and
    /// before them the index of the row in `values`.
    fn variants(&self, values: &[f64]) -> (Vec<u32>, Vec<f64>) {
        let (mut of, mut variants) = (Vec::new(), Vec::new());
        for (i, row) in values.chunks_exact(self.schema.columns().len()).enumerate() {
            let unseen = |(v, counts): (&f64, &Vec<usize>)| {
                counts.len().checked_sub(2).is_some_and(|names| counts[slot(*v, names)] == 0)
            };
            let new: Vec<(usize, Vec<f64>)> = (row.iter().zip(&self.counts).enumerate())
                .filter(|(_, cell)| unseen(*cell))
                .map(|(j, _)| (j, self.rarest(j).collect()))
                .collect();
            for t in 0..new.iter().map(|(_, names)| names.len()).max().unwrap_or(0) {
                let at = variants.len();
                of.push(i as u32);
                variants.extend_from_slice(row);
                for (j, names) in new.iter().filter(|(_, names)| !names.is_empty()) {
                    variants[at + j] = names[t % names.len()];
                }
            }
        }
        (of, variants)
    }
}

/// Variants that are scored at a time.
const MOST_VARIANTS: usize = 4096;

impl Fitted {
    /// The scores of rows, and the rows that have them: a row with a new category may be replaced by one of its variants. `first`
    /// is the number of the first row, for messages.
    fn scored(&self, x: &Tensor, first: usize) -> Result<(Vec<f64>, Vec<f64>)> {
        let width = self.features();
        let mut scores = self.inner.score(&self.code.apply(x, first)?)?.to_vec1::<f64>()?;
        let mut values = rows(x, width)?;
        let (of, variants) = self.code.variants(&values);
        for (of, variants) in of.chunks(MOST_VARIANTS).zip(variants.chunks(MOST_VARIANTS * width)) {
            let changed = Tensor::from_slice(variants, (of.len(), width), x.device())?;
            let found = self.inner.score(&self.code.apply(&changed, first)?)?.to_vec1::<f64>()?;
            for ((i, score), variant) in of.iter().zip(found).zip(variants.chunks_exact(width)) {
                let i = *i as usize;
                if score > scores[i] {
                    scores[i] = score;
                    values[i * width..][..width].copy_from_slice(variant);
                }
            }
        }
        Ok((scores, values))
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
        in_blocks(x, |x, first| Ok(Tensor::new(self.scored(x, first)?.0, &Device::Cpu)?))
    }

    fn contributions(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let (_, values) = self.scored(x, 0)?;
        let x = Tensor::from_slice(&values, x.dims(), x.device())?;
        let Some(each) = self.inner.contributions(&self.code.apply(&x, 0)?)? else { return Ok(None) };
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
