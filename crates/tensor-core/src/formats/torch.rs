//! What `torch.save` writes: a zip archive with a pickle and the tensors' bytes, or, before PyTorch 1.6, one stream of pickles and bytes.

use super::pickle::{self, Node, PERSISTENT, Pickle, Value};
use super::raw::{Element, Raw};
use super::zip::Archive;
use super::{Content, Fault, Read, length, slice, take};
use candle_core::Tensor;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// The first number of the old format, as a pickle has it.
const LEGACY: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Keys are followed this deep.
const DEPTH: usize = 16;

/// Tensors may take this many times the bytes that were read; tied weights and small types need more than once.
const GROWTH: usize = 16;

/// Offset and length of the bytes of each storage.
type Places = HashMap<String, (usize, usize)>;

/// Where the tensors' bytes are.
enum Storages<'a> {
    Zip {
        archive: Archive<'a>,
        folder: String,
        big_endian: bool,
    },
    /// Offset and length of each key in the file.
    Stream(Places),
}

/// A tensor that was not read yet.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    storage: Value,
    element: Option<Element>,
    offset: usize,
    pub(crate) shape: Vec<usize>,
    strides: Vec<usize>,
}

/// A dictionary with tensors under text keys.
pub(crate) struct Dictionary {
    /// The keys that lead to it.
    pub(crate) path: Vec<String>,
    pub(crate) tensors: Vec<(String, Slot)>,
}

/// A file of PyTorch.
pub(crate) struct Torch<'a> {
    bytes: &'a [u8],
    /// The bytes of the pickle.
    pickled: Cow<'a, [u8]>,
    pickle: Pickle,
    storages: Storages<'a>,
}

fn element(name: &str) -> Option<Element> {
    Some(match name.rsplit('.').next()? {
        "BoolStorage" | "bool" => Element::Bool,
        "ByteStorage" | "uint8" => Element::U8,
        "CharStorage" | "int8" => Element::I8,
        "uint16" => Element::U16,
        "ShortStorage" | "int16" => Element::I16,
        "uint32" => Element::U32,
        "IntStorage" | "int32" => Element::I32,
        "uint64" => Element::U64,
        "LongStorage" | "int64" => Element::I64,
        "HalfStorage" | "float16" => Element::F16,
        "BFloat16Storage" | "bfloat16" => Element::BF16,
        "FloatStorage" | "float32" => Element::F32,
        "DoubleStorage" | "float64" => Element::F64,
        _ => return None,
    })
}

/// A stream from its first pickle on: the value, and where the bytes of each storage are.
fn stream(bytes: &[u8]) -> Read<(Pickle, Places)> {
    // The mark, the version, facts about the machine.
    let mut at = 0;
    for _ in 0..3 {
        at = pickle::read(bytes, at)?.end;
    }
    let value = pickle::read(bytes, at)?;
    let keys = pickle::read(bytes, value.end)?;
    let sizes: HashMap<&str, usize> =
        value.persistent().filter_map(|(key, element)| Some((key, element?.size()))).collect();
    let (mut at, mut places) = (keys.end, HashMap::new());
    for key in keys.list(&keys.root).unwrap_or_default() {
        let Value::Text(key) = key else { return Err(Fault::at(at, "a storage without a name")) };
        let count = length(u64::from_le_bytes(take(bytes, at)?), at)?;
        let size = sizes
            .get(&**key)
            .copied()
            .ok_or_else(|| Fault::at(at, format!("the storage `{key}` is of a type that is not read")))?;
        let len = count.checked_mul(size).ok_or_else(|| Fault::at(at, "a storage larger than any memory"))?;
        slice(bytes, at + 8, len)?;
        places.insert(key.to_string(), (at + 8, len));
        at += 8 + len;
    }
    Ok((value, places))
}

impl Pickle {
    /// The key and the element type of a storage's persistent name.
    fn storage(&self, args: &Value) -> Option<(&str, Option<Element>)> {
        match self.list(args)? {
            [Value::Text(kind), Value::Global(class), Value::Text(key), ..] if &**kind == "storage" => {
                Some((key, element(class)))
            }
            _ => None,
        }
    }

    /// All storages that are named.
    fn persistent(&self) -> impl Iterator<Item = (&str, Option<Element>)> {
        self.nodes().iter().filter_map(|n| match n {
            Node::Object { class: Value::Global(name), args, .. } if &**name == PERSISTENT => self.storage(args),
            _ => None,
        })
    }

    fn sizes(&self, v: &Value) -> Option<Vec<usize>> {
        self.list(v)?.iter().map(|d| self.size(d)).collect()
    }

    fn size(&self, v: &Value) -> Option<usize> {
        match v {
            Value::Int(i) => usize::try_from(*i).ok(),
            _ => None,
        }
    }

    /// A tensor, from the call that rebuilds it.
    fn tensor(&self, class: &str, args: &[Value], depth: usize) -> Option<Slot> {
        match (class, args) {
            _ if depth == 0 => None,
            (
                "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v3",
                [storage, offset, shape, strides, rest @ ..],
            ) => {
                let typed = match rest.get(2) {
                    Some(Value::Global(name)) => element(name),
                    _ => None,
                };
                Some(Slot {
                    storage: storage.clone(),
                    element: typed,
                    offset: self.size(offset)?,
                    shape: self.sizes(shape)?,
                    strides: self.sizes(strides)?,
                })
            }
            ("torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", [inner, ..]) => {
                self.slot(inner, depth - 1)
            }
            ("torch._tensor._rebuild_from_type_v2", [Value::Global(class), _, args, ..]) => {
                self.tensor(class, self.list(args)?, depth - 1)
            }
            _ => None,
        }
    }

    fn slot(&self, v: &Value, depth: usize) -> Option<Slot> {
        match self.node(v)? {
            Node::Object { class: Value::Global(class), args, .. } => self.tensor(class, self.list(args)?, depth),
            _ => None,
        }
    }
}

impl<'a> Torch<'a> {
    /// Reads the pickle; the tensors' bytes are read when they are asked for.
    pub(crate) fn open(bytes: &'a [u8]) -> Read<Self> {
        if Content::of(bytes) == Content::Zip {
            return Self::zipped(bytes);
        }
        let old =
            bytes.get(..64.min(bytes.len())).is_some_and(|start| start.windows(LEGACY.len()).any(|w| w == LEGACY));
        let (pickle, places) = if old { stream(bytes)? } else { (pickle::read(bytes, 0)?, HashMap::new()) };
        Ok(Self { bytes, pickled: Cow::Borrowed(bytes), pickle, storages: Storages::Stream(places) })
    }

    fn zipped(bytes: &'a [u8]) -> Read<Self> {
        let archive = Archive::open(bytes)?;
        let has = |what: &str| archive.names().any(|n| n == what || n.ends_with(&format!("/{what}")));
        if archive.names().any(|n| n.contains("/code/")) || has("constants.pkl") {
            return Err(Fault::at(
                0,
                "a TorchScript program (torch.jit.save), not a state dictionary; save what is needed in Python: \
                 torch.save(torch.jit.load(\"FILE\", map_location=\"cpu\").state_dict(), \"weights.pth\")",
            ));
        }
        let name = archive.names().find(|n| *n == "data.pkl" || n.ends_with("/data.pkl")).map(str::to_owned);
        let Some(name) = name else {
            let all: Vec<&str> = archive.names().take(5).collect();
            return Err(Fault::at(0, format!("a zip archive that is not PyTorch's: it has no data.pkl, but {all:?}")));
        };
        let folder = name.trim_end_matches("data.pkl").to_owned();
        let big_endian = archive.get(&format!("{folder}byteorder"))?.is_some_and(|b| &*b == b"big");
        let pickled = archive.get(&name)?.unwrap_or_default();
        let pickle = pickle::read(&pickled, 0).map_err(|f| Fault { reason: format!("{name}: {}", f.reason), ..f })?;
        Ok(Self { bytes, pickled, pickle, storages: Storages::Zip { archive, folder, big_endian } })
    }

    /// Every value that dictionaries and lists lead to, once, with the keys that lead to it.
    fn walk(&self) -> Vec<(Vec<String>, &Value)> {
        let (mut open, mut seen, mut found) = (vec![(Vec::new(), &self.pickle.root)], HashSet::new(), Vec::new());
        while let Some((path, v)) = open.pop() {
            let Value::Node(i) = v else { continue };
            if !seen.insert(*i) {
                continue;
            }
            let below = |key: String| [path.clone(), vec![key]].concat();
            if path.len() < DEPTH {
                // Last first, so that they are visited in their order.
                if let Some(items) = self.pickle.items(v) {
                    open.extend(items.iter().rev().filter_map(|(k, v)| match k {
                        Value::Text(key) => Some((below(key.to_string()), v)),
                        Value::Int(key) => Some((below(key.to_string()), v)),
                        _ => None,
                    }));
                } else if let Some(all) = self.pickle.list(v) {
                    open.extend(all.iter().enumerate().rev().map(|(i, v)| (below(i.to_string()), v)));
                }
            }
            found.push((path, v));
        }
        found
    }

    /// Every dictionary that holds tensors.
    pub(crate) fn dictionaries(&self) -> Vec<Dictionary> {
        let of = |(path, v): (Vec<String>, &Value)| {
            let tensors: Vec<(String, Slot)> = self
                .pickle
                .items(v)?
                .iter()
                .filter_map(|(k, v)| match k {
                    Value::Text(name) => Some((name.to_string(), self.pickle.slot(v, DEPTH)?)),
                    _ => None,
                })
                .collect();
            (!tensors.is_empty()).then_some(Dictionary { path, tensors })
        };
        self.walk().into_iter().filter_map(of).collect()
    }

    /// The class of the first whole module, with the keys that lead to it.
    pub(crate) fn module(&self) -> Option<(Vec<String>, String)> {
        self.walk().into_iter().find_map(|(path, v)| {
            let Node::Object { class, args, state, .. } = self.pickle.node(v)? else { return None };
            self.pickle.get(state, "_modules")?;
            let class = match (class, self.pickle.list(args)) {
                (Value::Global(name), Some([Value::Global(inner), ..])) if &**name == "copyreg._reconstructor" => inner,
                (Value::Global(name), _) => name,
                _ => return None,
            };
            Some((path, class.to_string()))
        })
    }

    /// What the file holds in a word, for an error.
    pub(crate) fn describe(&self) -> String {
        let root = &self.pickle.root;
        match (self.pickle.items(root), self.pickle.class(root)) {
            (Some(items), _) => {
                let keys: Vec<&str> = items
                    .iter()
                    .filter_map(|(k, _)| match k {
                        Value::Text(t) => Some(&**t),
                        _ => None,
                    })
                    .take(20)
                    .collect();
                format!("a dictionary with the keys {keys:?}")
            }
            (_, Some(PERSISTENT)) => "a storage".to_owned(),
            (_, Some(class)) => format!("an object `{class}`"),
            _ if self.pickle.list(root).is_some() => "a list".to_owned(),
            _ => "a plain value".to_owned(),
        }
    }

    /// The bytes of a storage, and the type of their elements where the file states it.
    fn storage(&self, v: &Value) -> Read<(Cow<'_, [u8]>, Option<Element>, bool)> {
        let unknown = || Fault::at(0, "a tensor's storage is of a kind that is not read");
        let Some(Node::Object { class: Value::Global(class), args, .. }) = self.pickle.node(v) else {
            return Err(unknown());
        };
        match &**class {
            PERSISTENT => {
                let (key, element) = self.pickle.storage(args).ok_or_else(unknown)?;
                let lost = || Fault::at(0, format!("the bytes of the storage `{key}` are missing"));
                match &self.storages {
                    Storages::Zip { archive, folder, big_endian } => {
                        let found = archive.get(&format!("{folder}data/{key}"))?.ok_or_else(lost)?;
                        Ok((found, element, *big_endian))
                    }
                    Storages::Stream(places) => {
                        let (at, len) = *places.get(key).ok_or_else(lost)?;
                        Ok((Cow::Borrowed(slice(self.bytes, at, len)?), element, false))
                    }
                }
            }
            // A pickle of Python itself holds each storage as a stream of its own.
            "torch.storage._load_from_bytes" => {
                let Some([Value::Bytes(at, len)]) = self.pickle.list(args) else { return Err(unknown()) };
                let inner = slice(&self.pickled, *at, *len)?;
                let (value, places) = stream(inner)?;
                let (key, element) = value.persistent().next().ok_or_else(unknown)?;
                let (at, len) = *places.get(key).ok_or_else(unknown)?;
                Ok((Cow::Borrowed(slice(inner, at, len)?), element, false))
            }
            _ => Err(unknown()),
        }
    }

    /// Reads a tensor. `spent` counts the bytes of all tensors that were read.
    pub(crate) fn load(&self, slot: &Slot, spent: &mut usize) -> Read<Tensor> {
        let (data, stated, big_endian) = self.storage(&slot.storage)?;
        let Some(element) = slot.element.or(stated) else {
            return Err(Fault::at(0, "a tensor of a type that is not read (quantised or complex)"));
        };
        *spent = spent.saturating_add(data.len());
        if *spent > self.bytes.len().max(self.pickled.len()).saturating_mul(GROWTH).saturating_add(1 << 20) {
            return Err(Fault::at(0, format!("its tensors are more than {GROWTH} times larger than the file")));
        }
        let (shape, strides) = (slot.shape.clone(), slot.strides.clone());
        Raw { element, big_endian, shape, strides, offset: slot.offset, data: &data }.tensor()
    }

    /// Whether a tensor holds integers.
    pub(crate) fn is_integer(&self, slot: &Slot) -> bool {
        let stated = || match self.pickle.node(&slot.storage)? {
            Node::Object { args, .. } => self.pickle.storage(args)?.1,
            _ => None,
        };
        slot.element.or_else(stated).is_some_and(Element::is_integer)
    }
}

#[cfg(test)]
mod tests;
