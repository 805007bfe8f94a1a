//! Exit codes: what whoever started the program must know. 0 done, 1 an error that may not come again (a full disk, a lost connection), 2 an error
//! that comes again however often it is tried, 3 a claim is not supported (`--strict`), 4 results are missing, 75 asked to stop.

use anyhow::Error;
use sconce_tensor_core::error::{Error as Core, describe};
use std::fmt;

/// Trying again does not help.
pub const REFUSED: u8 = 2;
/// Results are missing.
pub const HOLES: u8 = 4;

/// An error with its exit code.
#[derive(Debug)]
pub struct Coded {
    code: u8,
    text: String,
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Coded {}

/// An error that comes again however often it is tried.
pub fn refused(text: impl Into<String>) -> Error {
    Coded { code: REFUSED, text: text.into() }.into()
}

/// The same of an error that is there already.
pub fn refuse(e: Error) -> Error {
    refused(describe(e.as_ref()))
}

/// Results that are missing.
pub fn holes(text: impl Into<String>) -> Error {
    Coded { code: HOLES, text: text.into() }.into()
}

/// Whether it is the end of a run that was asked to stop.
pub fn stopped(e: &Error) -> bool {
    e.chain().any(|c| matches!(c.downcast_ref(), Some(Core::Stopped { .. })))
}

/// Whether a file could not be read or written: the next job meets the same disk.
pub fn of_disk(e: &Error) -> bool {
    let disk = |c: &(dyn std::error::Error + 'static)| {
        c.is::<std::io::Error>() || matches!(c.downcast_ref(), Some(Core::Io { .. }))
    };
    e.chain().any(disk)
}

/// The code of an error.
pub fn code(e: &Error) -> u8 {
    if stopped(e) {
        return sconce::stop::CODE;
    }
    let own = e.chain().find_map(|c| c.downcast_ref::<Coded>()).map(|c| c.code);
    // Training that diverged diverges again, and so on: jobs have no hidden randomness.
    let fixed = |c: &(dyn std::error::Error + 'static)| {
        let kind = c.downcast_ref();
        matches!(
            kind,
            Some(Core::NotFinite { .. } | Core::Config { .. } | Core::Unsupported { .. } | Core::Conflict { .. })
        )
    };
    own.unwrap_or(if e.chain().any(fixed) { REFUSED } else { 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn codes_come_through_contexts() {
        let with = |e: Error| Err::<(), _>(e).context("job a").context("above").unwrap_err();
        assert_eq!(code(&with(refused("x"))), 2);
        assert_eq!(code(&with(holes("x"))), 4);
        assert_eq!(code(&with(Core::Stopped { path: "p".into() }.into())), 75);
        assert_eq!(code(&with(Core::not_finite("loss", "NaN").into())), 2);
        let disk = Core::Io { path: "p".into(), cause: std::io::Error::other("full") };
        let disk = with(disk.into());
        assert!(of_disk(&disk) && code(&disk) == 1);
        assert_eq!(code(&with(anyhow!("x"))), 1);
        assert_eq!(code(&refuse(anyhow!("y").context("x"))), 2);
        assert_eq!(refuse(anyhow!("y").context("x")).to_string(), "x: y");
    }
}
