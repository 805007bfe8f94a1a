//! Values in [0, 1] as text: two hexadecimal digits each, for images and maps in the output of a job.

use anyhow::Result;

/// The text, to 1/255.
pub fn to_text(values: impl IntoIterator<Item = f64>) -> String {
    values.into_iter().map(|v| format!("{:02x}", (v.clamp(0.0, 1.0) * 255.0).round() as u8)).collect()
}

/// The way back.
pub fn from_text(text: &str) -> Result<Vec<f64>> {
    let value = |i: usize| Ok(f64::from(u8::from_str_radix(text.get(i..i + 2).unwrap_or(""), 16)?) / 255.0);
    (0..text.len() / 2).map(|i| value(2 * i)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_their_text() {
        assert_eq!(to_text([0.0, 1.0, 0.5, -3.0]), "00ff8000");
        assert_eq!(from_text("00ff").unwrap(), [0.0, 1.0]);
        assert!(from_text("zz").is_err());
    }
}
