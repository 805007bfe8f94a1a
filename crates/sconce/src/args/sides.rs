//! Sides of an image, as options give them.

use std::str::FromStr;

/// The longest side that an option may ask for.
const LONGEST: u32 = 16_384;

/// `N`, one number for an image, or `HxW`, height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// One number: the shorter side when resizing, both sides when cropping.
    One(u32),
    /// Height and width.
    Both(u32, u32),
}

impl std::fmt::Display for Sides {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(n) => write!(f, "{n}"),
            Self::Both(h, w) => write!(f, "{h}x{w}"),
        }
    }
}

impl FromStr for Sides {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |t: &str| {
            let n: Option<u32> = t.trim().parse().ok().filter(|n| (1..=LONGEST).contains(n));
            n.ok_or_else(|| format!("must be N or HxW, each side from 1 to {LONGEST} pixels, got `{text}`"))
        };
        match text.split_once(['x', 'X', '×']) {
            Some((h, w)) => Ok(Self::Both(side(h)?, side(w)?)),
            None => Ok(Self::One(side(text)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_side_or_both() {
        assert_eq!("224".parse(), Ok(Sides::One(224)));
        assert_eq!("48x192".parse(), Ok(Sides::Both(48, 192)));
        assert_eq!(Sides::Both(48, 192).to_string(), "48x192");
        for bad in ["", "0", "-3", "x", "3x", "3x0", "1x2x3", "99999999", "2.5"] {
            assert!(bad.parse::<Sides>().unwrap_err().contains("must be N or HxW"), "{bad}");
        }
    }
}
