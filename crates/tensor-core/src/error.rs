//! The error type of all crates of the family.

use std::path::PathBuf;

/// An error that names the field, or the file and the place in it, and what to do.
///
/// Every published crate of the family re-exports this type. The crates do not panic on user input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration value is outside its range.
    #[error("`{field}` {reason}")]
    Config {
        /// The field, with its struct: `PgdConfig.steps`.
        field: &'static str,
        /// What is wrong with it, with the value that was given.
        reason: String,
    },
    /// A tensor has the wrong shape.
    #[error("{what}: expected shape {expected}, got {got:?}")]
    Shape {
        /// The tensor.
        what: String,
        /// The expected shape in words.
        expected: String,
        /// The shape that was given.
        got: Vec<usize>,
    },
    /// A loss, a metric, a gradient or a parameter became NaN or infinite: training diverged.
    #[error("{what}: {reason}")]
    NotFinite {
        /// The quantity.
        what: String,
        /// Its value and its place.
        reason: String,
    },
    /// A value is NaN, infinite, or out of bounds.
    #[error("{what}: {reason}")]
    Value {
        /// The tensor or quantity.
        what: String,
        /// What is wrong, with the first offending value and its place.
        reason: String,
    },
    /// The content of a file does not follow its format.
    #[error("{path}: byte {offset}: {reason}")]
    Data {
        /// The file.
        path: PathBuf,
        /// The position in the (decompressed) file.
        offset: u64,
        /// What is wrong at this position.
        reason: String,
    },
    /// A data set was not found.
    #[error("data set `{name}` not found; looked in: {}", looked.join(", "))]
    NotFound {
        /// The data set.
        name: String,
        /// The places that were searched, in order.
        looked: Vec<String>,
    },
    /// A trainable parameter got no gradient in the backward pass.
    #[error("trainable parameter `{name}` received no gradient: the graph between it and the loss is cut")]
    NoGradient {
        /// The parameter's name.
        name: String,
    },
    /// A checkpoint or weights file does not fit what it is loaded into.
    #[error("{path}: {reason}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why it does not fit.
        reason: String,
    },
    /// A file that is written once is there already, with other content.
    #[error(
        "{path}: another writer left other content there: digest {there}, ours {ours}; remove the wrong one of the two"
    )]
    Conflict {
        /// The file.
        path: PathBuf,
        /// The digest of what is there.
        there: String,
        /// The digest of what was to be written.
        ours: String,
    },
    /// Reading or writing a file failed.
    #[error("{path}: {cause}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason (part of the message, so no `source` of its own).
        cause: std::io::Error,
    },
    /// The operation is not supported for this input. It returns an error rather than a wrong number.
    #[error("{what} is not supported: {reason}")]
    Unsupported {
        /// The operation.
        what: &'static str,
        /// Why not, and what to do instead.
        reason: String,
    },
    /// An error of candle's.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// An error of the safetensors format.
    #[error("safetensors: {0}")]
    SafeTensors(#[from] safetensors::SafeTensorError),
}

/// For closures and modules that return candle's `Result` and call this crate's operations with `?`.
impl From<Error> for candle_core::Error {
    fn from(e: Error) -> Self {
        match e {
            Error::Candle(e) => e,
            e => Self::wrap(e),
        }
    }
}

/// `std::result::Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A configuration error for `field`.
    pub fn config(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Config { field, reason: reason.into() }
    }

    /// A shape error for the tensor named `what`.
    pub fn shape(what: impl Into<String>, expected: impl Into<String>, got: &[usize]) -> Self {
        Self::Shape { what: what.into(), expected: expected.into(), got: got.to_vec() }
    }

    /// A value error for the tensor or quantity named `what`.
    pub fn value(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Value { what: what.into(), reason: reason.into() }
    }

    /// The error of a quantity that became NaN or infinite.
    pub fn not_finite(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::NotFinite { what: what.into(), reason: reason.into() }
    }

    /// Wraps an error of the operating system with the path.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Io { path, cause }
    }
}

/// Checks the condition `ok` on one configuration value.
///
/// # Errors
/// [`Error::Config`] naming `field` if `ok` is false.
pub fn require(field: &'static str, ok: bool, must: &str, got: impl std::fmt::Display) -> Result<()> {
    if ok { Ok(()) } else { Err(Error::config(field, format!("must be {must}, got {got}"))) }
}
