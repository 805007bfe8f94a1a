//! Named arrays of one file: a numpy archive, one numpy array, or safetensors.

use super::npy::Npy;
use super::raw::{Element, Raw, row_major};
use super::zip::Archive;
use super::{Content, Fault, Read};
use crate::{Error, Result};
use candle_core::Tensor;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::path::{Path, PathBuf};

/// The arrays of a `.npz`, `.npy` or `.safetensors` file, which its content tells apart, whatever its name. They are read one by one, so that one
/// that cannot be read (strings, objects) does no harm to the others.
///
/// Archives may be deflated; arrays may be in C or Fortran order and in either byte order, of any integer or floating-point type or truth values.
///
/// ```no_run
/// use sconce_tensor_core::formats::Arrays;
/// let arrays = Arrays::open("data.npz".as_ref())?;
/// println!("{:?}: {:?}", arrays.names(), arrays.get("x")?.dims());
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Arrays {
    path: PathBuf,
    bytes: Vec<u8>,
    content: Content,
    names: Vec<String>,
}

fn element(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::BOOL => Element::Bool,
        Dtype::U8 => Element::U8,
        Dtype::I8 => Element::I8,
        Dtype::U16 => Element::U16,
        Dtype::I16 => Element::I16,
        Dtype::U32 => Element::U32,
        Dtype::I32 => Element::I32,
        Dtype::U64 => Element::U64,
        Dtype::I64 => Element::I64,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::BF16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        _ => return None,
    })
}

/// A tensor of a safetensors file, as [`Arrays::get`] gives it.
pub(crate) fn safetensor(view: &TensorView<'_>) -> Read<Tensor> {
    let element =
        element(view.dtype()).ok_or_else(|| Fault::at(0, format!("the type {:?} is not read", view.dtype())))?;
    let shape = view.shape().to_vec();
    let strides = row_major(&shape);
    Raw { element, big_endian: false, shape, strides, offset: 0, data: view.data() }.tensor()
}

impl Arrays {
    /// The name of the only array of a `.npy` file.
    pub const ONLY: &'static str = "arr_0";

    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] with the path where the file is damaged or of another kind, which is named; [`Error::Checkpoint`] where a
    /// file of this workspace was changed after it was written.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        if Content::of(&bytes) == Content::SafeTensors {
            // With its checksum, where it has one.
            crate::store::verify(path, &bytes)?;
        }
        Self::parse(path, bytes).map_err(|f| f.of(path))
    }

    fn parse(path: &Path, bytes: Vec<u8>) -> Read<Self> {
        let content = Content::of(&bytes);
        let names = match content {
            Content::Npy => {
                Npy::open(&bytes)?;
                vec![Self::ONLY.to_owned()]
            }
            Content::Zip => {
                let archive = Archive::open(&bytes)?;
                let names: Vec<String> =
                    archive.names().filter_map(|n| n.strip_suffix(".npy").map(str::to_owned)).collect();
                if names.is_empty() && archive.names().any(|n| n.starts_with("xl/")) {
                    return Err(Fault::at(0, "a workbook of Excel, which is not read: save its sheet as CSV"));
                }
                if names.is_empty() {
                    let all: Vec<&str> = archive.names().take(5).collect();
                    return Err(Fault::at(0, format!("a zip archive without arrays of numpy; it has {all:?}")));
                }
                names
            }
            Content::SafeTensors => {
                let all = SafeTensors::deserialize(&bytes)
                    .map_err(|e| Fault::at(0, format!("not a whole safetensors file: {e}")))?;
                let mut names: Vec<String> = all.names().into_iter().map(str::to_owned).collect();
                names.sort_unstable();
                names
            }
            Content::Pickle => {
                let reason = "a pickle of Python, which is no array; in Python, write the arrays with numpy.savez(\"data.npz\", x=x, y=y)";
                return Err(Fault::at(0, reason));
            }
            Content::Other(what) => {
                return Err(Fault::at(
                    0,
                    format!("the content is {what}; arrays are read from .npz, .npy and .safetensors"),
                ));
            }
        };
        Ok(Self { path: path.to_owned(), bytes, content, names })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is one array without a name.
    pub fn is_single(&self) -> bool {
        self.content == Content::Npy
    }

    /// The names of all arrays, also of those that cannot be read.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The array of a name, without loss: truth values and bytes as U8; U16 and U32 as U32; other integers as I64; F16, BF16 and F32 as F32; F64.
    ///
    /// # Errors
    /// [`Error::Data`] with the path: no array of that name (with the names there are), a damaged one, or one that holds no numbers.
    pub fn get(&self, name: &str) -> Result<Tensor> {
        let read = self.read(name).map_err(|f| Fault { reason: format!("array `{name}`: {}", f.reason), ..f });
        read.map_err(|f| f.of(&self.path))
    }

    fn read(&self, name: &str) -> Read<Tensor> {
        let missing = || Fault::at(0, format!("it is not in the file, which has {:?}", self.names));
        match self.content {
            Content::Npy if name == Self::ONLY => Npy::open(&self.bytes)?.raw(&self.bytes)?.tensor(),
            Content::Zip => {
                let found = Archive::open(&self.bytes)?.get(&format!("{name}.npy"))?.ok_or_else(missing)?;
                Npy::open(&found)?.raw(&found)?.tensor()
            }
            Content::SafeTensors => {
                let all = SafeTensors::deserialize(&self.bytes).map_err(|e| Fault::at(0, e.to_string()))?;
                let view = all.tensor(name).map_err(|_| missing())?;
                safetensor(&view)
            }
            _ => Err(missing()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
