//! Images and labels from a file of arrays: which arrays they are, and whether their values and axes are what a network of this program takes.

use anyhow::{Result, anyhow, bail};
use candle_core::{D, DType, Tensor};
use sconce_tensor_core::formats::Arrays;
use std::path::{Path, PathBuf};

/// The names that were asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Names<'a> {
    pub(crate) x: Option<&'a str>,
    pub(crate) y: Option<&'a str>,
}

/// Images with labels, and what was done with them that a user may want to know.
#[derive(Debug)]
pub(crate) struct ImagesAndLabels {
    /// (N, C, H, W) of f32 in [0, 1].
    pub(crate) x: Tensor,
    /// (N,) of u32; `None` where the file has none and none were needed.
    pub(crate) y: Option<Tensor>,
    pub(crate) notes: Vec<String>,
}

/// Usual names of images, the test split before what may be another one; in lower case.
const IMAGES: [&str; 14] = [
    "x",
    "x_test",
    "test_x",
    "xtest",
    "test_images",
    "images_test",
    "images",
    "image",
    "test_data",
    "data",
    "inputs",
    "input",
    "imgs",
    "arr_0",
];
const LABELS: [&str; 14] = [
    "y",
    "y_test",
    "test_y",
    "ytest",
    "test_labels",
    "labels_test",
    "labels",
    "label",
    "test_targets",
    "targets",
    "target",
    "classes",
    "class",
    "arr_1",
];

/// Class indices from names.
const NUMBERED: &str = "numpy.unique(names, return_inverse=True)[1]";
/// Values this far outside of [0, 1] are rounding (of 16 bits at most); they are clipped.
const ROUNDING: f64 = 1e-3;
/// Bytes that are all below this are dark, or not of the whole range.
const HALF: f64 = 128.0;
/// The largest class index that is taken for one.
const MOST_CLASSES: f64 = 1e6;

/// Reads a file; `labelled` says that there must be labels.
///
/// # Errors
/// A file that is damaged or of another kind; arrays that are missing, with the names there are and the option that names one; values or axes that
/// a network cannot take, with what to do.
pub(crate) fn read(path: &Path, asked: Names<'_>, labelled: bool) -> Result<ImagesAndLabels> {
    let arrays = Arrays::open(path)?;
    let mut notes = Vec::new();
    let (images, labels) = if arrays.is_single() {
        (Arrays::ONLY.to_owned(), single_labels(path, asked.y)?)
    } else {
        let x = pick(&arrays, asked.x, "--x-name", &IMAGES, "images")?;
        let Some(x) = x else { bail!(missing(&arrays, "images", "--x-name")) };
        // The labels of the same split come before any others.
        let partner = if asked.y.is_none() { partner(&arrays, &x) } else { None };
        let y = match partner {
            Some(y) => Some(y),
            None => pick(&arrays, asked.y, "--y-name", &LABELS, "labels")?.filter(|y| asked.y.is_some() || *y != x),
        };
        if (x.as_str(), y.as_deref()) != ("x", Some("y")) && (asked.x.is_none() || asked.y.is_none()) {
            let labels = y.as_ref().map_or_else(String::new, |y| format!(", the labels are `{y}`"));
            notes.push(format!("{}: the images are `{x}`{labels} (--x-name and --y-name choose)", path.display()));
        }
        (x, y.map(|y| (path.to_owned(), y)))
    };
    let labels = match labels {
        Some((from, name)) if from == path => Some((arrays.get(&name).map_err(unnumbered)?, name)),
        Some((from, name)) => {
            notes.push(format!("the labels are from {}", from.display()));
            Some((Arrays::open(&from)?.get(&name).map_err(unnumbered)?, name))
        }
        None if labelled && arrays.is_single() => bail!(
            "{}: one array without labels; name a file of labels by --y-name, or write both to one file: numpy.savez(\"data.npz\", x=x, y=y)",
            path.display()
        ),
        None if labelled => bail!(missing(&arrays, "labels", "--y-name")),
        None => None,
    };
    let named = |e: anyhow::Error, name: &str| e.context(format!("{}: `{name}`", path.display()));
    let x = axes(&arrays.get(&images)?).and_then(|x| unit(&x, &mut notes)).map_err(|e| named(e, &images))?;
    let n = x.dim(0)?;
    let y = labels.map(|(y, name)| classes(&y, n).map_err(|e| named(e, &name))).transpose()?;
    Ok(ImagesAndLabels { x, y, notes })
}

fn missing(arrays: &Arrays, what: &str, option: &str) -> String {
    format!("{}: no {what} among the arrays {:?}; name them by {option}", arrays.path().display(), arrays.names())
}

/// Labels that are no numbers, with what makes them so.
fn unnumbered(e: sconce_tensor_core::Error) -> anyhow::Error {
    let words = e.to_string();
    if ["strings", "Python objects"].iter().any(|w| words.contains(w)) {
        return anyhow!("{words}; make class indices of names: y = {NUMBERED}");
    }
    e.into()
}

/// A part of the names of images, and of the labels that belong to them.
const PARTNERS: [(&str, &str); 8] = [
    ("images", "labels"),
    ("image", "label"),
    ("inputs", "targets"),
    ("input", "target"),
    ("imgs", "labels"),
    ("data", "labels"),
    ("data", "targets"),
    ("x", "y"),
];

/// An array of this name; upper and lower case are the same where there is none.
fn named(arrays: &Arrays, name: &str) -> Option<String> {
    let same = |exact: bool| {
        let found = arrays.names().iter().find(|n| if exact { *n == name } else { n.to_lowercase() == name });
        found.cloned()
    };
    same(true).or_else(|| same(false))
}

/// The labels whose name belongs to that of some images: `y_test` for `x_test`.
fn partner(arrays: &Arrays, x: &str) -> Option<String> {
    let x = x.to_lowercase();
    let of = |(images, labels): &(&str, &str)| x.contains(images).then(|| x.replacen(images, labels, 1));
    PARTNERS.iter().filter_map(of).find_map(|name| named(arrays, &name))
}

/// The array that was asked for, or the first usual name that the file has.
fn pick(arrays: &Arrays, asked: Option<&str>, option: &str, usual: &[&str], what: &str) -> Result<Option<String>> {
    if let Some(name) = asked {
        if arrays.names().iter().any(|n| n == name) {
            return Ok(Some(name.to_owned()));
        }
        bail!(
            "{option} {name}: {} has the arrays {:?}, none of that name for the {what}",
            arrays.path().display(),
            arrays.names()
        );
    }
    Ok(usual.iter().find_map(|u| named(arrays, u)))
}

/// The file of labels beside one of images: the one that was named, or `y_test.npy` for `x_test.npy`, `labels.npy` for `images.npy`.
fn single_labels(path: &Path, asked: Option<&str>) -> Result<Option<(PathBuf, String)>> {
    let only = |p: PathBuf| Some((p, Arrays::ONLY.to_owned()));
    if let Some(name) = asked {
        let found = [PathBuf::from(name), path.with_file_name(name)].into_iter().find(|p| p.is_file());
        return match found {
            Some(p) => Ok(only(p)),
            None => bail!(
                "--y-name {name}: {} is one array, so this must be a file of labels, and there is none",
                path.display()
            ),
        };
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let pairs = [
        ("images", "labels"),
        ("image", "label"),
        ("inputs", "targets"),
        ("data", "labels"),
        ("X", "Y"),
        ("X", "y"),
        ("x", "y"),
    ];
    let beside =
        pairs.iter().filter(|(x, _)| name.contains(x)).map(|(x, y)| path.with_file_name(name.replacen(x, y, 1)));
    Ok(beside.into_iter().find(|p| p.is_file()).and_then(only))
}

/// Refuses what is not (N, C, H, W), with the line of numpy that makes it so.
fn axes(x: &Tensor) -> Result<Tensor> {
    let remedy = match *x.dims() {
        _ if x.elem_count() == 0 => "at least one image is needed".to_owned(),
        [_, h, w, c] if c <= 4 && h > 4 && w > 4 => {
            "the channels are last; move them: x = x.transpose(0, 3, 1, 2)".to_owned()
        }
        [_, _, _, _] => return Ok(x.clone()),
        [n @ (1 | 3 | 4), h, w] if h > 4 && w > 4 => format!(
            "an axis is missing; if the first one counts images, x = x[:, None]; if it is the {n} channels of one image, x = x[None]"
        ),
        [_, h, w] if h > 4 && w > 4 => "there is no axis for the channels; add one: x = x[:, None]".to_owned(),
        [_, d] => {
            let side = (d as f64).sqrt() as usize;
            let (c, side) = if side * side == d { (1, side) } else { (3, ((d / 3) as f64).sqrt() as usize) };
            format!("each image is one row; give it its axes, for example x = x.reshape(-1, {c}, {side}, {side})")
        }
        [.., c, h, w] if x.rank() > 4 => {
            format!("there are {} axes; if the first ones count images, x = x.reshape(-1, {c}, {h}, {w})", x.rank())
        }
        _ => format!("there are {} axes instead of four", x.rank()),
    };
    bail!("the shape is {:?}, must be (N, C, H, W): {remedy}", x.dims())
}

/// Images as f32 in [0, 1]: bytes are divided by 255, rounding is clipped, and everything else is refused with what to do.
fn unit(x: &Tensor, notes: &mut Vec<String>) -> Result<Tensor> {
    let (integers, bytes) = (!x.dtype().is_float(), x.dtype() == DType::U8);
    let x = x.to_dtype(DType::F32)?;
    let all = x.flatten_all()?.to_vec1::<f32>()?;
    if let Some((i, v)) = all.iter().enumerate().find(|(_, v)| !v.is_finite()) {
        bail!("{v} at flat index {i}; images must be finite");
    }
    let (lo, hi) = all.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), v| (lo.min(*v), hi.max(*v)));
    let (lo, hi) = (f64::from(lo), f64::from(hi));
    if integers {
        if hi == 1.0 {
            bail!(
                "every value is 0 or 1 and an integer, so white may be 1 or 255; write floats if it is 1 (x.astype(\"float32\")), and x * 255 if bytes are \
                 meant"
            );
        }
        if lo < 0.0 || hi > 255.0 {
            bail!(
                "integers from {lo} to {hi}; must be bytes (0 to 255), or floats in [0, 1]: x = (x / {hi}).astype(\"float32\")"
            );
        }
        if hi > 0.0 && hi < HALF {
            notes.push(format!(
                "the largest value of the images is {hi}, less than half of the range of bytes: they are divided by 255; if {hi} is white, write \
                 x = (x / {hi}).astype(\"float32\")"
            ));
        } else if !bytes {
            notes.push(format!("the images are integers from {lo} to {hi}: they are divided by 255"));
        }
        // A division of each: candle multiplies by 1 / 255, which is rounded.
        return Ok(Tensor::from_vec(all.into_iter().map(|v| v / 255.0).collect(), x.shape(), x.device())?);
    }
    if lo < -ROUNDING || hi > 1.0 + ROUNDING {
        let remedy = if lo >= 0.0 && hi > 2.0 && hi < HALF {
            format!("if {hi} is white, x = x / {hi}; if they are dark images of bytes, x = x / 255")
        } else if lo >= 0.0 && hi <= 255.0 + ROUNDING && hi > 2.0 {
            "they look like 0 to 255; divide them: x = x / 255".to_owned()
        } else if lo >= 0.0 && hi > 255.0 {
            format!("divide them by the largest value of their format, for example x = x / {hi}")
        } else if lo >= -1.0 - ROUNDING && hi <= 1.0 + ROUNDING {
            "they look like -1 to 1; use x = (x + 1) / 2, and --mean 0.5 --std 0.5 (one number for each channel) if the network was trained on them"
                .to_owned()
        } else if lo >= -0.25 && hi <= 1.25 {
            "a filter has left the range; use x = x.clip(0, 1)".to_owned()
        } else {
            "they look standardised; undo it, x = x * std + mean with the numbers of the training, and give these as --mean and --std".to_owned()
        };
        bail!("values from {lo} to {hi}, but images must be in [0, 1]: {remedy}");
    }
    let far = |v: &f32| f64::from((-v).max(v - 1.0));
    let outside: Vec<f64> = all.iter().map(far).filter(|d| *d > 0.0).collect();
    if outside.is_empty() {
        return Ok(x);
    }
    let (count, most) = (outside.len(), outside.iter().copied().fold(0.0, f64::max));
    notes.push(format!("{count} values of the images are outside of [0, 1] by at most {most:.1e}: they are clipped"));
    Ok(x.clamp(0.0, 1.0)?)
}

/// The first value of which something is true, with its flat index.
fn first(t: &Tensor, is: impl Fn(f64) -> bool) -> Result<Option<(usize, f64)>> {
    let all = t.flatten_all()?.to_vec1::<f64>()?;
    Ok(all.into_iter().enumerate().find(|(_, v)| is(*v)))
}

/// Class indices (N,) of u32 from labels of any integer type or whole floats, (N,) or (N, 1).
fn classes(y: &Tensor, n: usize) -> Result<Tensor> {
    let y = y.to_dtype(DType::F64)?;
    let flat = y.dims().iter().skip(1).all(|d| *d == 1) && y.rank() > 0;
    if !flat && y.dims().first() != Some(&n) && y.elem_count() == n {
        bail!("the shape is {:?}, must be ({n},): y = y.reshape(-1)", y.dims());
    }
    if !flat && y.rank() == 2 {
        let sums = y.sum(D::Minus1)?.to_vec1::<f64>()?;
        let hot =
            y.flatten_all()?.to_vec1::<f64>()?.iter().all(|v| *v == 0.0 || *v == 1.0) && sums.iter().all(|s| *s == 1.0);
        let what = if hot { "one-hot" } else { "a row of scores for each image" };
        bail!("the shape is {:?}: the labels are {what}, must be class indices (N,): y = y.argmax(1)", y.dims());
    }
    if !flat || y.elem_count() != n {
        bail!("the shape is {:?}, must be ({n},): one label for each of the {n} images", y.dims());
    }
    if let Some((i, v)) = first(&y, |v| v.fract() != 0.0 || !(0.0..=MOST_CLASSES).contains(&v))? {
        bail!("label {v} at row {i} is not a class index: use whole numbers from 0 (for names: {NUMBERED})");
    }
    Ok(y.flatten_all()?.to_dtype(DType::U32)?)
}
