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

/// Height, width and the bytes of one image as planes of red, green and blue.
fn decode(path: &Path) -> Result<(usize, usize, Vec<u8>)> {
    let image = image::ImageReader::open(path)
        .and_then(image::ImageReader::with_guessed_format)
        .with_context(|| format!("{}", path.display()))?
        .decode()
        .with_context(|| format!("{}: the image is damaged or of another format", path.display()))?
        .into_rgb8();
    let (w, h) = (image.width() as usize, image.height() as usize);
    let raw = image.into_raw();
    Ok((h, w, (0..3).flat_map(|c| raw.iter().skip(c).step_by(3).copied().collect::<Vec<_>>()).collect()))
}

/// The images of a folder in the order of their paths, in colour. Each subfolder that has images is a class; images outside of subfolders are of a
/// class of their own, so that a folder without subfolders has one class.
///
/// # Errors
/// No images; an image that cannot be decoded, or of another size than the first, with its path; more than 256 classes.
pub(crate) fn read(folder: &Path) -> Result<(Images, Vec<String>)> {
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
    let (mut pixels, mut labels, mut first) = (Vec::new(), Vec::new(), None);
    for (k, (_, paths)) in groups.iter().enumerate() {
        for path in paths {
            let (h, w, bytes) = decode(path)?;
            let (fh, fw, example) = first.get_or_insert_with(|| (h, w, path.clone()));
            if (h, w) != (*fh, *fw) {
                bail!(
                    "{}: {w} x {h} pixels, but {} has {fw} x {fh}: resize the images to one size first",
                    path.display(),
                    example.display()
                );
            }
            pixels.extend(bytes);
            labels.push(k as u8);
        }
    }
    let (h, w, _) = first.context("no images")?;
    let names: Vec<String> = groups.into_iter().map(|g| g.0).collect();
    Ok((Images::new(pixels, (3, h, w), labels, names.len())?, names))
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
}
