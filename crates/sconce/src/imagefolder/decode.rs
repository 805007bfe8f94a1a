//! One file, as torchvision's loader sees it: in colour, without what is said about transparency and orientation.

use super::pixels::Pixels;
use anyhow::{Context, Result, bail};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use std::io::Cursor;
use std::path::Path;

/// An image, and what a user may want to know of its file.
pub(super) struct Decoded {
    /// Red, green and blue.
    pub(super) image: Pixels,
    /// Some pixels are transparent; their colour was taken.
    pub(super) transparent: bool,
    /// The file has 16 bits a value; the upper 8 were taken.
    pub(super) deep: bool,
    /// A camera says that the image must be turned or mirrored, which was not done.
    pub(super) turned: bool,
}

/// Whether a JPEG has an end: its last scan is followed by the marker of the end. (In a scan no marker occurs.)
fn has_end(jpeg: &[u8]) -> bool {
    let last = |marker: u8| jpeg.windows(2).rposition(|pair| pair == [0xFF, marker]);
    last(0xD9) > last(0xDA)
}

/// Decodes a file.
///
/// # Errors
/// A file that cannot be read, that is damaged or cut, that is neither PNG nor JPEG, or whose 16-bit grey has no agreed form in 8 bits; with its path.
pub(super) fn decode(path: &Path) -> Result<Decoded> {
    read(path).with_context(|| format!("{}", path.display()))
}

fn read(path: &Path) -> Result<Decoded> {
    let bytes = std::fs::read(path)?;
    let format = image::guess_format(&bytes).ok();
    if !matches!(format, Some(ImageFormat::Png | ImageFormat::Jpeg)) {
        let what = if bytes.is_empty() { "the file is empty" } else { "the content is neither PNG nor JPEG" };
        bail!("{what}; remove the file or write it again");
    }
    let damaged = "the image is damaged or cut short; remove it or write it again";
    let mut decoder = ImageReader::new(Cursor::new(&bytes))
        .with_guessed_format()
        .map_err(image::ImageError::IoError)
        .and_then(ImageReader::into_decoder)
        .context(damaged)?;
    if format == Some(ImageFormat::Jpeg) && !has_end(&bytes) {
        bail!("the file ends before its image does; remove it or write it again");
    }
    // What cannot be read here is not worth an error: the orientation is not applied.
    let turned = decoder.orientation().is_ok_and(|o| o != Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).context(damaged)?;
    let upper = |values: &[u16]| values.iter().map(|v| (v >> 8) as u8).collect::<Vec<u8>>();
    let (width, height) = (image.width() as usize, image.height() as usize);
    let (mut deep, mut transparent) = (false, false);
    let rgb = match image {
        DynamicImage::ImageLuma16(_) | DynamicImage::ImageLumaA16(_) => bail!(
            "a grey image of 16 bits, for which torchvision and others disagree on the 8 bits of a classifier; convert it as the training did, for \
             example with `magick in.png -depth 8 out.png`"
        ),
        DynamicImage::ImageRgb16(i) => {
            deep = true;
            upper(i.as_raw())
        }
        DynamicImage::ImageRgba16(i) => {
            deep = true;
            transparent = i.pixels().any(|p| p.0[3] < u16::MAX);
            i.pixels().flat_map(|p| upper(&p.0[..3])).collect()
        }
        image if image.color().has_alpha() => {
            let i = image.into_rgba8();
            transparent = i.pixels().any(|p| p.0[3] < u8::MAX);
            i.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]]).collect()
        }
        image => image.into_rgb8().into_raw(),
    };
    Ok(Decoded { image: Pixels::new(3, (height, width), rgb)?, transparent, deep, turned })
}
