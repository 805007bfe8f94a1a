//! Images in a folder.

use anyhow::{Context, Result, bail};
use sconce_datasets::Images;
use std::path::{Path, PathBuf};

/// Endings of the files that are read.
const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let all = std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let mut paths = all.map(|e| Ok(e?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) -> Result<()> {
    for path in entries(folder)? {
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        if path.is_dir() {
            files(&path, out)?;
        } else if ending.is_some_and(|e| ENDINGS.contains(&e.as_str())) {
            out.push(path);
        }
    }
    Ok(())
}

/// One image: height, width, planes of red, green and blue.
type Planes = (usize, usize, Vec<u8>);

/// Reads an image; 16 bits a value become 8.
fn decode(path: &Path) -> Result<Planes> {
    let image = image::ImageReader::open(path)
        .and_then(image::ImageReader::with_guessed_format)
        .with_context(|| format!("{}", path.display()))?
        .decode()
        .with_context(|| format!("{}: the image is damaged or of another format", path.display()))?;
    if image.color().has_alpha() && image.to_rgba8().pixels().any(|p| p.0[3] < 255) {
        bail!(
            "{}: the image has transparent pixels, whose colour nobody sees; put it on a background first, for example with \
             `magick in.png -background white -alpha remove -alpha off out.png`",
            path.display()
        );
    }
    let image = image.into_rgb8();
    let (w, h) = (image.width() as usize, image.height() as usize);
    let raw = image.into_raw();
    Ok((h, w, (0..3).flat_map(|c| raw.iter().skip(c).step_by(3).copied().collect::<Vec<_>>()).collect()))
}

/// What [`resized`] does, in words. `crate::imagefolder` has torchvision's bilinear rule for images that are classified; this one stays, because
/// recorded measures of generated images depend on it.
pub(crate) const RULE: &str = "bicubic with antialiasing (Catmull-Rom)";

/// Planes of `(h, w)` at `side` x `side` pixels.
///
/// # Errors
/// Sides that an image cannot have.
pub(crate) fn resized(planes: &[u8], (h, w): (usize, usize), side: usize) -> Result<Vec<u8>> {
    if (h, w) == (side, side) {
        return Ok(planes.to_vec());
    }
    let (width, height, to) = (u32::try_from(w)?, u32::try_from(h)?, u32::try_from(side)?);
    let mut out = Vec::with_capacity(planes.len() / (h * w) * side * side);
    for plane in planes.chunks(h * w) {
        let plane = image::GrayImage::from_raw(width, height, plane.to_vec()).context("a plane of an image")?;
        out.extend(image::imageops::resize(&plane, to, to, image::imageops::FilterType::CatmullRom).into_raw());
    }
    Ok(out)
}

/// The name of a class as that of a folder: what a file system may not take is a hyphen.
pub(crate) fn class_folder(class: &str) -> String {
    class.chars().map(|c| if c.is_alphanumeric() || " ._-+()".contains(c) { c } else { '-' }).collect()
}

/// A folder of images.
pub(crate) struct Folder {
    /// In colour.
    pub(crate) images: Images,
    /// The names of the classes.
    pub(crate) classes: Vec<String>,
    /// The file of each image.
    pub(crate) files: Vec<PathBuf>,
    /// Height and width of the files; none where they have several sizes.
    pub(crate) size: Option<(usize, usize)>,
}

/// The images of a folder in the order of their paths, in colour. Each subfolder that has images is a class; images outside of subfolders are of a
/// class of their own, so that a folder without subfolders has one class.
///
/// # Errors
/// No images; an image that cannot be decoded, or of another size than the first, with its path; more than 256 classes.
pub(crate) fn read(folder: &Path) -> Result<(Images, Vec<String>)> {
    read_at(folder, None).map(|f| (f.images, f.classes))
}

/// The same, with all images at `side` x `side` pixels where there is a side.
///
/// # Errors
/// As [`read`]; sizes differ only without a side.
pub(crate) fn read_at(folder: &Path, side: Option<usize>) -> Result<Folder> {
    let mut groups: Vec<(String, Vec<PathBuf>)> = Vec::new();
    let mut loose = Vec::new();
    for path in entries(folder)? {
        let mut found = Vec::new();
        if path.is_dir() {
            files(&path, &mut found)?;
            if !found.is_empty() {
                groups.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), found));
            }
        } else if path.extension().is_some_and(|e| ENDINGS.contains(&e.to_string_lossy().to_lowercase().as_str())) {
            loose.push(path);
        }
    }
    if !loose.is_empty() {
        groups.push((".".to_owned(), loose));
    }
    if groups.is_empty() {
        bail!("{}: there are no .png, .jpg or .jpeg files in this folder", folder.display());
    }
    if groups.len() > 256 {
        bail!("{}: {} subfolders; at most 256 classes can be read", folder.display(), groups.len());
    }
    let (mut pixels, mut labels, mut paths, mut one_size) = (Vec::new(), Vec::new(), Vec::new(), true);
    let mut first = None;
    let mut names = Vec::new();
    for (k, (name, group)) in groups.into_iter().enumerate() {
        names.push(name);
        for path in group {
            let (h, w, bytes) = decode(&path)?;
            let (fh, fw, example) = first.get_or_insert_with(|| (h, w, path.clone()));
            one_size &= (h, w) == (*fh, *fw);
            match side {
                Some(side) => pixels.extend(resized(&bytes, (h, w), side)?),
                None if one_size => pixels.extend(bytes),
                None => bail!(
                    "{}: {w} x {h} pixels, but {} has {fw} x {fh}: resize the images to one size first",
                    path.display(),
                    example.display()
                ),
            }
            labels.push(k as u8);
            paths.push(path);
        }
    }
    let (h, w, _) = first.context("no images")?;
    let (height, width) = side.map_or((h, w), |s| (s, s));
    let images = Images::new(pixels, (3, height, width), labels, names.len())?;
    Ok(Folder { images, classes: names, files: paths, size: one_size.then_some((h, w)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(path: &Path, (w, h): (u32, u32), colour: [u8; 3]) {
        image::RgbImage::from_pixel(w, h, image::Rgb(colour)).save(path).unwrap();
    }

    #[test]
    fn subfolders_are_classes_and_sizes_must_agree() {
        let dir = tempfile::tempdir().unwrap();
        let e = read(dir.path()).unwrap_err().to_string();
        assert!(e.contains("no .png, .jpg or .jpeg"), "{e}");
        for (class, colour) in [("b", [0, 0, 255]), ("a", [255, 0, 0])] {
            std::fs::create_dir(dir.path().join(class)).unwrap();
            png(&dir.path().join(class).join("1.PNG"), (3, 2), colour);
        }
        std::fs::write(dir.path().join("notes.txt"), "not an image").unwrap();
        let (images, names) = read(dir.path()).unwrap();
        assert_eq!((names, images.shape, images.labels), (vec!["a".to_owned(), "b".to_owned()], (3, 2, 3), vec![0, 1]));
        assert_eq!((&images.pixels[..6], &images.pixels[18..24]), (&[255; 6][..], &[0; 6][..]));
        png(&dir.path().join("b/2.png"), (4, 2), [0; 3]);
        let e = read(dir.path()).unwrap_err().to_string();
        assert!(e.contains("b/2.png: 4 x 2 pixels") && e.contains("resize"), "{e}");
        std::fs::write(dir.path().join("b/2.png"), "PNG?").unwrap();
        assert!(format!("{:#}", read(dir.path()).unwrap_err()).contains("b/2.png"));
    }

    /// What a viewer shows is what is read: 16 bits are rounded to 8, an opaque alpha channel is nothing, and transparency is refused.
    #[test]
    fn depth_and_alpha_are_read_as_they_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let deep = image::ImageBuffer::from_pixel(2, 2, image::Luma([0x8080u16]));
        image::DynamicImage::ImageLuma16(deep).save(dir.path().join("deep.png")).unwrap();
        image::RgbaImage::from_pixel(2, 2, image::Rgba([9, 9, 9, 255])).save(dir.path().join("opaque.png")).unwrap();
        let (images, _) = read(dir.path()).unwrap();
        assert_eq!((images.pixels[0], images.pixels[12]), (0x80, 9));
        image::RgbaImage::from_pixel(2, 2, image::Rgba([9, 9, 9, 254])).save(dir.path().join("seen.png")).unwrap();
        let e = read(dir.path()).unwrap_err().to_string();
        assert!(e.contains("seen.png: the image has transparent pixels") && e.contains("background"), "{e}");
    }

    #[test]
    fn images_of_several_sizes_come_to_one() {
        let dir = tempfile::tempdir().unwrap();
        png(&dir.path().join("a.png"), (8, 4), [200, 0, 100]);
        let one = read_at(dir.path(), Some(4)).unwrap();
        assert_eq!((one.images.shape, one.size, &one.images.pixels[..16]), ((3, 4, 4), Some((4, 8)), &[200; 16][..]));
        png(&dir.path().join("b.png"), (3, 3), [1, 2, 3]);
        let two = read_at(dir.path(), Some(4)).unwrap();
        assert_eq!((two.images.len(), two.size, two.files.len()), (2, None, 2));
        assert!(read_at(dir.path(), None).is_err());
        // Columns of 0 and 255 become grey: every pixel is averaged, none is skipped.
        let stripes: Vec<u8> = (0..16 * 16).map(|i| if i % 2 == 0 { 0 } else { 255 }).collect();
        let small = resized(&stripes, (16, 16), 4).unwrap();
        assert!(small.iter().all(|v| (110..=145).contains(v)), "{small:?}");
    }
}
