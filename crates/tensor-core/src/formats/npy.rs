//! One array of numpy.

use super::raw::{Element, Raw, count, row_major};
use super::{Fault, Read, slice, take};

/// An array: its header, and where its elements start.
#[derive(Clone, Debug)]
pub(crate) struct Npy {
    /// The type as numpy names it, `<f4`; for records the whole description.
    descr: String,
    fortran: bool,
    shape: Vec<usize>,
    start: usize,
}

/// What stands after `'key':` in the header.
fn value<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    let at = [format!("'{key}'"), format!("\"{key}\"")]
        .iter()
        .find_map(|k| header.find(k.as_str()).map(|at| at + k.len()))?;
    header[at..].trim_start().strip_prefix(':').map(str::trim_start)
}

impl Npy {
    /// Reads the header.
    pub(crate) fn open(bytes: &[u8]) -> Read<Self> {
        if !bytes.starts_with(b"\x93NUMPY") {
            return Err(Fault::at(0, "not an array of numpy: it does not start with its mark"));
        }
        let [major, _] = take::<2>(bytes, 6)?;
        let (len, from) = match major {
            1 => (u16::from_le_bytes(take(bytes, 8)?).into(), 10),
            2 | 3 => (u32::from_le_bytes(take(bytes, 8)?) as usize, 12),
            v => return Err(Fault::at(6, format!("version {v} of numpy's format is not read; 1 to 3 are"))),
        };
        let header = String::from_utf8_lossy(slice(bytes, from, len)?);
        let missing = |key: &str| Fault::at(from, format!("the header has no `{key}`: {header}"));
        let descr = value(&header, "descr").ok_or_else(|| missing("descr"))?;
        let descr = match descr.chars().next() {
            Some(quote @ ('\'' | '"')) => descr[1..].split(quote).next().unwrap_or_default().to_owned(),
            _ => descr.split(']').next().unwrap_or_default().to_owned(),
        };
        let fortran = value(&header, "fortran_order").ok_or_else(|| missing("fortran_order"))?.starts_with("True");
        let shape = value(&header, "shape").and_then(|v| v.strip_prefix('(')?.split(')').next());
        let shape = shape.ok_or_else(|| missing("shape"))?.split(',').map(|d| d.trim().trim_end_matches('L'));
        let shape: Result<Vec<usize>, _> = shape.filter(|d| !d.is_empty()).map(str::parse).collect();
        let shape = shape.map_err(|_| missing("shape"))?;
        if shape.len() > 32 {
            return Err(Fault::at(from, format!("{} axes; numpy has 32 at most", shape.len())));
        }
        Ok(Self { descr, fortran, shape, start: from + len })
    }

    /// The type of the elements, and whether they are in the other byte order.
    fn element(&self) -> Read<(Element, bool)> {
        let (order, kind) = match self.descr.split_at_checked(1) {
            Some((order @ ("<" | ">" | "=" | "|"), kind)) => (order, kind),
            _ => ("=", self.descr.as_str()),
        };
        let element = match kind {
            "b1" | "?" => Element::Bool,
            "u1" => Element::U8,
            "i1" => Element::I8,
            "u2" => Element::U16,
            "i2" => Element::I16,
            "u4" => Element::U32,
            "i4" => Element::I32,
            "u8" => Element::U64,
            "i8" => Element::I64,
            "f2" => Element::F16,
            "f4" => Element::F32,
            "f8" => Element::F64,
            _ => {
                let what = match kind.chars().next() {
                    Some('U' | 'S' | 'a') => "strings",
                    Some('O') => "Python objects",
                    Some('c') => "complex numbers",
                    Some('M' | 'm') => "dates or durations",
                    Some('f') => "floating-point numbers of another size",
                    _ => "records",
                };
                return Err(Fault::at(
                    0,
                    format!("it holds {what} (numpy's `{}`), not numbers of a usual type", self.descr),
                ));
            }
        };
        Ok((element, order == ">"))
    }

    /// The array in `bytes`, which are those it was opened with.
    pub(crate) fn raw<'a>(&self, bytes: &'a [u8]) -> Read<Raw<'a>> {
        let (element, big_endian) = self.element()?;
        let shape = self.shape.clone();
        let strides = if self.fortran {
            let mut strides = row_major(&shape.iter().rev().copied().collect::<Vec<_>>());
            strides.reverse();
            strides
        } else {
            row_major(&shape)
        };
        let data = &bytes[self.start.min(bytes.len())..];
        let wanted = count(&shape).and_then(|n| n.checked_mul(element.size()));
        if wanted.is_none_or(|w| w > data.len()) {
            let reason = format!(
                "the shape {shape:?} of `{}` needs more than the {} bytes that are there",
                self.descr,
                data.len()
            );
            return Err(Fault::at(self.start, reason));
        }
        Ok(Raw { element, big_endian, shape, strides, offset: 0, data })
    }
}
