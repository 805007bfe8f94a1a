//! What can be wrong with the input of a drawing, and the checks.

/// Why something could not be drawn. `what` names the argument.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument has no values.
    #[error("{what}: there is nothing to draw")]
    Empty {
        /// The argument.
        what: String,
    },
    /// A value is NaN or infinite.
    #[error("{what}: value {index} is not finite")]
    NotFinite {
        /// The argument.
        what: String,
        /// The position of the first such value.
        index: usize,
    },
    /// Sizes do not fit.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// The argument.
        what: String,
        /// What it must be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// Values are outside their range, or not in order.
    #[error("{what}: {reason}")]
    Range {
        /// The argument.
        what: String,
        /// What is wrong, and what must hold.
        reason: String,
    },
    /// A library that writes SVG or PNG failed.
    #[error("cannot draw {what}: {reason}")]
    Draw {
        /// The figure.
        what: String,
        /// The library's reason.
        reason: String,
    },
}

/// A result whose error is [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn shape(what: &str, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Shape { what: what.to_owned(), expected: expected.into(), got: got.into() }
    }

    pub(crate) fn range(what: &str, reason: impl Into<String>) -> Self {
        Self::Range { what: what.to_owned(), reason: reason.into() }
    }

    pub(crate) fn draw(what: &str, reason: impl std::fmt::Display) -> Self {
        Self::Draw { what: what.to_owned(), reason: reason.to_string() }
    }
}

/// Fails where there is no value.
pub(crate) fn some<T>(what: &str, values: &[T]) -> Result<()> {
    if values.is_empty() { Err(Error::Empty { what: what.to_owned() }) } else { Ok(()) }
}

/// Fails at the first value that is not finite.
pub(crate) fn finite(what: &str, values: impl IntoIterator<Item = f64>) -> Result<()> {
    match values.into_iter().position(|v| !v.is_finite()) {
        Some(index) => Err(Error::NotFinite { what: what.to_owned(), index }),
        None => Ok(()),
    }
}
