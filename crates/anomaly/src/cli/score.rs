//! `score`.

use super::args::{Cut, Format, Score};
use super::data::{Mapping, broken, header, open, reader, truth};
use super::judged;
use crate::{Detector, Error, Result, Threshold, load};
use candle_core::{Device, Tensor};
use sconce_tensor_core::store;
use sconce_tensor_core::table::Schema;
use std::io::{Read, Write};
use std::path::Path;

/// Rows of a file that are scored at a time; a stream's are scored one by one.
const BLOCK: usize = 4096;

/// What was written of all rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Rows that were scored.
    pub rows: usize,
    /// Those above the threshold.
    pub anomalies: usize,
    /// Rows that could not be scored, with `--keep-going`.
    pub bad: usize,
    /// Lines for people: how well the scores fit the labels, where there are some.
    pub lines: String,
}

/// Where an anomaly begins, as a test of a score.
enum Judge<'a> {
    PValue(&'a dyn Detector, f64),
    Above(Threshold),
}

impl Judge<'_> {
    fn is_anomaly(&self, score: f64) -> Result<bool> {
        match self {
            Self::PValue(d, level) => Ok(p_value(*d, score)?.is_some_and(|p| p <= *level)),
            Self::Above(t) => Ok(t.is_anomaly(score)),
        }
    }
}

fn p_value(d: &dyn Detector, score: f64) -> Result<Option<f64>> {
    d.calibration().map(|c| c.p_value(score)).transpose()
}

/// Scores on their way out.
struct Writer<'a> {
    args: &'a Score,
    detector: &'a dyn Detector,
    schema: &'a Schema,
    out: &'a mut dyn Write,
    place: &'a Path,
    done: Done,
}

impl Writer<'_> {
    fn line(&mut self, line: &str) -> Result<()> {
        let written = self.out.write_all(line.as_bytes()).and_then(|()| self.out.write_all(b"\n"));
        written.map_err(Error::io(self.place))
    }

    fn start(&mut self) -> Result<()> {
        match self.args.format {
            Format::Csv if self.args.explain > 0 => self.line("row,score,p_value,anomaly,contributions"),
            Format::Csv => self.line("row,score,p_value,anomaly"),
            Format::Json => Ok(()),
        }
    }

    /// The columns that contribute most, with their shares of the whole.
    fn explained(&self, parts: &[f64]) -> Vec<(String, f64)> {
        let total = parts.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by(|a, b| parts[*b].total_cmp(&parts[*a]));
        let columns = self.schema.columns();
        order.into_iter().take(self.args.explain).map(|i| (columns[i].name.clone(), parts[i] / total)).collect()
    }

    /// One row; without a score where it could not be scored.
    fn row(&mut self, row: usize, score: Option<f64>, judge: &Judge<'_>, parts: Option<&[f64]>) -> Result<()> {
        let strange = score.map(|s| judge.is_anomaly(s)).transpose()?;
        let p = score.map(|s| p_value(self.detector, s)).transpose()?.flatten();
        match strange {
            Some(strange) => {
                self.done.rows += 1;
                self.done.anomalies += usize::from(strange);
            }
            None => self.done.bad += 1,
        }
        let why = parts.filter(|_| self.args.explain > 0).map(|p| self.explained(p));
        let line = match self.args.format {
            Format::Json => {
                let mut object = serde_json::json!({ "row": row, "score": score, "p_value": p, "anomaly": strange });
                if let Some(why) = why {
                    object["contributions"] =
                        why.into_iter().map(|(n, v)| (n, v.into())).collect::<serde_json::Map<_, _>>().into();
                }
                object.to_string()
            }
            Format::Csv => {
                let number = |v: Option<f64>| v.map_or_else(String::new, |v| v.to_string());
                let mut line = format!("{row},{},{},", number(score), number(p));
                line += strange.map_or("", |s| if s { "1" } else { "0" });
                if self.args.explain > 0 {
                    let all = why.unwrap_or_default().into_iter().map(|(n, v)| format!("{n} {v:.3}"));
                    line += &format!(",\"{}\"", all.collect::<Vec<_>>().join("; ").replace('"', "\"\""));
                }
                line
            }
        };
        self.line(&line)
    }
}

/// Scores a table or, without one, `input` row by row; each row's line is out before the next is read. Bad rows under
/// `--keep-going` are told to `warn`.
///
/// # Errors
/// A detector or a table that cannot be read; columns that are not those of the detector; a row that cannot be scored, by its
/// number, where `--keep-going` is not set; a threshold that needs what is not there.
pub fn score(args: &Score, input: Box<dyn Read>, out: &mut dyn Write, warn: &mut dyn FnMut(&str)) -> Result<Done> {
    let cut = args.cut()?;
    let detector = load(&args.model)?;
    let no_columns = || Error::Checkpoint {
        path: args.model.clone(),
        reason: "it has no names of columns; save one by `fit`".to_owned(),
    };
    let schema = detector.schema().cloned().ok_or_else(no_columns)?;
    match &args.out {
        None => run(args, cut, &*detector, &schema, input, out, Path::new("standard output"), warn),
        Some(path) => {
            let mut bytes = Vec::new();
            let done = run(args, cut, &*detector, &schema, input, &mut bytes, path, warn)?;
            store::write_whole(path, &bytes)?;
            Ok(done)
        }
    }
}

#[allow(clippy::too_many_arguments)] // the two ends of one pipe
fn run(
    args: &Score,
    cut: Cut,
    detector: &dyn Detector,
    schema: &Schema,
    input: Box<dyn Read>,
    out: &mut dyn Write,
    place: &Path,
    warn: &mut dyn FnMut(&str),
) -> Result<Done> {
    let calibration = || detector.calibration().ok_or_else(|| Error::value("detector", "it kept no normal scores"));
    let mut judge = match cut {
        Cut::PValue(level) => {
            calibration()?;
            Judge::PValue(detector, level)
        }
        Cut::Quantile(level) => Judge::Above(Threshold::by_quantile(calibration()?.scores(), level)?),
        Cut::Score(s) => Judge::Above(Threshold::at(s)?),
        Cut::Contamination(_) if args.data.is_none() => {
            return Err(Error::config(
                "--threshold",
                "contamination needs --data: a stream's rows are not known in advance",
            ));
        }
        Cut::Contamination(_) => Judge::Above(Threshold::at(0.0)?),
    };
    let (from, path) = match &args.data {
        Some(path) => (open(path)?, path.as_path()),
        None => (input, Path::new("standard input")),
    };
    let (mut rows, stream) = (reader(from), args.data.is_none());
    let mapping = Mapping::new(&header(&mut rows, path)?, schema, &args.reading)?;
    let mut w = Writer { args, detector, schema, out, place, done: Done::default() };
    w.start()?;
    // Scores and labels of all rows, where they are needed at the end: a stream may have none.
    let keep = mapping.label.is_some() || matches!(cut, Cut::Contamination(_));
    let (mut kept, mut labels): (Vec<f64>, Vec<Option<bool>>) = (Vec::new(), Vec::new());
    // Blocks that wait for a threshold.
    let mut waiting: Vec<Scored> = Vec::new();
    let mut block = Block::default();
    let mut record = csv::StringRecord::new();
    let mut row = 0;
    loop {
        let more = rows.read_record(&mut record);
        let ended = matches!(more, Ok(false));
        if !ended {
            row += 1;
            let read = more.map_err(broken(path)).and_then(|_| mapping.read(schema, &record, &mut block.values));
            let label = read.and_then(|()| match mapping.label {
                Some(at) => truth(record.get(at).unwrap_or_default(), &args.reading.normal).inspect_err(|_| {
                    let kept = block.values.len() - schema.columns().len();
                    block.values.truncate(kept);
                }),
                None => Ok(None),
            });
            match label {
                Ok(label) => {
                    block.labels.push(label);
                    block.rows.push((row, true));
                }
                Err(e) if args.keep_going => {
                    warn(&format!("row {row}: {e}"));
                    block.rows.push((row, false));
                }
                Err(e) => return Err(Error::value(format!("{}: row {row}", path.display()), e.to_string())),
            }
        }
        if ended || stream || block.rows.len() >= BLOCK {
            if let Some(scored) = block.score(args, detector, schema, path, warn)? {
                if keep {
                    kept.extend(scored.lines.iter().filter_map(|l| l.1));
                    labels.extend(&scored.labels);
                }
                match cut {
                    Cut::Contamination(_) => waiting.push(scored),
                    _ => scored.write(&mut w, &judge)?,
                }
            }
            if stream {
                w.out.flush().map_err(Error::io(place))?;
            }
        }
        if ended {
            break;
        }
    }
    if let Cut::Contamination(share) = cut {
        judge = Judge::Above(Threshold::by_contamination(&kept, share)?);
    }
    for scored in waiting {
        scored.write(&mut w, &judge)?;
    }
    w.out.flush().map_err(Error::io(place))?;
    let mut done = w.done;
    if mapping.label.is_some() {
        done.lines = judged("of the rows scored", &kept, &labels, 0)?;
    }
    Ok(done)
}

/// Rows that are scored together: values of the good ones, and all rows by number.
#[derive(Default)]
struct Block {
    values: Vec<f64>,
    labels: Vec<Option<bool>>,
    rows: Vec<(usize, bool)>,
}

/// A block with its scores: (row, score, contributions); labels of the rows with a score.
struct Scored {
    lines: Vec<(usize, Option<f64>, Option<Vec<f64>>)>,
    labels: Vec<Option<bool>>,
}

impl Block {
    /// Empties the block. Where one row cannot be scored and that is no end, the rows are scored one by one.
    fn score(
        &mut self,
        args: &Score,
        detector: &dyn Detector,
        schema: &Schema,
        path: &Path,
        warn: &mut dyn FnMut(&str),
    ) -> Result<Option<Scored>> {
        let Self { values, labels, rows } = std::mem::take(self);
        if rows.is_empty() {
            return Ok(None);
        }
        let d = schema.columns().len();
        let at = |values: &[f64]| -> Result<(Vec<f64>, Option<Vec<f64>>)> {
            if values.is_empty() {
                return Ok((Vec::new(), None));
            }
            let x = Tensor::from_slice(values, (values.len() / d, d), &Device::Cpu)?;
            let parts = if args.explain > 0 { detector.contributions(&x)? } else { None };
            let parts = parts.map(|p| p.flatten_all()?.to_vec1()).transpose()?;
            Ok((detector.score(&x)?.to_vec1()?, parts))
        };
        let good: Vec<usize> = rows.iter().filter(|r| r.1).map(|r| r.0).collect();
        let together = at(&values);
        let mut each: Vec<(Option<f64>, Option<Vec<f64>>)> = Vec::new();
        match together {
            Ok((scores, parts)) => {
                let share = |i: usize| parts.as_ref().map(|p| p[i * d..][..d].to_vec());
                each.extend(scores.into_iter().enumerate().map(|(i, s)| (Some(s), share(i))));
            }
            // One by one, so that the bad row is found.
            Err(_) => {
                for (row, v) in good.iter().zip(values.chunks_exact(d)) {
                    match at(v) {
                        Ok((s, parts)) => each.push((s.first().copied(), parts)),
                        Err(e) if args.keep_going => {
                            warn(&format!("row {row}: {e}"));
                            each.push((None, None));
                        }
                        Err(e) => {
                            return Err(Error::value(format!("{}: row {row}", path.display()), e.to_string()));
                        }
                    }
                }
            }
        }
        let labels = labels.into_iter().zip(&each).filter(|(_, e)| e.0.is_some()).map(|(l, _)| l).collect();
        let mut each = each.into_iter();
        let line = |(row, good): (usize, bool)| {
            let (score, parts) = if good { each.next().unwrap_or_default() } else { Default::default() };
            (row, score, parts)
        };
        Ok(Some(Scored { lines: rows.into_iter().map(line).collect(), labels }))
    }
}

impl Scored {
    fn write(&self, w: &mut Writer<'_>, judge: &Judge<'_>) -> Result<()> {
        self.lines.iter().try_for_each(|(row, score, parts)| w.row(*row, *score, judge, parts.as_deref()))
    }
}
