//! Rows of a table or a stream, in blocks.

use crate::args::Score;
use crate::detect::table::{Mapping, STDIN, Source, broken, header, label_of, reader};
use anyhow::Result;
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
    args: &'a Score,
    schema: &'a Schema,
    source: Option<&'a Source>,
    records: csv::Reader<Box<dyn Read + 'a>>,
    mapping: Mapping,
    number: usize,
    ended: bool,
}

impl<'a> RowReader<'a> {
    /// Opens a table or, without one, standard input; reads the header.
    ///
    /// # Errors
    /// A file that cannot be read; columns that differ from the schema's.
    pub(super) fn open(args: &'a Score, schema: &'a Schema, source: Option<&'a Source>) -> Result<Self> {
        let from: Box<dyn Read + 'a> = match source {
            Some(source) => source.text()?,
            None => Box::new(std::io::stdin()),
        };
        let mut records = reader(from);
        let mapping = Mapping::new(&header(&mut records, path(source))?, schema, &args.columns)?;
        Ok(Self { args, schema, source, records, mapping, number: 0, ended: false })
    }

    /// Where the rows come from, for messages.
    pub(super) fn path(&self) -> &'a Path {
        path(self.source)
    }

    /// Whether rows have labels.
    pub(super) fn labelled(&self) -> bool {
        self.mapping.label.is_some()
    }

    /// Whether rows come from standard input.
    pub(super) fn is_stream(&self) -> bool {
        self.source.is_none()
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
            let read = match self.records.read_record(&mut record) {
                Ok(false) => {
                    self.ended = true;
                    break;
                }
                // No record can be read after it.
                Err(e) if e.is_io_error() => return Err(broken(self.path())(e).into()),
                read => read,
            };
            self.number += 1;
            let parsed =
                read.map_err(|e| broken(self.path())(e).into()).and_then(|_| self.parse(&record, &mut block.values));
            match parsed {
                Ok(label) => {
                    block.labels.push(label);
                    block.rows.push(BlockRow { number: self.number, readable: true });
                }
                Err(e) if self.args.keep_going => {
                    warn(&format!("row {}: {e:#}", self.number));
                    block.rows.push(BlockRow { number: self.number, readable: false });
                }
                Err(e) => {
                    return Err(e.context(format!("{}: row {}", self.path().display(), self.number)));
                }
            }
        }
        Ok(Some(block).filter(|b| !b.rows.is_empty()))
    }

    /// Appends a record's values, and returns its label. After an error `values` is as before.
    fn parse(&self, record: &csv::StringRecord, values: &mut Vec<f64>) -> Result<Option<bool>> {
        self.mapping.read(self.schema, record, values)?;
        let Some(at) = self.mapping.label else { return Ok(None) };
        label_of(record.get(at).unwrap_or_default(), &self.args.columns.normal)
            .inspect_err(|_| values.truncate(values.len() - self.schema.columns().len()))
    }
}

fn path(source: Option<&Source>) -> &Path {
    source.map_or(Path::new(STDIN), Source::path)
}
