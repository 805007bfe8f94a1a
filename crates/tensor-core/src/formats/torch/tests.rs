//! State dictionaries in both formats, and bytes that no one should have written.

use super::super::arrays::tests::archive;
use super::*;
use proptest::prelude::*;

/// What a file of PyTorch holds.
pub(crate) enum Item {
    /// Shape and elements of a tensor with a storage of its own.
    Tensor(Vec<usize>, Vec<f32>),
    /// A tensor of the storage that all share: its first element and its shape.
    Part(usize, Vec<usize>),
    Floats(Vec<f64>),
    Dict(Vec<(String, Item)>),
    /// An object, of a class by its module and its name, with the items of a dictionary.
    Object(&'static str, &'static str, Vec<(String, Item)>),
}

impl Item {
    fn write(&self, p: &mut Vec<u8>, storages: &mut Vec<Vec<u8>>) {
        let text =
            |p: &mut Vec<u8>, t: &str| p.extend([b"X", &(t.len() as u32).to_le_bytes()[..], t.as_bytes()].concat());
        let int = |p: &mut Vec<u8>, v: usize| p.extend([b"J", &(v as i32).to_le_bytes()[..]].concat());
        let tuple = |p: &mut Vec<u8>, all: &[usize]| {
            p.push(b'(');
            all.iter().for_each(|v| int(p, *v));
            p.push(b't');
        };
        let tensor = |p: &mut Vec<u8>, key: usize, offset: usize, shape: &[usize]| {
            p.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
            text(p, "storage");
            p.extend(b"ctorch\nFloatStorage\n");
            text(p, &key.to_string());
            text(p, "cpu");
            int(p, 0);
            p.extend(b"tQ");
            int(p, offset);
            tuple(p, shape);
            tuple(p, &super::super::raw::row_major(shape));
            p.extend(b"\x89}tR");
        };
        let items = match self {
            Self::Tensor(shape, values) => {
                tensor(p, storages.len(), 0, shape);
                return storages.push(values.iter().flat_map(|v| v.to_le_bytes()).collect());
            }
            Self::Part(offset, shape) => return tensor(p, 0, *offset, shape),
            Self::Floats(all) => {
                p.extend(b"](");
                all.iter().for_each(|v| p.extend([b"G", &v.to_be_bytes()[..]].concat()));
                return p.push(b'e');
            }
            Self::Dict(items) => {
                p.extend(b"}(");
                items
            }
            Self::Object(module, class, items) => {
                p.extend(format!("c{module}\n{class}\n)R(").bytes());
                items
            }
        };
        for (key, item) in items {
            text(p, key);
            item.write(p, storages);
        }
        p.push(b'u');
    }

    /// As `torch.save` writes it; `shared` is the storage that parts are of.
    pub(crate) fn saved(&self, shared: &[f32], deflated: bool) -> Vec<u8> {
        let mut storages = vec![shared.iter().flat_map(|v| v.to_le_bytes()).collect()];
        let mut pickle = b"\x80\x02".to_vec();
        self.write(&mut pickle, &mut storages);
        pickle.push(b'.');
        let names: Vec<String> = (0..storages.len()).map(|i| format!("net/data/{i}")).collect();
        let first = ("net/data.pkl", &pickle[..]);
        let all: Vec<(&str, &[u8])> =
            names.iter().map(String::as_str).zip(storages.iter().map(Vec::as_slice)).collect();
        archive(&[&[first], &all[..]].concat(), deflated)
    }
}

/// Offset, shape and strides of a tensor.
type Layout = (u8, [u8; 2], [u8; 2]);

/// That of the first tensor of the good files.
const FIRST: Layout = (0, [2, 3], [3, 1]);

/// A dictionary of two tensors of one storage, as PyTorch pickles it.
fn pickled((offset, shape, strides): Layout) -> Vec<u8> {
    let text = |t: &str| [&[b'X'][..], &(t.len() as u32).to_le_bytes(), t.as_bytes()].concat();
    let tensor = |offset: u8, shape: [u8; 2], strides: [u8; 2]| {
        let mut p = b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
        p.extend(text("storage"));
        p.extend(b"ctorch\nFloatStorage\n");
        p.extend(text("0"));
        p.extend(text("cpu"));
        p.extend([b'K', 12, b't', b'Q', b'K', offset]);
        for pair in [shape, strides] {
            p.extend([b'K', pair[0], b'K', pair[1], 0x86]);
        }
        p.extend(b"\x89ccollections\nOrderedDict\n)RtR");
        p
    };
    let mut p = b"\x80\x02}q\x00(".to_vec();
    p.extend(text("state_dict"));
    p.extend(b"ccollections\nOrderedDict\n)Rq\x01(");
    p.extend([text("a"), tensor(offset, shape, strides), text("b"), tensor(6, [2, 3], [1, 2])].concat());
    p.extend(b"u");
    p.extend(text("epoch"));
    p.extend(b"K\x07u.");
    p
}

fn storage() -> Vec<u8> {
    (0..12).flat_map(|v| (v as f32).to_le_bytes()).collect()
}

fn zipped(deflated: bool) -> Vec<u8> {
    archive(&[("net/data.pkl", &pickled(FIRST)), ("net/byteorder", b"little"), ("net/data/0", &storage())], deflated)
}

fn old() -> Vec<u8> {
    let mut out = b"\x80\x02\x8a\x0a".to_vec();
    out.extend(LEGACY);
    out.extend(b".\x80\x02M\xe9\x03.\x80\x02}.");
    out.extend(pickled(FIRST));
    out.extend(b"\x80\x02]X\x01\x00\x00\x000a.");
    out.extend(12u64.to_le_bytes());
    out.extend(storage());
    out
}

#[test]
fn both_formats_give_the_same_tensors() {
    for bytes in [zipped(false), zipped(true), old()] {
        let file = Torch::open(&bytes).unwrap();
        let all = file.dictionaries();
        assert_eq!((all.len(), all[0].path.as_slice()), (1, &["state_dict".to_owned()][..]));
        let value = |i: usize| file.load(&all[0].tensors[i].1, &mut 0).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(
            (value(0), value(1)),
            (vec![vec![0., 1., 2.], vec![3., 4., 5.]], vec![vec![6., 8., 10.], vec![7., 9., 11.]])
        );
    }
}

/// Views of one storage count as what they take, as long as all of them take a few times the file.
#[test]
fn views_of_one_storage_are_counted_once_each() {
    let flat: Vec<f32> = (0..10_000).map(|v| v as f32).collect();
    let dict = |n: usize, elements: usize| {
        let part = |i: usize| (format!("w{i}"), Item::Part(i * 100 % 10_000, vec![elements]));
        Item::Dict((0..n).map(part).collect())
    };
    for deflated in [false, true] {
        let bytes = dict(100, 100).saved(&flat, deflated);
        let (file, mut spent) = (Torch::open(&bytes).unwrap(), 0);
        for (i, (_, slot)) in file.dictionaries()[0].tensors.iter().enumerate() {
            let found = file.load(slot, &mut spent).unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(found, &flat[i * 100..][..100], "{deflated}");
        }
        assert_eq!(spent, 40_000);
    }
    let many = Item::Dict((0..30).map(|i| (format!("w{i}"), Item::Part(0, vec![10_000]))).collect());
    let bytes = many.saved(&flat, false);
    let (file, mut spent) = (Torch::open(&bytes).unwrap(), 0);
    let all = file.dictionaries().remove(0).tensors;
    let read: Vec<_> = all.iter().map(|(_, slot)| file.load(slot, &mut spent)).collect();
    assert!((8..10).contains(&read.iter().filter(|r| r.is_ok()).count()));
    assert!(read[29].as_ref().unwrap_err().reason.contains("8 times larger"));
}

/// A key is not repeated for all that is below it.
#[test]
fn long_keys_are_shortened() {
    let one = || Item::Tensor(vec![1], vec![0.0]);
    let inner = (0..200).map(|i| (i.to_string(), Item::Dict(vec![("w".to_owned(), one())]))).collect();
    let bytes = Item::Dict(vec![("é".repeat(100_000), Item::Dict(inner))]).saved(&[], false);
    let file = Torch::open(&bytes).unwrap();
    let all = file.dictionaries();
    assert!(all.len() == 200 && all.iter().all(|d| d.path.len() == 2 && d.path[0].len() < 200));
    assert!(file.describe().len() < 300 && file.module().is_none());
    assert_eq!(file.above(&all[7].path).iter().map(Vec::len).collect::<Vec<_>>(), [1, 200, 1]);
}

/// Configurations of many libraries are dictionaries of a class of their own.
#[test]
fn an_object_with_keys_is_a_dictionary() {
    let weights = vec![("w".to_owned(), Item::Tensor(vec![2], vec![1.0, 2.0]))];
    let inner = Item::Object("mmengine.config", "ConfigDict", weights);
    let bytes = Item::Object("easydict", "EasyDict", vec![("model".to_owned(), inner)]).saved(&[], false);
    let file = Torch::open(&bytes).unwrap();
    let all = file.dictionaries();
    assert_eq!((all.len(), &all[0].path[..], &all[0].tensors[0].0[..]), (1, &["model".to_owned()][..], "w"));
}

/// Reads everything; whatever the bytes are, nothing panics and what is read is no larger than the bytes allow.
fn exhaust(bytes: &[u8], deflated: bool) {
    let Ok(file) = Torch::open(bytes) else { return };
    let (_, _) = (file.module(), file.describe());
    let (mut spent, mut read) = (0, 0);
    for d in file.dictionaries() {
        for (_, slot) in &d.tensors {
            file.is_integer(slot);
            if let Ok(t) = file.load(slot, &mut spent) {
                read += t.elem_count() * t.dtype().size_in_bytes();
            }
        }
    }
    // What is deflated is counted beside the file.
    let sizes = if deflated { 1 + INFLATION } else { 1 };
    assert!(read <= bytes.len() * sizes * GROWTH, "{read} bytes of {}", bytes.len());
}

/// A damaged file, and whether it was deflated.
fn mutated() -> impl Strategy<Value = (Vec<u8>, bool)> {
    let edit = (any::<prop::sample::Index>(), any::<u8>());
    let small = || prop::sample::select(vec![0, 1, 2, 3, 12, 255]);
    // Often the good one; else a few numbers, nothing among them, anywhere.
    let layout = prop_oneof![Just(FIRST), (small(), [small(), small()], [small(), small()])];
    (0..4usize, layout, prop::collection::vec(edit, 0..8), any::<prop::sample::Index>(), 0..4u8).prop_map(
        |(which, layout, edits, at, cut)| {
            let mut bytes = vec![zipped(false), zipped(true), old(), pickled(layout)].swap_remove(which);
            // Edits of the pickle, not only of the archive around it.
            if which == 0 {
                let mut inner = pickled(layout);
                for (i, v) in &edits {
                    let i = i.index(inner.len());
                    inner[i] = *v;
                }
                bytes = archive(&[("net/data.pkl", &inner), ("net/data/0", &storage())], false);
            }
            for (i, v) in edits {
                let i = i.index(bytes.len());
                bytes[i] = if which == 0 { bytes[i] } else { v };
            }
            let at = at.index(bytes.len());
            match cut {
                0 => bytes.truncate(at),
                1 => bytes.extend_from_within(at..),
                _ => {}
            }
            (bytes, which == 1)
        },
    )
}

/// As many cases as `PROPTEST_CASES` says, 2,000 without it: `PROPTEST_CASES=500000 cargo test --release -p sconce-tensor-core --lib damaged` takes
/// minutes.
fn cases() {
    let n = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2000);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(n) };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&mutated(), |(bytes, deflated)| {
            exhaust(&bytes, deflated);
            Ok(())
        })
        .unwrap();
    // Operations that the format has, in any order.
    let ops = prop::sample::select(
        b"(012NIJKMLFGSVUTX])ltaed}dsuccRiobPQpgqrhj.\x81\x85\x86\x87\x88\x8a\x8c\x8f\x90\x91\x93\x94\x95\x01\x00\n"
            .to_vec(),
    );
    runner
        .run(&prop::collection::vec(ops, 0..120), |mut bytes| {
            bytes.splice(..0, *b"\x80\x02");
            bytes.push(b'.');
            exhaust(&bytes, false);
            Ok(())
        })
        .unwrap();
}

#[test]
fn damaged_files_are_errors() {
    cases();
    // A list that holds itself, and one that doubles at every step: each value is visited once.
    exhaust(b"\x80\x02]q\x00h\x00a.", false);
    let mut doubling = b"\x80\x02]q\x00".to_vec();
    for i in 1..200u8 {
        doubling.extend([b']', b'q', i, b'(', b'h', i - 1, b'h', i - 1, b'e']);
    }
    doubling.push(b'.');
    exhaust(&doubling, false);
}
