//! The columns of one file in the order of a detector's.

use crate::args::TableColumns;
use anyhow::{Result, bail};
use sconce_tensor_core::Error;
use sconce_tensor_core::table::{MISSING, Schema};

/// Maps a file's columns to those of a schema.
pub(in crate::detect) struct Mapping {
    /// For each column of the schema its index in the file.
    places: Vec<usize>,
    /// The index of the labels.
    pub(in crate::detect) label: Option<usize>,
    width: usize,
}

impl Mapping {
    /// Finds the schema's columns in a header, in any order.
    ///
    /// # Errors
    /// A column that is missing; one that the schema does not have, unless it is dropped or has the labels.
    pub(in crate::detect) fn new(header: &[String], schema: &Schema, columns: &TableColumns) -> Result<Self> {
        let wanted: Vec<&String> = schema.columns().iter().map(|c| &c.name).collect();
        let missing: Vec<&&String> = wanted.iter().filter(|n| !header.contains(n)).collect();
        if !missing.is_empty() {
            bail!("columns: the detector was fitted on {missing:?}, which the header {header:?} lacks");
        }
        let other =
            |n: &&String| !wanted.contains(n) && Some(*n) != columns.label.as_ref() && !columns.drop.contains(n);
        let more: Vec<&String> = header.iter().filter(other).collect();
        if !more.is_empty() {
            bail!(
                "columns: {more:?} are not among the {} columns that the detector was fitted on; ignore them with --drop, or name the labels \
                 with --label",
                wanted.len()
            );
        }
        let place = |n: &String| header.iter().position(|h| h == n);
        let label = match &columns.label {
            Some(l) => match place(l) {
                Some(at) => Some(at),
                None => bail!("columns: the label column `{l}` is not in the header {header:?}"),
            },
            None => None,
        };
        Ok(Self { places: wanted.into_iter().filter_map(place).collect(), label, width: header.len() })
    }

    /// Appends a record's fields as the schema's numbers; after an error `out` is as before.
    ///
    /// # Errors
    /// A wrong number of fields; a field that is no number in a numeric column.
    pub(in crate::detect) fn read(
        &self,
        schema: &Schema,
        record: &csv::StringRecord,
        out: &mut Vec<f64>,
    ) -> Result<()> {
        if record.len() != self.width {
            return Err(Error::value("row", format!("{} fields for {} columns", record.len(), self.width)).into());
        }
        Ok(schema.read(self.places.iter().map(|i| record.get(*i).unwrap_or_default()), out)?)
    }
}

/// Whether a label marks an anomaly; `None` where it is missing.
///
/// # Errors
/// A label that is neither 0 nor 1, where normal labels have no names.
pub(in crate::detect) fn label_of(field: &str, normal: &[String]) -> Result<Option<bool>> {
    let field = field.trim();
    if MISSING.contains(&field) {
        return Ok(None);
    }
    if !normal.is_empty() {
        return Ok(Some(normal.iter().all(|n| n != field)));
    }
    match field.parse::<f64>() {
        Ok(0.0) => Ok(Some(false)),
        Ok(1.0) => Ok(Some(true)),
        _ => bail!("label: `{field}` is neither 0 nor 1; say which labels are normal with --normal"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sconce_tensor_core::table::{Column, Kind};

    #[test]
    fn columns_are_found_in_any_order() {
        let number = |name: &str| Column { name: name.to_owned(), kind: Kind::Number };
        let schema = Schema::new(vec![number("a"), number("b")]).unwrap();
        let header = ["y", "b", "id", "a"].map(str::to_owned);
        let columns = TableColumns { label: Some("y".to_owned()), normal: vec![], drop: vec!["id".to_owned()] };
        let mapping = Mapping::new(&header, &schema, &columns).unwrap();
        let mut out = Vec::new();
        mapping.read(&schema, &csv::StringRecord::from(vec!["1", "2", "7", "3"]), &mut out).unwrap();
        assert_eq!((out, mapping.label), (vec![3.0, 2.0], Some(0)));
        let message = |c: &TableColumns| Mapping::new(&header, &schema, c).map(drop).unwrap_err().to_string();
        assert!(message(&TableColumns::default()).contains(r#"["y", "id"] are not among the 2"#));
        let other =
            TableColumns { label: Some("z".to_owned()), drop: vec!["y".to_owned(), "id".to_owned()], normal: vec![] };
        assert!(message(&other).contains("the label column `z` is not in the header"));
    }

    #[test]
    fn labels_are_numbers_or_names() {
        let normal = ["ok".to_owned()];
        assert_eq!((label_of(" 1 ", &[]).unwrap(), label_of("0", &[]).unwrap()), (Some(true), Some(false)));
        assert_eq!((label_of("ok", &normal).unwrap(), label_of("bad", &normal).unwrap()), (Some(false), Some(true)));
        assert_eq!((label_of("?", &[]).unwrap(), label_of("", &normal).unwrap()), (None, None));
        assert!(label_of("odd", &[]).unwrap_err().to_string().contains("--normal"));
    }
}
