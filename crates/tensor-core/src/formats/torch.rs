//! What `torch.save` writes: a zip archive with a pickle and the tensors' bytes, or, before PyTorch 1.6, one stream of pickles and bytes.

use super::pickle::{self, Node, PERSISTENT, Pickle, Value};
use super::raw::{Element, Raw};
use super::zip::Archive;
use super::{Content, Fault, INFLATION, Read, length, short, slice, take};
use candle_core::Tensor;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// The first number of the old format, as a pickle has it.
const LEGACY: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Keys are followed this deep.
const DEPTH: usize = 16;

/// Tensors may take this many times the bytes that were read; tied weights and narrow integers need more than once.
const GROWTH: usize = 8;

/// A tensor has no more axes.
const AXES: usize = 16;

/// A tensor's name has no more bytes.
const NAME: usize = 256;

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

/// A key or an index; a long key is shortened.
#[derive(Clone, Copy, Debug)]
enum Step<'p> {
    Key(&'p str),
    Index(i64),
}

impl Step<'_> {
    fn text(self) -> String {
        match self {
            Self::Key(key) => short(key).into_owned(),
            Self::Index(i) => i.to_string(),
        }
    }
}

/// A value with the way to it: the place in the list of the value that holds it, and the step from there.
#[derive(Clone, Copy, Debug)]
struct Place<'p> {
    above: Option<usize>,
    step: Step<'p>,
    depth: usize,
    value: &'p Value,
}

/// The steps to a place.
fn path(places: &[Place<'_>], mut at: usize) -> Vec<String> {
    let mut path = Vec::new();
    while let Some(above) = places[at].above {
        path.push(places[at].step.text());
        at = above;
    }
    path.reverse();
    path
}

/// Bytes of the file, or inflated ones.
type Shared<'a> = Rc<Cow<'a, [u8]>>;

/// What archives hold under a name, each verified and inflated once.
type Opened<'a> = RefCell<HashMap<String, Shared<'a>>>;

/// A file of PyTorch.
pub(crate) struct Torch<'a> {
    bytes: &'a [u8],
    /// The bytes of the pickle.
    pickled: Cow<'a, [u8]>,
    pickle: Pickle,
    storages: Storages<'a>,
    opened: Opened<'a>,
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

/// Bytes that a storage is part of.
fn part(bytes: &[u8], (at, len): (usize, usize)) -> Read<Shared<'_>> {
    Ok(Rc::new(Cow::Borrowed(slice(bytes, at, len)?)))
}

/// The keys of items that are texts.
fn texts(items: &[(Value, Value)]) -> impl Iterator<Item = &str> {
    items.iter().filter_map(|(k, _)| match k {
        Value::Text(t) => Some(&**t),
        _ => None,
    })
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
        self.list(v).filter(|l| l.len() <= AXES)?.iter().map(|d| self.size(d)).collect()
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
        let storages = Storages::Stream(places);
        Ok(Self { bytes, pickled: Cow::Borrowed(bytes), pickle, storages, opened: Opened::default() })
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
        let storages = Storages::Zip { archive, folder, big_endian };
        Ok(Self { bytes, pickled, pickle, storages, opened: Opened::default() })
    }

    /// Every value that dictionaries and lists lead to, once.
    fn walk<'s>(&'s self) -> Vec<Place<'s>> {
        let root = Place { above: None, step: Step::Index(0), depth: 0, value: &self.pickle.root };
        let (mut open, mut seen, mut found) = (vec![root], HashSet::new(), Vec::new());
        while let Some(place) = open.pop() {
            let Value::Node(i) = place.value else { continue };
            if !seen.insert(*i) {
                continue;
            }
            let at = found.len();
            found.push(place);
            if place.depth == DEPTH {
                continue;
            }
            let below = |step: Step<'s>, value: &'s Value| {
                let node = matches!(value, Value::Node(_));
                node.then_some(Place { above: Some(at), step, depth: place.depth + 1, value })
            };
            // Last first, so that they are visited in their order.
            if let Some(items) = self.pickle.items(place.value) {
                open.extend(items.iter().rev().filter_map(|(k, v)| match k {
                    Value::Text(key) => below(Step::Key(key), v),
                    Value::Int(key) => below(Step::Index(*key), v),
                    _ => None,
                }));
            } else if let Some(all) = self.pickle.list(place.value) {
                open.extend(all.iter().enumerate().rev().filter_map(|(i, v)| below(Step::Index(i as i64), v)));
            }
        }
        found
    }

    /// Every dictionary that holds tensors.
    pub(crate) fn dictionaries(&self) -> Vec<Dictionary> {
        let places = self.walk();
        let of = |at: usize| {
            let tensors: Vec<(String, Slot)> = self
                .pickle
                .items(places[at].value)?
                .iter()
                .filter_map(|(k, v)| match k {
                    Value::Text(name) if name.len() <= NAME => Some((name.to_string(), self.pickle.slot(v, DEPTH)?)),
                    _ => None,
                })
                .collect();
            (!tensors.is_empty()).then(|| Dictionary { path: path(&places, at), tensors })
        };
        (0..places.len()).filter_map(of).collect()
    }

    /// The text keys of the dictionaries on the way to a path, with those of the last.
    pub(crate) fn above(&self, path: &[String]) -> Vec<Vec<&str>> {
        let (mut at, mut found) = (&self.pickle.root, Vec::new());
        for step in path {
            let next = if let Some(items) = self.pickle.items(at) {
                found.push(texts(items).collect());
                let named = |k: &Value| match k {
                    Value::Text(key) => short(key) == *step,
                    Value::Int(key) => key.to_string() == *step,
                    _ => false,
                };
                items.iter().find(|(k, v)| matches!(v, Value::Node(_)) && named(k)).map(|(_, v)| v)
            } else {
                step.parse().ok().and_then(|i: usize| self.pickle.list(at)?.get(i))
            };
            let Some(next) = next else { return found };
            at = next;
        }
        found.extend(self.pickle.items(at).map(|items| texts(items).collect()));
        found
    }

    /// The class of the first whole module, with the keys that lead to it.
    pub(crate) fn module(&self) -> Option<(Vec<String>, String)> {
        let (places, mut seen) = (self.walk(), HashSet::new());
        (0..places.len()).find_map(|at| {
            let Node::Object { class, args, state, .. } = self.pickle.node(places[at].value)? else { return None };
            let Value::Node(of) = state else { return None };
            // Many objects may have one state.
            if !seen.insert(*of) {
                return None;
            }
            self.pickle.get(state, "_modules")?;
            let class = match (class, self.pickle.list(args)) {
                (Value::Global(name), Some([Value::Global(inner), ..])) if &**name == "copyreg._reconstructor" => inner,
                (Value::Global(name), _) => name,
                _ => return None,
            };
            Some((path(&places, at), short(class).into_owned()))
        })
    }

    /// What the file holds in a word, for an error.
    pub(crate) fn describe(&self) -> String {
        let root = &self.pickle.root;
        match (self.pickle.items(root), self.pickle.class(root)) {
            (Some(items), _) => {
                let keys: Vec<Cow<'_, str>> = texts(items).take(20).map(short).collect();
                format!("a dictionary with the keys {keys:?}")
            }
            (_, Some(PERSISTENT)) => "a storage".to_owned(),
            (_, Some(class)) => format!("an object `{}`", short(class)),
            _ if self.pickle.list(root).is_some() => "a list".to_owned(),
            _ => "a plain value".to_owned(),
        }
    }

    /// A file of the archive.
    fn opened(&self, archive: &Archive<'a>, name: String) -> Read<Option<Shared<'a>>> {
        if let Some(found) = self.opened.borrow().get(&name) {
            return Ok(Some(found.clone()));
        }
        let Some(found) = archive.get(&name)?.map(Rc::new) else { return Ok(None) };
        self.opened.borrow_mut().insert(name, found.clone());
        if self.inflated() > self.bytes.len().saturating_mul(INFLATION) {
            return Err(Fault::at(0, "the files of the zip archive overlap"));
        }
        Ok(Some(found))
    }

    /// The bytes that were inflated so far.
    fn inflated(&self) -> usize {
        let owned = |bytes: &Cow<'_, [u8]>| if matches!(bytes, Cow::Owned(_)) { bytes.len() } else { 0 };
        owned(&self.pickled) + self.opened.borrow().values().map(|b| owned(b)).sum::<usize>()
    }

    /// The bytes of a storage, and the type of their elements where the file states it.
    fn storage(&self, v: &Value) -> Read<(Shared<'_>, Option<Element>, bool)> {
        let unknown = || Fault::at(0, "a tensor's storage is of a kind that is not read");
        let Some(Node::Object { class: Value::Global(class), args, .. }) = self.pickle.node(v) else {
            return Err(unknown());
        };
        match &**class {
            PERSISTENT => {
                let (key, element) = self.pickle.storage(args).ok_or_else(unknown)?;
                let lost = || Fault::at(0, format!("the bytes of the storage `{}` are missing", short(key)));
                match &self.storages {
                    Storages::Zip { archive, folder, big_endian } => {
                        let found = self.opened(archive, format!("{folder}data/{key}"))?.ok_or_else(lost)?;
                        Ok((found, element, *big_endian))
                    }
                    Storages::Stream(places) => {
                        Ok((part(self.bytes, *places.get(key).ok_or_else(lost)?)?, element, false))
                    }
                }
            }
            // A pickle of Python itself holds each storage as a stream of its own.
            "torch.storage._load_from_bytes" => {
                let Some([Value::Bytes(at, len)]) = self.pickle.list(args) else { return Err(unknown()) };
                let inner = slice(&self.pickled, *at, *len)?;
                let (value, places) = stream(inner)?;
                let (key, element) = value.persistent().next().ok_or_else(unknown)?;
                Ok((part(inner, *places.get(key).ok_or_else(unknown)?)?, element, false))
            }
            _ => Err(unknown()),
        }
    }

    /// Reads a tensor. `spent` counts the bytes of all tensors that were read, as they are in memory.
    pub(crate) fn load(&self, slot: &Slot, spent: &mut usize) -> Read<Tensor> {
        let (data, stated, big_endian) = self.storage(&slot.storage)?;
        let Some(element) = slot.element.or(stated) else {
            return Err(Fault::at(0, "a tensor of a type that is not read (quantised or complex)"));
        };
        let (shape, strides) = (slot.shape.clone(), slot.strides.clone());
        let raw = Raw { element, big_endian, shape, strides, offset: slot.offset, data: &data };
        *spent = spent.saturating_add(raw.wide().unwrap_or(usize::MAX));
        if *spent > self.bytes.len().saturating_add(self.inflated()).saturating_mul(GROWTH) {
            return Err(Fault::at(0, format!("its tensors are more than {GROWTH} times larger than the file")));
        }
        raw.tensor()
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
pub(crate) mod tests;
