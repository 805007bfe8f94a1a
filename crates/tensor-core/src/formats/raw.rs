//! Elements in memory as a file lays them out: any type, either byte order, any strides.

use super::{Fault, Read};
use candle_core::{Device, Tensor, WithDType};

/// The type of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    BF16,
    F32,
    F64,
}

impl Element {
    /// Its size in bytes.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Whether it is an integer or a truth value.
    pub(crate) fn is_integer(self) -> bool {
        !matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }
}

/// An array in bytes. Offset and strides count elements.
#[derive(Clone, Debug)]
pub(crate) struct Raw<'a> {
    pub(crate) element: Element,
    pub(crate) big_endian: bool,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
    pub(crate) offset: usize,
    pub(crate) data: &'a [u8],
}

/// An array may repeat its elements (strides of 0) this often.
const REPEATS: usize = 16;

/// The strides of an array whose last axis runs fastest.
pub(crate) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i].saturating_mul(shape[i]);
    }
    strides
}

/// The number of elements of a shape.
pub(crate) fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))
}

/// A number of 16 bits with 5 bits of exponent.
fn half(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (bits >> 15, (bits >> 10) & 31, f32::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        e => (1.0 + fraction / 1024.0) * 2f32.powi(i32::from(e) - 15),
    };
    if sign == 1 { -size } else { size }
}

impl Raw<'_> {
    /// Every element inside the data, and not repeated without end; returns their number.
    fn check(&self) -> Read<usize> {
        let (size, fault) = (self.element.size(), |why: String| Fault::at(0, why));
        let n =
            count(&self.shape).ok_or_else(|| fault(format!("the shape {:?} is larger than any memory", self.shape)))?;
        if self.strides.len() != self.shape.len() {
            return Err(fault(format!("{} strides for the shape {:?}", self.strides.len(), self.shape)));
        }
        if n == 0 {
            return Ok(0);
        }
        let reach = self
            .shape
            .iter()
            .zip(&self.strides)
            .try_fold(self.offset, |at, (d, s)| at.checked_add((d - 1).checked_mul(*s)?));
        let there = self.data.len() / size;
        match reach {
            Some(last) if last < there && n <= there.saturating_mul(REPEATS) => Ok(n),
            _ => Err(fault(format!(
                "the shape {:?} with strides {:?} from element {} on needs more than the {there} elements that are there",
                self.shape, self.strides, self.offset
            ))),
        }
    }

    /// The elements in row-major order.
    fn gather<T, const S: usize>(&self, n: usize, read: impl Fn([u8; S]) -> T) -> Vec<T> {
        if n == 0 {
            // Wherever it says that it starts.
            return Vec::new();
        }
        let one = |chunk: &[u8]| {
            let mut bytes = [0; S];
            bytes.copy_from_slice(chunk);
            if self.big_endian {
                bytes.reverse();
            }
            read(bytes)
        };
        if self.strides == row_major(&self.shape) {
            return self.data[self.offset * S..].chunks_exact(S).take(n).map(one).collect();
        }
        let mut out = Vec::with_capacity(n);
        let mut index = vec![0; self.shape.len()];
        let mut at = self.offset;
        for _ in 0..n {
            out.push(one(&self.data[at * S..][..S]));
            // The next index, as an odometer counts.
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at += self.strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                at -= index[axis] * self.strides[axis];
                index[axis] = 0;
            }
        }
        out
    }

    fn made<T: WithDType>(&self, values: Vec<T>) -> Read<Tensor> {
        Tensor::from_vec(values, self.shape.as_slice(), &Device::Cpu)
            .map_err(|e| Fault::at(0, crate::Error::from(e).to_string()))
    }

    /// The bytes of the array in memory, where a narrow integer takes those of a wide one; `None` for more than any memory.
    pub(crate) fn wide(&self) -> Option<usize> {
        let each = match self.element {
            Element::Bool | Element::U8 => 1,
            Element::U16 | Element::U32 | Element::F16 | Element::BF16 | Element::F32 => 4,
            _ => 8,
        };
        count(&self.shape)?.checked_mul(each)
    }

    /// The array without loss: truth values and bytes as U8; U16 and U32 as U32; other integers as I64; F16, BF16 and F32 as F32; F64.
    ///
    /// # Errors
    /// Elements outside the data; an unsigned number that I64 does not have.
    pub(crate) fn tensor(&self) -> Read<Tensor> {
        let n = self.check()?;
        match self.element {
            Element::Bool | Element::U8 => self.made(self.gather(n, |[b]| b)),
            Element::I8 => self.made(self.gather(n, |b| i64::from(i8::from_le_bytes(b)))),
            Element::U16 => self.made(self.gather(n, |b| u32::from(u16::from_le_bytes(b)))),
            Element::I16 => self.made(self.gather(n, |b| i64::from(i16::from_le_bytes(b)))),
            Element::U32 => self.made(self.gather(n, u32::from_le_bytes)),
            Element::I32 => self.made(self.gather(n, |b| i64::from(i32::from_le_bytes(b)))),
            Element::I64 => self.made(self.gather(n, i64::from_le_bytes)),
            Element::U64 => {
                let all: Option<Vec<i64>> =
                    self.gather(n, |b| i64::try_from(u64::from_le_bytes(b)).ok()).into_iter().collect();
                self.made(all.ok_or_else(|| Fault::at(0, "a number above 2^63 - 1"))?)
            }
            Element::F16 => self.made(self.gather(n, |b| half(u16::from_le_bytes(b)))),
            Element::BF16 => self.made(self.gather(n, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16))),
            Element::F32 => self.made(self.gather(n, f32::from_le_bytes)),
            Element::F64 => self.made(self.gather(n, f64::from_le_bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_exact() {
        let all = [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x0001, 2f32.powi(-24)), (0x3555, 0.333_251_95)];
        assert!(all.into_iter().all(|(bits, want)| half(bits) == want));
        assert!(half(0x7c01).is_nan() && half(0xfc00) == f32::NEG_INFINITY);
    }

    #[test]
    fn any_strides_inside_the_data_and_none_outside() {
        let data: Vec<u8> = (0..24).collect();
        let raw = |shape: &[usize], strides: &[usize], offset| Raw {
            element: Element::U8,
            big_endian: false,
            shape: shape.to_vec(),
            strides: strides.to_vec(),
            offset,
            data: &data,
        };
        let values = |r: Raw<'_>| r.tensor().map(|t| t.flatten_all().unwrap().to_vec1::<u8>().unwrap());
        assert_eq!(values(raw(&[2, 3], &[1, 2], 4)).unwrap(), [4, 6, 8, 5, 7, 9]);
        assert_eq!(values(raw(&[3, 2], &[0, 1], 0)).unwrap(), [0, 1, 0, 1, 0, 1]);
        assert_eq!(values(raw(&[], &[], 23)).unwrap(), [23]);
        assert_eq!(values(raw(&[0, 5], &[usize::MAX, 1], 99)).unwrap(), [0u8; 0]);
        assert_eq!(values(raw(&[0], &[1], 99)).unwrap(), [0u8; 0]);
        let bad = [
            raw(&[2, 3], &[12, 6], 0),
            raw(&[1], &[1], 24),
            raw(&[1 << 40], &[0], 0),
            raw(&[usize::MAX, 2], &[1, 1], 0),
            raw(&[2], &[usize::MAX], 1),
            raw(&[2], &[], 0),
        ];
        for r in bad {
            assert!(values(r.clone()).is_err(), "{r:?}");
        }
    }
}
