//! Rows of a table or a stream, in blocks.

use super::super::args::ScoreArgs;
use super::super::data::{Mapping, broken, header, label_of, open, reader};
use crate::{Error, Result};
use sconce_tensor_core::table::Schema;
use std::io::Read;
use std::path::Path;

/// Rows of a file that are scored at a time; those of a stream are scored one by one.
const BLOCK: usize = 4096;

/// Rows that are scored together.
#[derive(Default)]
pub(super) struct Block {
    /// The values of the readable rows, row after row.
    pub(super) values: Vec<f64>,
    /// The labels of the readable rows; `None` where a label is missing.
    pub(super) labels: Vec<Option<bool>>,
    /// All rows in order.
    pub(super) rows: Vec<BlockRow>,
}

/// A row of a [`Block`].
#[derive(Clone, Copy)]
pub(super) struct BlockRow {
    /// Counted from 1.
    pub(super) number: usize,
    /// Whether its fields are values of the schema.
    pub(super) readable: bool,
}

/// Reads rows as the schema's numbers.
pub(super) struct RowReader<'a> {
    args: &'a ScoreArgs,
    schema: &'a Schema,
    path: &'a Path,
    records: csv::Reader<Box<dyn Read>>,
    mapping: Mapping,
    number: usize,
    ended: bool,
}

impl<'a> RowReader<'a> {
    /// Opens the table of the arguments or, without one, takes `input`; reads the header.
    ///
    /// # Errors
    /// A file that cannot be read; columns that differ from the schema's.
    pub(super) fn open(args: &'a ScoreArgs, schema: &'a Schema, input: Box<dyn Read>) -> Result<Self> {
        let (from, path) = match &args.data {
            Some(path) => (open(path)?, path.as_path()),
            None => (input, Path::new("standard input")),
        };
        let mut records = reader(from);
        let mapping = Mapping::new(&header(&mut records, path)?, schema, &args.table)?;
        Ok(Self { args, schema, path, records, mapping, number: 0, ended: false })
    }

    /// Where the rows come from, for messages.
    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    /// Whether rows have labels.
    pub(super) fn labelled(&self) -> bool {
        self.mapping.label.is_some()
    }

    /// Whether rows come from standard input.
    pub(super) fn is_stream(&self) -> bool {
        self.args.data.is_none()
    }

    /// The next rows; `None` after the last.
    ///
    /// # Errors
    /// Without `--keep-going` a row that cannot be read, with its number.
    pub(super) fn next_block(&mut self, warn: &mut dyn FnMut(&str)) -> Result<Option<Block>> {
        let most = if self.is_stream() { 1 } else { BLOCK };
        let mut block = Block::default();
        let mut record = csv::StringRecord::new();
        while !self.ended && block.rows.len() < most {
            let read = self.records.read_record(&mut record);
            if matches!(read, Ok(false)) {
                self.ended = true;
                break;
            }
            self.number += 1;
            let parsed = read.map_err(broken(self.path)).and_then(|_| self.parse(&record, &mut block.values));
            match parsed {
                Ok(label) => {
                    block.labels.push(label);
                    block.rows.push(BlockRow { number: self.number, readable: true });
                }
                Err(e) if self.args.keep_going => {
                    warn(&format!("row {}: {e}", self.number));
                    block.rows.push(BlockRow { number: self.number, readable: false });
                }
                Err(e) => {
                    let place = format!("{}: row {}", self.path.display(), self.number);
                    return Err(Error::value(place, e.to_string()));
                }
            }
        }
        Ok(Some(block).filter(|b| !b.rows.is_empty()))
    }

    /// Appends a record's values, and returns its label. After an error `values` is as before.
    fn parse(&self, record: &csv::StringRecord, values: &mut Vec<f64>) -> Result<Option<bool>> {
        self.mapping.read(self.schema, record, values)?;
        let Some(at) = self.mapping.label else { return Ok(None) };
        label_of(record.get(at).unwrap_or_default(), &self.args.table.normal)
            .inspect_err(|_| values.truncate(values.len() - self.schema.columns().len()))
    }
}
