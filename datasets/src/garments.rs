//! Garments in cloth: coloured images that are made from Fashion-MNIST's garments and 16 textures, with three independent sets of
//! labels.
//!
//! A network that sees only shape fails on two of the sets, so that they show what a representation keeps of texture and colour.
//!
//! # Recipe
//! For a grey image with values x in [0, 1], a 28 x 28 cut t of a texture with mean 0 and standard deviation 1, and HSV colours:
//!
//! | part | formula |
//! |---|---|
//! | mask | `min(1, 4 x)` |
//! | luminance of the cloth | `clip(0.55 + 0.18 t, 0.05, 1) (0.35 + 0.65 x)` |
//! | hue of the cloth | `(h + U(-0.3, 0.3)) / 8` of a turn, for the label h |
//! | saturation of the cloth | N(0.55, 0.1), clipped to [0.3, 0.8] |
//! | background | hue uniform, saturation 0.12, value U(0.75, 0.85) |
//!
//! The cut's place is uniform. Labels of texture and hue are uniform and independent of each other and of the shape. Saturation,
//! value and contrast have narrow distributions, so that a change of one of them can be recognised in a single image (the recipe is
//! chosen by us).

use crate::{Error, Images, Result, Split, bytes, embedded, idx};
use sconce_tensor_core::Rng;
use std::path::Path;

/// Number of textures.
pub const TEXTURES: usize = 16;
/// Number of hues.
pub const HUES: usize = 8;

const FILE: &str = "textures-idx3-ubyte.gz";
/// Floor textures of Freedoom (BSD-3-Clause; `embedded/textures/LICENSE`, `CREDITS`); `make_textures.py` there made the file.
const PACKED: &[u8] = include_bytes!("../embedded/textures/textures-idx3-ubyte.gz");

/// One of the three sets of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// The garment: the ten classes of Fashion-MNIST.
    Shape,
    /// The texture of its cloth: [`TEXTURES`] classes.
    Texture,
    /// The hue of its cloth: [`HUES`] classes, from red in steps of 45 degrees.
    Hue,
}

impl Label {
    /// All three, in the order of the catalog.
    pub const ALL: [Self; 3] = [Self::Shape, Self::Texture, Self::Hue];

    /// The name in the catalog.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shape => "shape",
            Self::Texture => "texture",
            Self::Hue => "hue",
        }
    }
}

/// Colour images (3, H, W) with a label of each set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garments {
    /// Values, image after image, each as planes of red, green and blue.
    pixels: Vec<u8>,
    size: (usize, usize),
    shapes: usize,
    labels: [Vec<u8>; 3],
}

impl Garments {
    /// Puts each of the grey images into cloth. The i-th image draws all that is random from `rng.at(first + i)`: it does not
    /// depend on the images around it.
    ///
    /// Whole Fashion-MNIST, 60,000 images:
    ///
    /// ```no_run
    /// use sconce_datasets::{Lookup, Split, catalog, garments::Garments};
    /// use sconce_tensor_core::Rng;
    /// let lookup = Lookup::new(Some("data".into()), vec![]);
    /// let grey = lookup.load(&catalog::get("fashion-mnist")?, Split::Train)?;
    /// let train = Garments::new(&grey, 0, &Rng::new(0).stream("train"))?;
    /// # Ok::<(), sconce_datasets::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Value`] for images with several channels, or of more than 64 x 64, which is the textures' size.
    pub fn new(grey: &Images, first: u64, rng: &Rng) -> Result<Self> {
        let textures = Textures::load()?;
        let (c, h, w) = grey.shape;
        if c != 1 || h > textures.side || w > textures.side {
            let reason = format!("must be grey and at most {0} x {0}, got {c} x {h} x {w}", textures.side);
            return Err(Error::value("images to put into cloth", reason));
        }
        let mut pixels = vec![0; 3 * grey.pixels.len()];
        let (mut texture, mut hue) = (Vec::with_capacity(grey.len()), Vec::with_capacity(grey.len()));
        for (i, (out, x)) in pixels.chunks_exact_mut(3 * h * w).zip(grey.pixels.chunks_exact(h * w)).enumerate() {
            let cloth = Cloth::draw(&rng.at(first.wrapping_add(i as u64)), textures.side, (h, w));
            cloth.paint(x, &textures, w, out);
            texture.push(cloth.texture as u8);
            hue.push(cloth.hue as u8);
        }
        Ok(Self { pixels, size: (h, w), shapes: grey.classes, labels: [grey.labels.clone(), texture, hue] })
    }

    /// The embedded part of Fashion-MNIST in cloth: 7,500 training or 1,000 test images. Each seed gives other cloth.
    ///
    /// ```
    /// use candle_core::Device;
    /// use sconce_datasets::{Split, garments::{Garments, Label}};
    /// let test = Garments::embedded(Split::Test, 0)?;
    /// let data = test.images(Label::Texture)?.to_labelled(&Device::Cpu)?;
    /// assert_eq!((data.x().dims(), data.classes()), (&[1_000, 3, 28, 28][..], 16));
    /// # Ok::<(), sconce_datasets::Error>(())
    /// ```
    ///
    /// # Errors
    /// None in a build whose tests passed.
    pub fn embedded(split: Split, seed: u64) -> Result<Self> {
        let part = if split == Split::Train { "train" } else { "test" };
        Self::new(&embedded::fashion_mnist(split)?, 0, &Rng::new(seed).stream("garments").stream(part))
    }

    /// How many images.
    pub fn len(&self) -> usize {
        self.labels[0].len()
    }

    /// Never true; there is at least one image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many classes a set of labels has.
    pub fn classes(&self, set: Label) -> usize {
        match set {
            Label::Shape => self.shapes,
            Label::Texture => TEXTURES,
            Label::Hue => HUES,
        }
    }

    /// One label per image.
    pub fn labels(&self, set: Label) -> &[u8] {
        &self.labels[set as usize]
    }

    /// The images with the labels of one set.
    ///
    /// # Errors
    /// As [`Images::new`].
    pub fn images(&self, set: Label) -> Result<Images> {
        let (h, w) = self.size;
        Images::new(self.pixels.clone(), (3, h, w), self.labels(set).to_vec(), self.classes(set))
    }
}

/// The textures by themselves: 16 grey images of 64 x 64, each a class of its own.
///
/// # Errors
/// None in a build whose tests passed.
pub fn textures() -> Result<Images> {
    let path = Path::new(FILE);
    let idx::Array { dims, values } = idx::parse(&bytes::inflate(PACKED, path)?, path)?;
    let &[TEXTURES, side, width] = dims.as_slice() else {
        return Err(Error::value(FILE, format!("has axes {dims:?}, not {TEXTURES} textures")));
    };
    Images::new(values, (1, side, width), (0..TEXTURES as u8).collect(), TEXTURES)
}

/// The textures, each with mean 0 and standard deviation 1.
struct Textures {
    values: Vec<f64>,
    side: usize,
}

impl Textures {
    fn load() -> Result<Self> {
        let Images { pixels, shape: (_, side, width), .. } = textures()?;
        let standardise = |t: &[u8]| {
            let n = t.len() as f64;
            let mean = t.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
            let sd = (t.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n).sqrt();
            t.iter().map(move |v| (f64::from(*v) - mean) / sd).collect::<Vec<f64>>()
        };
        Ok(Self { values: pixels.chunks_exact(side * width).flat_map(standardise).collect(), side })
    }

    /// A row of a texture, from a column on.
    fn row(&self, texture: usize, y: usize, x: usize) -> &[f64] {
        &self.values[(texture * self.side + y) * self.side + x..][..self.side - x]
    }
}

/// What is drawn for one image.
struct Cloth {
    texture: usize,
    hue: usize,
    /// Row and column of the cut's corner in its texture.
    corner: (usize, usize),
    /// The cloth's colour at luminance 1, and the background's.
    colour: [f64; 3],
    background: [f64; 3],
}

impl Cloth {
    fn draw(rng: &Rng, side: usize, (h, w): (usize, usize)) -> Self {
        let u = rng.uniforms(7);
        let upto = |u: f64, n: usize| (u * n as f64) as usize;
        let (texture, hue) = (upto(u[0], TEXTURES), upto(u[1], HUES));
        let saturation = (0.55 + 0.1 * rng.stream("saturation").normals(1)[0]).clamp(0.3, 0.8);
        Self {
            texture,
            hue,
            corner: (upto(u[2], side - h + 1), upto(u[3], side - w + 1)),
            colour: rgb((hue as f64 + 0.6 * u[4] - 0.3) / HUES as f64, saturation, 1.0),
            background: rgb(u[5], 0.12, 0.75 + 0.1 * u[6]),
        }
    }

    /// Paints a grey image of width `w` in this cloth.
    fn paint(&self, grey: &[u8], textures: &Textures, w: usize, out: &mut [u8]) {
        for (y, row) in grey.chunks_exact(w).enumerate() {
            let cut = textures.row(self.texture, self.corner.0 + y, self.corner.1);
            for (x, (v, t)) in row.iter().zip(cut).enumerate() {
                let v = f64::from(*v) / 255.0;
                let (mask, light) = ((4.0 * v).min(1.0), (0.55 + 0.18 * t).clamp(0.05, 1.0) * (0.35 + 0.65 * v));
                for c in 0..3 {
                    let value = mask * light * self.colour[c] + (1.0 - mask) * self.background[c];
                    out[c * grey.len() + y * w + x] = (255.0 * value).round() as u8;
                }
            }
        }
    }
}

/// Red, green and blue of a hue in turns, a saturation and a value.
fn rgb(hue: f64, saturation: f64, value: f64) -> [f64; 3] {
    [5.0, 3.0, 1.0].map(|n| {
        let k = (n + 6.0 * hue).rem_euclid(6.0);
        value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn colours_of_known_hues() {
        // Hexagon corners of HSV, and half-way between red and yellow.
        assert_eq!(rgb(0.0, 1.0, 1.0), [1.0, 0.0, 0.0]);
        assert_eq!(rgb(1.0 / 3.0, 1.0, 0.5), [0.0, 0.5, 0.0]);
        assert_eq!(rgb(0.5, 0.5, 0.8), [0.4, 0.8, 0.8]);
        assert!(rgb(1.0 / 12.0, 1.0, 1.0).iter().zip([1.0, 0.5, 0.0]).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(rgb(-0.25, 0.6, 0.7).iter().zip(rgb(0.75, 0.6, 0.7)).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    /// A pixel of full value shows the bare texture in the cloth's colour; a pixel of 0 shows the background.
    #[test]
    fn pixels_follow_the_recipe() {
        let textures = Textures::load().unwrap();
        let mut grey = vec![0; 28 * 28];
        (grey[30], grey[31]) = (255, 51);
        let images = Images::new(grey, (1, 28, 28), vec![3], 10).unwrap();
        let rng = Rng::new(5);
        let made = Garments::new(&images, 9, &rng).unwrap();
        let cloth = Cloth::draw(&rng.at(9), 64, (28, 28));
        let t = |i: usize| {
            let (y, x) = (cloth.corner.0 + i / 28, cloth.corner.1 + i % 28);
            (0.55 + 0.18 * textures.values[(cloth.texture * 64 + y) * 64 + x]).clamp(0.05, 1.0)
        };
        for c in 0..3 {
            let at = |i: usize| f64::from(made.pixels[c * 784 + i]) / 255.0;
            assert!((at(30) - t(30) * cloth.colour[c]).abs() <= 0.5 / 255.0 + 1e-12);
            let mixed = 0.8 * t(31) * (0.35 + 0.65 * 0.2) * cloth.colour[c] + 0.2 * cloth.background[c];
            assert!((at(31) - mixed).abs() <= 0.5 / 255.0 + 1e-12);
            assert!((at(0) - cloth.background[c]).abs() <= 0.5 / 255.0 + 1e-12);
        }
        assert_eq!(
            Label::ALL.map(|l| usize::from(made.labels(l)[0])),
            [3, cloth.texture, cloth.hue],
            "the labels are those of what was painted"
        );
    }

    #[test]
    fn an_image_does_not_depend_on_the_others() {
        let grey = embedded::fashion_mnist(Split::Test).unwrap();
        let rng = Rng::new(3).stream("x");
        let all = Garments::new(&grey, 0, &rng).unwrap();
        assert_eq!(all, Garments::new(&grey, 0, &rng).unwrap());
        assert_ne!(all.pixels, Garments::new(&grey, 0, &Rng::new(4).stream("x")).unwrap().pixels);
        for (from, len) in [(0, 1), (17, 200), (999, 1)] {
            let part = Images::new(
                grey.pixels[from * 784..(from + len) * 784].to_vec(),
                grey.shape,
                grey.labels[from..from + len].to_vec(),
                10,
            );
            let part = Garments::new(&part.unwrap(), from as u64, &rng).unwrap();
            assert_eq!(part.pixels, all.pixels[from * 3 * 784..(from + len) * 3 * 784]);
            for set in Label::ALL {
                assert_eq!(part.labels(set), &all.labels(set)[from..from + len]);
            }
        }
    }

    /// Pearson's chi-square of each pair of label sets against independence, and of texture and hue against uniformity: within four
    /// standard deviations (sqrt(2 df)) of its mean df. A label copied from another has a chi-square of thousands.
    #[test]
    fn label_sets_are_independent_and_uniform() {
        let made = Garments::embedded(Split::Train, 0).unwrap();
        let n = made.len() as f64;
        let close = |chi: f64, df: usize, what: &str| {
            let df = df as f64;
            assert!(
                (chi - df).abs() < 4.0 * (2.0 * df).sqrt(),
                "{what}: chi-square {chi} with {df} degrees of freedom"
            );
        };
        let count = |set: Label| {
            let mut counts = vec![0.0; made.classes(set)];
            made.labels(set).iter().for_each(|l| counts[usize::from(*l)] += 1.0);
            counts
        };
        for set in Label::ALL {
            let (counts, k) = (count(set), made.classes(set));
            if set == Label::Shape {
                assert!(counts.iter().all(|c| *c == 750.0));
                continue;
            }
            let expected = n / k as f64;
            close(counts.iter().map(|c| (c - expected).powi(2) / expected).sum(), k - 1, set.name());
        }
        for (a, b) in [(Label::Shape, Label::Texture), (Label::Shape, Label::Hue), (Label::Texture, Label::Hue)] {
            let (ca, cb) = (count(a), count(b));
            let mut cells = vec![0.0; ca.len() * cb.len()];
            for (i, j) in made.labels(a).iter().zip(made.labels(b)) {
                cells[usize::from(*i) * cb.len() + usize::from(*j)] += 1.0;
            }
            let expected = |i: usize| ca[i / cb.len()] * cb[i % cb.len()] / n;
            let chi = cells.iter().enumerate().map(|(i, c)| (c - expected(i)).powi(2) / expected(i)).sum();
            close(chi, (ca.len() - 1) * (cb.len() - 1), &format!("{} and {}", a.name(), b.name()));
        }
    }

    #[test]
    fn splits_and_seeds_differ_and_the_catalog_agrees() {
        let [a, b] = [0, 1].map(|seed| Garments::embedded(Split::Test, seed).unwrap());
        assert_ne!(a.labels(Label::Hue), b.labels(Label::Hue));
        let train = Garments::embedded(Split::Train, 0).unwrap();
        assert_ne!(train.labels(Label::Hue)[..1000], *a.labels(Label::Hue));
        let d = catalog::made_set("garments-in-cloth").unwrap();
        assert_eq!(a.images(Label::Shape).unwrap().shape, d.shape);
        for (set, entry) in Label::ALL.iter().zip(&d.labels) {
            assert_eq!((set.name(), a.classes(*set)), (entry.name.as_str(), entry.classes.len()));
        }
        assert_eq!(d.labels[0].classes, catalog::get(&d.from).unwrap().classes);
        assert!(PACKED.len() < 30_000);
    }

    #[test]
    fn images_that_do_not_fit_are_refused() {
        let colour = Images::new(vec![0; 12], (3, 2, 2), vec![0], 1).unwrap();
        let large = Images::new(vec![0; 65 * 65], (1, 65, 65), vec![0], 1).unwrap();
        for images in [colour, large] {
            let e = Garments::new(&images, 0, &Rng::new(0)).unwrap_err().to_string();
            assert!(e.contains("grey and at most 64 x 64"), "{e}");
        }
    }
}
