//! Rows of a table or a stream, in blocks.

use crate::args::Score;
use crate::detect::table::{Dialect, Form, Mapping, STDIN, Source, Unseen, broken, header};
use anyhow::{Context, Result, bail};
use sconce_tensor_core::table::{Labels, Schema};
use std::io::{BufRead, BufReader, Cursor, Read};
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
    /// The rule for labels, until all are known.
    labels: Option<Labels>,
    unseen: Unseen,
    number: usize,
    ended: bool,
}

impl<'a> RowReader<'a> {
    /// Opens a table or, without one, standard input; reads the header, and the labels of a table.
    ///
    /// # Errors
    /// A file that cannot be read; columns that differ from the schema's; labels of a table that are neither 0 and 1 nor named, or a normal label
    /// that no row has.
    pub(super) fn open(args: &'a Score, schema: &'a Schema, source: Option<&'a Source>) -> Result<Self> {
        let (from, dialect, mapping) = match source {
            Some(source) => {
                let place = || source.path().display().to_string();
                let dialect = source.dialect(&args.columns.form).with_context(place)?;
                let open =
                    || -> Result<_> { dialect.reader(source.text()?).map_err(|e| broken(source.path())(e).into()) };
                let mapping = Mapping::new(header(&mut open()?, source.path())?, dialect, schema, &args.columns)?;
                if let Some(label) = &args.columns.label {
                    let mut rule = Labels::new(label, &args.columns.normal);
                    let (mut records, mut record, mut row) = (open()?, csv::StringRecord::new(), 0);
                    // A record that cannot be read is an error later, with its number.
                    while records.read_record(&mut record).unwrap_or(false) {
                        row += 1;
                        if let Some(text) = mapping.label(&record) {
                            rule.of_text(&text, row);
                        }
                    }
                    rule.finish().with_context(place)?;
                }
                (source.text()?, dialect, mapping)
            }
            None => {
                let (start, rest) = stream()?;
                let names = schema.columns().iter().map(|c| c.name.as_str());
                let dialect = Dialect::of_header(&start, names, &args.columns.form).context(STDIN)?;
                let at = Path::new(STDIN);
                let first = header(&mut dialect.reader(start.as_slice()).map_err(broken(at))?, at)?;
                let mapping = Mapping::new(first, dialect, schema, &args.columns)?;
                (Box::new(Cursor::new(start).chain(rest)) as Box<dyn Read + 'a>, dialect, mapping)
            }
        };
        let labels = args.columns.label.as_ref().map(|label| Labels::new(label, &args.columns.normal));
        let records = dialect.reader(from).map_err(broken(path(source)))?;
        Ok(Self { args, schema, source, records, mapping, labels, unseen: Unseen::new(), number: 0, ended: false })
    }

    /// Checks the labels of a stream after its end; those of a table are checked before its first row.
    ///
    /// # Errors
    /// A normal label that no row had.
    pub(super) fn finish(self) -> Result<Unseen> {
        match self.labels {
            Some(labels) if self.source.is_none() => labels.finish().context(STDIN)?,
            _ => {}
        }
        Ok(self.unseen)
    }

    /// Where the rows come from, for messages.
    pub(super) fn path(&self) -> &'a Path {
        path(self.source)
    }

    /// Whether rows have labels.
    pub(super) fn labelled(&self) -> bool {
        self.mapping.labelled()
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
            let parsed = match read {
                Ok(_) => self.parse(&record, &mut block.values),
                Err(e) => Err(broken(self.path())(e).into()),
            };
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
    fn parse(&mut self, record: &csv::StringRecord, values: &mut Vec<f64>) -> Result<Option<bool>> {
        self.mapping.read(self.schema, record, values, &mut self.unseen)?;
        let (Some(text), Some(labels)) = (self.mapping.label(record), &mut self.labels) else { return Ok(None) };
        let label = labels.of_text(&text, self.number);
        if let Err(e) = labels.check() {
            values.truncate(values.len() - self.schema.columns().len());
            return Err(e.into());
        }
        Ok(label)
    }
}

/// The header of standard input, decompressed, with a line before it that names the separator; and the rest of the input.
fn stream() -> Result<(Vec<u8>, Box<dyn BufRead>)> {
    let mut input = std::io::stdin().lock();
    let form = Form::of(input.fill_buf().context(STDIN)?);
    let mut rest: Box<dyn BufRead> = match form {
        Form::Text => Box::new(input),
        Form::Gzip => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(input))),
        Form::Arrays => bail!("{STDIN}: an archive of arrays is not read line by line: name the file with --data"),
    };
    let mut start = Vec::new();
    rest.read_until(b'\n', &mut start).context(STDIN)?;
    if Dialect::is_told(&start) {
        rest.read_until(b'\n', &mut start).context(STDIN)?;
    }
    Ok((start, rest))
}

fn path(source: Option<&Source>) -> &Path {
    source.map_or(Path::new(STDIN), Source::path)
}
