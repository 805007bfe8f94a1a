//! Pictures as PNG inside the page, and tiles of them.

use crate::error::{Error, Result, finite, some};
use base64::Engine;

/// One picture with its caption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// A `data:` address, as [`png()`], [`image()`] and [`crate::heat_image`] make them.
    pub image: String,
    /// The text under it.
    pub caption: String,
    /// What it shows, for readers who do not see it.
    pub alt: String,
}

/// A picture of `width` times `height` pixels as a `data:` address; `rgb` has three bytes (red, green, blue) for each pixel, row by row.
///
/// # Errors
/// No pixels, or a wrong number of bytes.
pub fn png(width: usize, height: usize, rgb: &[u8]) -> Result<String> {
    some("rgb", rgb)?;
    let size = width.checked_mul(height).and_then(|n| n.checked_mul(3));
    let (w, h) = (u32::try_from(width).unwrap_or(0), u32::try_from(height).unwrap_or(0));
    if size != Some(rgb.len()) || w == 0 || h == 0 {
        return Err(Error::shape("rgb", format!("{width} x {height} x 3 bytes"), format!("{}", rgb.len())));
    }
    let failed = |e: png::EncodingError| Error::draw("a picture", e);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, w, h);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().map_err(failed)?.write_image_data(rgb).map_err(failed)?;
    Ok(format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(bytes)))
}

/// An image as a `data:` address: values in [0, 1] (others are clipped), a plane of rows for each channel; the shape is (channels, height, width) with
/// 1 (grey) or 3 (red, green, blue) channels.
///
/// # Errors
/// No values, a value that is not finite, another number of channels, or a wrong number of values.
pub fn image((channels, height, width): (usize, usize, usize), values: &[f32]) -> Result<String> {
    some("values", values)?;
    let plane = height.saturating_mul(width);
    if ![1, 3].contains(&channels) || plane.checked_mul(channels) != Some(values.len()) {
        return Err(Error::shape(
            "values",
            "1 or 3 channels x height x width values",
            format!("{} values for {channels} x {height} x {width}", values.len()),
        ));
    }
    finite("values", values.iter().map(|v| f64::from(*v)))?;
    let byte = |c: usize, i: usize| (values[c.min(channels - 1) * plane + i] * 255.0).round().clamp(0.0, 255.0) as u8;
    let rgb: Vec<u8> = (0..plane).flat_map(|i| [byte(0, i), byte(1, i), byte(2, i)]).collect();
    png(width, height, &rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_must_fit() {
        assert!(png(1, 1, &[0, 128, 255]).unwrap().starts_with("data:image/png;base64,"));
        assert_eq!(image((1, 1, 2), &[0.0, 2.0]).unwrap(), png(2, 1, &[0, 0, 0, 255, 255, 255]).unwrap());
        for bad in [png(2, 1, &[0; 3]), png(0, 0, &[]), image((2, 1, 1), &[0.0; 2]), image((1, 1, 1), &[f32::NAN])] {
            assert!(bad.is_err());
        }
    }
}
