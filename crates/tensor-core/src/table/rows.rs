//! A table in memory.

use super::{Column, Kind, Labels, Schema};
use crate::{Error, Result};
use candle_core::{Device, Tensor};

/// A table in memory, row after row.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    schema: Schema,
    values: Vec<f64>,
}

impl Table {
    /// A table from values in the form of [`Schema::read`].
    ///
    /// # Errors
    /// No rows, or an incomplete last row.
    pub fn new(schema: Schema, values: Vec<f64>) -> Result<Self> {
        let width = schema.columns.len();
        if values.is_empty() || !values.len().is_multiple_of(width) {
            return Err(Error::value("table", format!("{} values in rows of {width}", values.len())));
        }
        Ok(Self { schema, values })
    }

    /// The columns.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.schema.columns.len()
    }

    /// The values as (N, D) in f64: NaN for a missing value, the index for a category.
    ///
    /// # Errors
    /// candle's only.
    pub fn tensor(&self) -> Result<Tensor> {
        let shape = (self.rows(), self.schema.columns.len());
        Ok(Tensor::from_slice(&self.values, shape, &Device::Cpu)?)
    }

    /// The row, counted from 0, and the column of the first missing value.
    pub fn gap(&self) -> Option<(usize, &Column)> {
        let (at, width) = (self.values.iter().position(|v| v.is_nan())?, self.schema.columns.len());
        Some((at / width, &self.schema.columns[at % width]))
    }

    /// Removes a column; returns the table without it, the column, and its values.
    ///
    /// # Errors
    /// A column that does not exist or is the only one.
    pub fn take(self, name: &str) -> Result<(Self, Column, Vec<f64>)> {
        let (at, width) = (self.schema.index(name)?, self.schema.columns.len());
        if width == 1 {
            return Err(Error::value("table", format!("has no column beside `{name}`")));
        }
        let taken = self.values.iter().skip(at).step_by(width).copied().collect();
        let rest = self.values.iter().enumerate().filter(|(i, _)| i % width != at).map(|(_, v)| *v).collect();
        let mut columns = self.schema.columns;
        let column = columns.remove(at);
        Ok((Self { schema: Schema { columns }, values: rest }, column, taken))
    }

    /// Removes the column of labels; returns the table without it, and for each row whether its label is positive, that is not
    /// among `negative`, or `None` if the label is missing. The rule is that of [`Labels`].
    ///
    /// # Errors
    /// As [`Table::take`] and [`Labels::finish`].
    pub fn labelled(self, label: &str, negative: &[String]) -> Result<(Self, Vec<Option<bool>>)> {
        let (rest, column, values) = self.take(label)?;
        let mut rule = Labels::new(label, negative);
        let judge = |(i, v): (usize, &f64)| match &column.kind {
            Kind::Category(_) => rule.of_text(column.category(*v).unwrap_or_default(), i + 1),
            Kind::Number | Kind::Date => rule.of_number(*v, i + 1),
        };
        let labels = values.iter().enumerate().map(judge).collect();
        rule.finish()?;
        Ok((rest, labels))
    }

    /// The table without some columns.
    ///
    /// # Errors
    /// As [`Table::take`].
    pub fn without(self, names: &[String]) -> Result<Self> {
        names.iter().try_fold(self, |t, n| Ok(t.take(n)?.0))
    }
}
