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
    /// A run ended because it was asked to ([`crate::train::Stop`]). The same run goes on from its checkpoint.
    #[error("stopped because it was asked to; the state is kept in {path}")]
    Stopped {
        /// The checkpoint.
        path: PathBuf,
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
    /// An error of candle's, without the backtrace that candle prints where `RUST_BACKTRACE` is set (part of the message, so no
    /// `source` of its own).
    #[error("{}", bare(.0))]
    Candle(candle_core::Error),
    /// An error of the safetensors format.
    #[error("safetensors: {0}")]
    SafeTensors(#[from] safetensors::SafeTensorError),
}

impl From<candle_core::Error> for Error {
    fn from(e: candle_core::Error) -> Self {
        Self::Candle(e)
    }
}

/// The message of an error of candle's without its backtrace.
fn bare(e: &candle_core::Error) -> String {
    use candle_core::Error as E;
    match e {
        E::WithBacktrace { inner, .. } => bare(inner),
        E::WithPath { inner, path } => format!("{}: {}", path.display(), bare(inner)),
        E::Context { inner, context } => format!("{context}: {}", bare(inner)),
        e => e.to_string(),
    }
}

/// An error with its causes in one line, for a user: what candle adds for its developers (backtraces) is left out.
pub fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(e) = next {
        let candle = e.downcast_ref::<candle_core::Error>();
        let text = candle.map_or_else(|| e.to_string(), bare);
        // A transparent wrapper repeats its cause.
        if parts.last() != Some(&text) {
            parts.push(text);
        }
        // candle's message has its causes in it.
        next = if candle.is_some() { None } else { e.source() };
    }
    parts.join(": ")
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As candle does it where `RUST_BACKTRACE` is set.
    #[test]
    fn no_backtrace_of_candles_is_shown() {
        let candle = || {
            let trace = Box::new(std::backtrace::Backtrace::force_capture());
            let inner = Box::new(candle_core::Error::Msg("rank is 3".to_owned()));
            candle_core::Error::WithBacktrace { inner, backtrace: trace }.context("argmax")
        };
        assert!(candle().to_string().contains("backtrace") || candle().to_string().contains("0:"));
        let ours = Error::from(candle());
        assert_eq!(ours.to_string(), "argmax: rank is 3");
        assert_eq!(describe(&ours), "argmax: rank is 3");
        assert_eq!(describe(&candle()), "argmax: rank is 3");
        let nested = Error::from(candle_core::Error::from(Error::value("x", "is NaN")));
        assert_eq!(describe(&nested), "x: is NaN");
    }
}
