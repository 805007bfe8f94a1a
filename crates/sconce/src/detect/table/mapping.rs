//! The columns of one file in the order of a detector's.

use super::dialect::{Dialect, option_for};
use super::header::Header;
use crate::args::TableColumns;
use anyhow::{Result, anyhow, bail};
use sconce_tensor_core::table::{Kind, Schema};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Maps a file's columns to those of a schema.
pub(in crate::detect) struct Mapping {
    header: Header,
    dialect: Dialect,
    /// For each column of the schema its index in the file.
    places: Vec<usize>,
    /// The index of the labels.
    label: Option<usize>,
}

/// Rows with a category that fitting did not see, by column: their number, and the first such name.
pub(in crate::detect) type Unseen = BTreeMap<String, (usize, String)>;

impl Mapping {
    /// Finds the schema's columns in a header, in any order. A column without a name is ignored.
    ///
    /// # Errors
    /// A column that is missing or there twice; one that the schema does not have, unless it is dropped or has the labels.
    pub(in crate::detect) fn new(
        header: Header,
        dialect: Dialect,
        schema: &Schema,
        columns: &TableColumns,
    ) -> Result<Self> {
        let names = header.names();
        let wanted: Vec<&String> = schema.columns().iter().map(|c| &c.name).collect();
        let missing: Vec<&&String> = wanted.iter().filter(|n| !names.contains(n)).collect();
        if !missing.is_empty() {
            bail!(
                "columns: the detector was fitted on {missing:?}, which the header {names:?} lacks{}",
                header.comment()
            );
        }
        let other = |(i, n): (usize, &String)| {
            !wanted.contains(&n)
                && Some(n) != columns.label.as_ref()
                && !columns.drop.contains(n)
                && !header.is_unnamed(i)
        };
        let more: Vec<&String> = names.iter().enumerate().filter(|(i, n)| other((*i, n))).map(|(_, n)| n).collect();
        if !more.is_empty() {
            bail!(
                "columns: {more:?} are not among the {} columns that the detector was fitted on; ignore them with --drop, or name the labels \
                 with --label",
                wanted.len()
            );
        }
        let place = |n: &String| {
            let mut all = names.iter().enumerate().filter(|(_, h)| *h == n).map(|(i, _)| i);
            match (all.next(), all.next()) {
                (Some(at), None) => Ok(at),
                (None, _) => bail!("columns: the label column `{n}` is not in the header {names:?}"),
                _ => bail!("columns: `{n}` is twice in the header {names:?}"),
            }
        };
        let places = wanted.into_iter().map(place).collect::<Result<_>>()?;
        let label = columns.label.as_ref().map(place).transpose()?;
        Ok(Self { places, label, header, dialect })
    }

    /// Whether there is a column of labels.
    pub(in crate::detect) fn labelled(&self) -> bool {
        self.label.is_some()
    }

    /// A record's label, with a decimal point if it is a number; `None` without a column of labels.
    pub(in crate::detect) fn label<'r>(&self, record: &'r csv::StringRecord) -> Option<Cow<'r, str>> {
        self.label.map(|at| self.dialect.field(record.get(at).unwrap_or_default()))
    }

    /// Appends a record's fields as the schema's numbers; after an error `out` is as before. Counts categories that the schema lacks.
    ///
    /// # Errors
    /// A wrong number of fields; a field that is no number in a numeric column, or no date in a column of dates.
    pub(in crate::detect) fn read(
        &self,
        schema: &Schema,
        record: &csv::StringRecord,
        out: &mut Vec<f64>,
        unseen: &mut Unseen,
    ) -> Result<()> {
        self.header.check(record)?;
        let field = |i: &usize| record.get(*i).unwrap_or_default();
        let start = out.len();
        match self.dialect.comma {
            false => schema
                .read(self.places.iter().map(field), out)
                .map_err(|e| anyhow!("{e}{}", option_for(&e.to_string())))?,
            true => {
                let mut numbers = schema.columns().iter().zip(&self.places).filter(|(c, _)| c.kind == Kind::Number);
                numbers.try_for_each(|(c, i)| self.dialect.check(&c.name, field(i)))?;
                let fields: Vec<_> = self.places.iter().map(|i| self.dialect.field(field(i))).collect();
                schema.read(fields.iter().map(|f| &**f), out)?;
            }
        }
        for ((column, value), i) in schema.columns().iter().zip(&out[start..]).zip(&self.places) {
            if let Kind::Category(names) = &column.kind
                && *value == names.len() as f64
            {
                let new = || (0, field(i).trim().to_owned());
                unseen.entry(column.name.clone()).or_insert_with(new).0 += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::TableForm;
    use csv::StringRecord;
    use sconce_tensor_core::table::Column;

    fn columns(label: Option<&str>, drop: &[&str]) -> TableColumns {
        let drop = drop.iter().map(|n| (*n).to_owned()).collect();
        TableColumns { label: label.map(str::to_owned), drop, ..TableColumns::default() }
    }

    #[test]
    fn columns_are_found_in_any_order() {
        let number = |name: &str| Column { name: name.to_owned(), kind: Kind::Number };
        let colour = Kind::Category(vec!["blue".to_owned(), "red".to_owned()]);
        let colour = Column { name: "c".to_owned(), kind: colour };
        let schema = Schema::new(vec![number("a"), number("b"), colour]).unwrap();
        let names = ["", "y", "b", "id", "c", "a"];
        let header = || Header::new(&StringRecord::from(names.to_vec()));
        let dialect = Dialect::of(b"a;b\n1,5;2\n", &TableForm::default()).unwrap();
        let mapping = Mapping::new(header(), dialect, &schema, &columns(Some("y"), &["id"])).unwrap();
        let (mut out, mut unseen) = (Vec::new(), Unseen::new());
        let mut read =
            |fields: [&str; 6]| mapping.read(&schema, &StringRecord::from(fields.to_vec()), &mut out, &mut unseen);
        read(["0", "1", "2,5", "7", "red", "3"]).unwrap();
        read(["0", "1", "2,5", "7", "pink", "3"]).unwrap();
        assert!(read(["0", "1", "x", "7", "pink", "3"]).is_err());
        let e = read(["0", "1", "2.5", "7", "red", "3"]).unwrap_err().to_string();
        assert!(e.contains("column `b`: `2.5` has a decimal point"), "{e}");
        assert!(read(["0", "1", "1.234", "7", "red", "3"]).is_err(), "1234");
        assert_eq!((out, mapping.label), (vec![3.0, 2.5, 1.0, 3.0, 2.5, 2.0], Some(1)));
        let record = StringRecord::from(vec!["0", "1,0", "2,5", "7", "red", "3"]);
        assert_eq!(mapping.label(&record).as_deref(), Some("1.0"));
        assert_eq!(unseen, Unseen::from([("c".to_owned(), (1, "pink".to_owned()))]));
        let message = |c: &TableColumns| Mapping::new(header(), dialect, &schema, c).map(drop).unwrap_err().to_string();
        assert!(message(&columns(None, &[])).contains(r#"["y", "id"] are not among the 3"#));
        assert!(message(&columns(Some("z"), &["y", "id"])).contains("the label column `z` is not in the header"));
    }
}
