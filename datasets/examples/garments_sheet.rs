//! A contact sheet of garments in cloth as a PNG: a row of images for each shape, texture and hue, then images in the data's order.
//!
//! `cargo run -p sconce-datasets --example garments_sheet -- garments.png`

use sconce_datasets::garments::{Garments, Label};
use sconce_datasets::{Result, Split};
use std::path::PathBuf;

/// Images in a row.
const COLUMNS: usize = 20;
/// Side of an image, and how often its pixels are repeated.
const SIDE: usize = 28;
const ZOOM: usize = 2;

fn main() -> Result<()> {
    let path = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "garments.png".to_owned()));
    let data = Garments::embedded(Split::Test, 0)?;
    let images = data.images(Label::Shape)?;
    let mut rows: Vec<Vec<usize>> = Vec::new();
    for set in Label::ALL {
        for class in 0..data.classes(set) {
            let of_class = |i: &usize| usize::from(data.labels(set)[*i]) == class;
            // In an order that mixes the shapes, which stand class by class.
            rows.push((0..data.len()).map(|i| i * 37 % data.len()).filter(of_class).take(COLUMNS).collect());
        }
    }
    rows.extend((0..6).map(|r| (0..COLUMNS).map(|c| (r * COLUMNS + c) * 7 % data.len()).collect()));

    let (width, cell) = (COLUMNS * SIDE * ZOOM, SIDE * ZOOM);
    let mut sheet = vec![255; width * rows.len() * cell * 3];
    for (r, row) in rows.iter().enumerate() {
        for (c, i) in row.iter().enumerate() {
            let image = &images.pixels[i * 3 * SIDE * SIDE..][..3 * SIDE * SIDE];
            for (y, x) in (0..cell).flat_map(|y| (0..cell).map(move |x| (y, x))) {
                let to = ((r * cell + y) * width + c * cell + x) * 3;
                let from = (y / ZOOM) * SIDE + x / ZOOM;
                (0..3).for_each(|k| sheet[to + k] = image[k * SIDE * SIDE + from]);
            }
        }
    }
    let file = std::fs::File::create(&path).map_err(sconce_datasets::Error::io(&path))?;
    let mut encoder = png::Encoder::new(file, width as u32, (rows.len() * cell) as u32);
    encoder.set_color(png::ColorType::Rgb);
    let failed = |e| sconce_datasets::Error::io(&path)(std::io::Error::other(e));
    encoder.write_header().and_then(|mut w| w.write_image_data(&sheet)).map_err(failed)
}
