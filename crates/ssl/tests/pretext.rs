//! Pretext tasks: the contract, each task by hand, and mixtures.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use sconce_ssl::pretext::*;
use sconce_ssl::transforms::{EnhancementKind, Image, Images};
use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::{ExampleRng, Rng};
use std::collections::HashSet;

fn boxed(task: impl Pretext + 'static) -> Box<dyn Pretext> {
    Box::new(task)
}

fn magnitudes(kind: EnhancementKind) -> Box<dyn Pretext> {
    boxed(Magnitudes::of(kind).unwrap())
}

fn all() -> Vec<Box<dyn Pretext>> {
    let mut all: Vec<Box<dyn Pretext>> = EnhancementKind::ALL.into_iter().map(magnitudes).collect();
    all.push(boxed(Rotation));
    all.push(boxed(Flip));
    all.push(boxed(Crop::new(3).unwrap()));
    all.push(boxed(Joint::new(vec![boxed(Rotation), magnitudes(EnhancementKind::Color)]).unwrap()));
    all.push(boxed(PatchPosition::new(PatchPositionConfig::default()).unwrap()));
    for separate in [false, true] {
        all.push(boxed(Jigsaw::new(JigsawConfig { separate, ..Default::default() }).unwrap()));
    }
    all.push(boxed(Colourisation::new(ColourisationConfig::default()).unwrap()));
    all
}

fn image(i: u64, side: usize) -> Image {
    let bytes = Rng::new(i).below(3 * side * side, 256).into_iter().map(|b| b as u8).collect();
    Image::new(3, side, side, bytes).unwrap()
}

fn images(n: u64, side: usize) -> Images {
    Images::from_images(&(0..n).map(|i| image(i, side)).collect::<Vec<_>>()).unwrap()
}

/// What every task promises.
#[test]
fn the_contract() {
    for task in all() {
        let name = task.name();
        assert!(task.variants() >= 1 && task.head().classes() >= 2, "{name}");
        let image = image(7, 30);
        let mut shapes = HashSet::new();
        for variant in 0..task.variants() {
            let views = task.change(image.clone(), variant, &Rng::new(1)).unwrap();
            assert_eq!(views.len(), task.views(), "{name}");
            assert_eq!(views, task.change(image.clone(), variant, &Rng::new(1)).unwrap(), "{name}: deterministic");
            shapes.extend(views.iter().map(Image::dims));
            let labels = task.labels(&image, variant).unwrap();
            assert_eq!(labels.len(), task.head().labels(), "{name}");
            assert!(labels.iter().all(|l| (*l as usize) < task.head().classes()), "{name}: {labels:?}");
        }
        assert_eq!(shapes.len(), 1, "{name}: all views of all variants have one shape: {shapes:?}");
        let e = task.change(image, task.variants(), &Rng::new(1)).unwrap_err().to_string();
        assert!(e.contains(&format!("variant of `{name}`")), "{e}");
    }
}

#[test]
fn a_joint_label_is_the_combination() {
    let members = || vec![boxed(Rotation), magnitudes(EnhancementKind::Sharpness), boxed(Flip)];
    let joint = Joint::new(members()).unwrap();
    assert_eq!((joint.name().as_str(), joint.variants()), ("rotation*sharpness*flip", 32));
    let (image, rng) = (image(0, 6), Rng::new(0));
    for (v, label) in [([0, 0, 0], 0), ([1, 0, 0], 8), ([2, 3, 1], 23), ([3, 3, 1], 31)] {
        let mut want = image.clone();
        for (task, variant) in members().iter().zip(v) {
            want = task.change(want, variant, &rng).unwrap().remove(0);
        }
        assert_eq!(joint.change(image.clone(), label, &rng).unwrap(), [want]);
    }
    assert!(Joint::new(vec![boxed(Rotation)]).is_err());
    let two_views = boxed(PatchPosition::new(PatchPositionConfig::default()).unwrap());
    assert!(Joint::new(vec![boxed(Rotation), two_views]).unwrap_err().to_string().contains("`position`"));
}

/// An image whose pixel (r, c) has the values r and c.
fn coordinates(side: usize) -> Image {
    let rows = (0..side * side).map(|i| (i / side) as u8);
    let columns = (0..side * side).map(|i| (i % side) as u8);
    Image::new(3, side, side, rows.chain(columns).chain(vec![0; side * side]).collect()).unwrap()
}

/// Where the first pixel of a part of [`coordinates`] comes from.
fn corner(image: &Image) -> (i64, i64) {
    let at: Vec<i64> = image.planes().map(|p| i64::from(p[0])).collect();
    (at[0], at[1])
}

#[test]
fn a_patch_is_where_its_class_says() {
    let cfg = PatchPositionConfig { patch: 6, gap: 4, jitter: 2 };
    let task = PatchPosition::new(cfg).unwrap();
    let directions = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)];
    let mut distances = HashSet::new();
    for (class, direction) in directions.into_iter().enumerate() {
        for seed in 0..200 {
            let views = task.change(coordinates(30), class, &Rng::new(seed)).unwrap();
            let (centre, other) = (corner(&views[0]), corner(&views[1]));
            let moved = (other.0 - centre.0 - 10 * direction.0, other.1 - centre.1 - 10 * direction.1);
            assert!(moved.0.abs() <= 4 && moved.1.abs() <= 4, "class {class}: moved by {moved:?}");
            distances.insert(moved.0);
        }
    }
    assert_eq!(distances.len(), 9, "all shifts from -4 to 4 occur");
    let e = task.change(coordinates(25), 0, &Rng::new(0)).unwrap_err().to_string();
    assert!(e.contains("at least 26"), "{e}");
    assert!(PatchPosition::new(PatchPositionConfig { jitter: 3, ..cfg }).is_err(), "patches would meet");
}

#[test]
fn a_jigsaw_places_tiles_in_the_order_of_its_class() {
    let cfg = JigsawConfig { margin: 0, permutations: 100, ..Default::default() };
    let (whole, tiles) = (Jigsaw::new(cfg).unwrap(), Jigsaw::new(JigsawConfig { separate: true, ..cfg }).unwrap());
    let image = coordinates(14);
    assert_eq!(whole.change(image.clone(), 0, &Rng::new(0)).unwrap(), [image.cropped((0, 0), (12, 12)).unwrap()]);
    for (class, order) in whole.permutations().iter().enumerate() {
        let puzzle = whole.change(image.clone(), class, &Rng::new(0)).unwrap().remove(0);
        for (place, (tile, part)) in
            tiles.change(image.clone(), class, &Rng::new(0)).unwrap().iter().zip(order).enumerate()
        {
            assert_eq!(corner(tile), ((part / 3 * 4) as i64, (part % 3 * 4) as i64));
            assert_eq!(&puzzle.cropped((place / 3 * 4, place % 3 * 4), (4, 4)).unwrap(), tile);
        }
    }
    // With a margin a tile lies within its cell.
    let loose = Jigsaw::new(JigsawConfig { margin: 2, separate: true, ..cfg }).unwrap();
    let mut seen = HashSet::new();
    for seed in 0..50 {
        let first = loose.change(image.clone(), 0, &Rng::new(seed)).unwrap().remove(0);
        assert_eq!(first.dims(), (3, 2, 2));
        seen.insert(corner(&first));
    }
    assert_eq!(seen, (0..3).flat_map(|r| (0..3).map(move |c| (r, c))).collect());
    assert!(loose.change(coordinates(8), 0, &Rng::new(0)).is_err());
}

fn distance(a: &[usize], b: &[usize]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

#[test]
fn permutations_are_the_greedy_ones_and_far_apart() {
    // The same choice by brute force over all permutations of four, in lexicographic order.
    let every: Vec<Vec<usize>> = (0..256)
        .map(|i| vec![i / 64, i / 16 % 4, i / 4 % 4, i % 4])
        .filter(|p| p.iter().collect::<HashSet<_>>().len() == 4)
        .collect();
    let mut want = vec![every[0].clone()];
    while want.len() < 24 {
        let mean = |p: &Vec<usize>| want.iter().map(|q| distance(p, q)).sum::<usize>();
        let left: Vec<_> = every.iter().filter(|p| !want.contains(p)).collect();
        let best = left.iter().map(|p| mean(p)).max().unwrap();
        let next = left.into_iter().find(|p| mean(p) == best).unwrap().clone();
        want.push(next);
    }
    assert_eq!(permutation_set(4, 24).unwrap(), want);
    let set = permutation_set(9, 100).unwrap();
    assert_eq!(set.iter().collect::<HashSet<_>>().len(), 100);
    let pairs: Vec<usize> =
        (0..100).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| distance(&set[i], &set[j])).collect();
    // Two random permutations differ at 8 places on average.
    assert!(pairs.iter().sum::<usize>() as f64 / pairs.len() as f64 > 8.05, "{pairs:?}");
    for (length, count) in [(1, 1), (10, 2), (3, 7), (3, 0), (9, 1001)] {
        assert!(permutation_set(length, count).is_err());
    }
}

#[test]
fn the_hue_of_a_cell() {
    let task = Colourisation::new(ColourisationConfig { hues: 6, grid: 1, grey: 0.1 }).unwrap();
    let pixel = |r, g, b| Image::new(3, 1, 1, vec![r, g, b]).unwrap();
    for (rgb, class) in [
        ((255, 0, 0), 0),
        ((255, 200, 0), 0),
        ((255, 255, 0), 1),
        ((0, 255, 0), 2),
        ((0, 255, 255), 3),
        ((0, 0, 255), 4),
        ((255, 0, 255), 5),
        ((255, 0, 1), 5),
        ((100, 91, 91), 6),
        ((100, 89, 89), 0),
        ((0, 0, 0), 6),
    ] {
        assert_eq!(task.labels(&pixel(rgb.0, rgb.1, rgb.2), 0).unwrap(), [class], "{rgb:?}");
    }
    let grey = task.change(pixel(200, 100, 50), 0, &Rng::new(0)).unwrap();
    assert_eq!(grey[0].bytes(), [124; 3]);
    // Left half red, right half blue.
    let two = Colourisation::new(ColourisationConfig { hues: 6, grid: 2, grey: 0.1 }).unwrap();
    let halves = Image::new(3, 2, 2, vec![255, 0, 255, 0, 0, 0, 0, 0, 0, 255, 0, 255]).unwrap();
    assert_eq!(two.labels(&halves, 0).unwrap(), [0, 4, 0, 4]);
    assert!(two.labels(&Image::new(1, 2, 2, vec![0; 4]).unwrap(), 0).is_err());
}

fn mixture() -> Mixture {
    let sharpness = magnitudes(EnhancementKind::Sharpness);
    let position = boxed(PatchPosition::new(PatchPositionConfig::default()).unwrap());
    let tasks = vec![boxed(Rotation), magnitudes(EnhancementKind::Color), sharpness, position];
    let augmentations = vec![boxed(Flip), boxed(Crop::new(2).unwrap()), magnitudes(EnhancementKind::Solarize)];
    Mixture::new(tasks).unwrap().augmented_by(augmentations).unwrap()
}

fn batch(mixture: &Mixture, images: &Images, examples: &[usize]) -> MixedBatch {
    let keys = ExampleRng::new(Rng::new(3).stream("epoch 0"), examples.iter().map(|i| *i as u64).collect());
    mixture.batch(images, examples, &keys, DType::F32, &Device::Cpu).unwrap()
}

fn rows(x: &Tensor) -> Vec<Vec<f32>> {
    x.flatten_from(1).unwrap().to_vec2().unwrap()
}

#[test]
fn an_example_does_not_depend_on_its_batch_or_on_threads() {
    let images = images(12, 30);
    for (mixture, views) in [(mixture(), 2), (mixture().all_of("rotation").unwrap(), 8)] {
        let whole = batch(&mixture, &images, &(0..12).collect::<Vec<_>>());
        assert_eq!(whole.x.dims(), [12 * views, 3, 8, 8]);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let part = pool.install(|| batch(&mixture, &images, &[7, 2]));
            let (all, some) = (rows(&whole.x), rows(&part.x));
            assert_eq!(some[..views], all[7 * views..8 * views]);
            assert_eq!(some[views..], all[2 * views..3 * views]);
            for (a, b) in whole.labels.iter().zip(&part.labels) {
                let (a, b) = (a.to_vec1::<u32>().unwrap(), b.to_vec1::<u32>().unwrap());
                let n = mixture.copies();
                assert_eq!(b, [&a[7 * n..8 * n], &a[2 * n..3 * n]].concat());
            }
        }
    }
}

#[test]
fn what_is_predicted_does_not_change_the_input() {
    let images = images(20, 16);
    let color = || magnitudes(EnhancementKind::Color);
    let predicted = Mixture::new(vec![boxed(Rotation), color()]).unwrap();
    let control = Mixture::new(vec![boxed(Rotation)]).unwrap().augmented_by(vec![color()]).unwrap();
    let all: Vec<usize> = (0..20).collect();
    let (a, b) = (batch(&predicted, &images, &all), batch(&control, &images, &all));
    assert_eq!(rows(&a.x), rows(&b.x));
    assert_eq!((a.labels.len(), b.labels.len()), (2, 1));
    assert_eq!(a.labels[0].to_vec1::<u32>().unwrap(), b.labels[0].to_vec1::<u32>().unwrap());
}

#[test]
fn flips_come_before_rotations() {
    let (images, all) = (images(40, 5), (0..40).collect::<Vec<_>>());
    let mixture = Mixture::new(vec![boxed(Rotation)]).unwrap().augmented_by(vec![boxed(Flip)]).unwrap();
    let mixed = batch(&mixture, &images, &all);
    let (found, labels) = (Images::from_unit(&mixed.x).unwrap(), mixed.labels[0].to_vec1::<u32>().unwrap());
    let mut flipped = 0;
    for i in all {
        // Turned back by its label, each image is upright, as it was or mirrored left to right.
        let upright = found.get(i).unwrap().rotated(4 - labels[i] as usize);
        let mirrored = upright == images.get(i).unwrap().flipped_horizontally();
        assert!(mirrored || upright == images.get(i).unwrap());
        flipped += usize::from(mirrored);
    }
    assert!((8..32).contains(&flipped) && labels.iter().collect::<HashSet<_>>().len() == 4);
}

#[test]
fn all_of_a_task_has_every_variant_of_each_image() {
    let images = images(6, 8);
    let tasks = vec![boxed(Rotation), magnitudes(EnhancementKind::Brightness)];
    let mixture = Mixture::new(tasks).unwrap().augmented_by(vec![boxed(Flip)]).unwrap().all_of("rotation").unwrap();
    let mixed = batch(&mixture, &images, &[4, 1]);
    assert_eq!(mixed.labels[0].to_vec1::<u32>().unwrap(), [0, 1, 2, 3, 0, 1, 2, 3]);
    let magnitudes = batch(&mixture, &images, &(0..6).collect::<Vec<_>>()).labels[1].to_vec1::<u32>().unwrap();
    assert!(magnitudes.chunks(4).any(|m| m != [m[0]; 4]), "drawn for each copy");
}

#[test]
fn mixtures_refuse() {
    let e = |m: sconce_ssl::Result<Mixture>| m.unwrap_err().to_string();
    let position = || boxed(PatchPosition::new(PatchPositionConfig::default()).unwrap());
    let rotation = || Mixture::new(vec![boxed(Rotation)]).unwrap();
    assert!(e(Mixture::new(vec![])).contains("at least one"));
    assert!(e(Mixture::new(vec![position(), boxed(Rotation)])).contains("`position`"));
    assert!(e(Mixture::new(vec![boxed(Rotation), boxed(Rotation)])).contains("`rotation` occurs twice"));
    assert!(e(rotation().augmented_by(vec![boxed(Rotation)])).contains("`rotation` occurs twice"));
    assert!(e(rotation().augmented_by(vec![position()])).contains("2 views"));
    assert!(e(rotation().all_of("color")).contains(r#"there are ["rotation"]"#));
    let wide = Images::new((1, 2, 3), vec![0; 12]).unwrap();
    let keys = ExampleRng::new(Rng::new(0), vec![0]);
    let of = |examples: &[usize]| rotation().batch(&wide, examples, &keys, DType::F32, &Device::Cpu).unwrap_err();
    assert!(of(&[0]).to_string().contains("(C, S, S)"));
    assert!(of(&[2]).to_string().contains("no index 2"));
    assert!(of(&[0, 1]).to_string().contains("one an example"));
    for magnitudes in [vec![1.0], vec![1.0, 1.0], vec![1.0, -1.0]] {
        assert!(Magnitudes::new(EnhancementKind::Contrast, &magnitudes).is_err());
    }
}
