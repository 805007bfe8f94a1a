//! A value with the fingerprint of what it was made from.

use super::{Digest, Fingerprint, State, tensors, write_once, write_whole};
use crate::{Error, Result};
use candle_core::Device;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{fs, path::Path};

/// A value that can be kept: it turns into a [`State`] and comes back from one.
pub trait Keep: Sized {
    /// The value as tensors and plain values.
    ///
    /// # Errors
    /// Values that cannot be written.
    fn to_state(&self) -> Result<State>;

    /// The value from what [`Keep::to_state`] gave, its tensors on the host.
    ///
    /// # Errors
    /// A state of something else.
    fn from_state(state: State) -> Result<Self>;
}

impl Keep for State {
    fn to_state(&self) -> Result<State> {
        Ok(self.clone())
    }

    fn from_state(state: State) -> Result<Self> {
        Ok(state)
    }
}

/// A value without tensors, by serde.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plain<T>(pub T);

impl<T: Serialize + DeserializeOwned> Keep for Plain<T> {
    fn to_state(&self) -> Result<State> {
        State::new(&self.0, Vec::<(String, candle_core::Tensor)>::new())
    }

    fn from_state(state: State) -> Result<Self> {
        state.values().map(Self)
    }
}

/// A value and the fingerprint of what it was made from.
///
/// The file is safetensors where the value has tensors, else JSON; it holds the format's number, the fingerprint, the plain
/// values and a checksum over all of it. The same content gives the same bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept<T> {
    /// What the value was made from.
    pub fingerprint: Fingerprint,
    /// The value.
    pub value: T,
}

const FORMAT: u32 = 2;

#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    /// Of the text of what follows; tensors have the checksum of their file.
    sha256: String,
    fingerprint: Fingerprint,
    values: Value,
}

impl File {
    fn checksum(&self) -> Result<String> {
        let text = serde_json::to_vec(&(&self.fingerprint, &self.values));
        Ok(Digest::new().bytes(&text.map_err(|e| Error::value("kept value", e.to_string()))?).hex())
    }
}

impl<T: Keep> Kept<T> {
    /// A value with its fingerprint.
    pub fn new(fingerprint: impl Into<Fingerprint>, value: T) -> Self {
        Self { fingerprint: fingerprint.into(), value }
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let State { tensors, values } = self.value.to_state()?;
        let mut file = File { format: FORMAT, sha256: String::new(), fingerprint: self.fingerprint.clone(), values };
        file.sha256 = file.checksum()?;
        let unwritable = |e: serde_json::Error| Error::value("kept value", e.to_string());
        if tensors.is_empty() {
            let mut text = serde_json::to_vec_pretty(&file).map_err(unwritable)?;
            text.push(b'\n');
            return Ok(text);
        }
        let tensors: Vec<_> = tensors.iter().map(|(n, t)| (n.as_str(), t.detach())).collect();
        tensors::encode(&tensors, &serde_json::to_string(&file).map_err(unwritable)?)
    }

    /// Writes the value to `path`, in the place of what is there, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] with the path.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_whole(path, &self.encode()?)
    }

    /// Writes the value where there is no file yet; a second writer of the same value is fine.
    ///
    /// # Errors
    /// [`Error::Conflict`] where another value is there; [`Error::Io`] with the path.
    pub fn save_once(&self, path: &Path) -> Result<()> {
        write_once(path, &self.encode()?)
    }

    /// Reads a value with whichever fingerprint it has.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Checkpoint`] with the path where the file is damaged or of another format.
    pub fn open(path: &Path) -> Result<Self> {
        let refuse = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
        let bytes = fs::read(path).map_err(Error::io(path))?;
        let (tensors, text) = match bytes.first() {
            Some(b'{') => (Vec::new(), String::from_utf8_lossy(&bytes).into_owned()),
            _ => {
                let (tensors, text) = tensors::decode(path, &bytes, &Device::Cpu)?;
                let mut tensors: Vec<_> = tensors.into_iter().collect();
                tensors.sort_by(|a, b| a.0.cmp(&b.0));
                (tensors, text)
            }
        };
        if text.is_empty() {
            return Err(refuse("not a kept value: a file of tensors alone".to_owned()));
        }
        let bare: Value = serde_json::from_str(&text).map_err(|e| refuse(format!("not a whole kept value: {e}")))?;
        match bare.get("format").and_then(Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(format) => return Err(refuse(format!("format {format}; this build reads {FORMAT}"))),
            None => return Err(refuse("not a kept value: it names no format".to_owned())),
        }
        let file: File = serde_json::from_value(bare).map_err(|e| refuse(format!("not a kept value: {e}")))?;
        let found = file.checksum()?;
        if found != file.sha256 {
            return Err(refuse(format!("its content was changed: checksum {found}, written with {}", file.sha256)));
        }
        let value = T::from_state(State { tensors, values: file.values }).map_err(|e| refuse(e.to_string()))?;
        Ok(Self { fingerprint: file.fingerprint, value })
    }

    /// Reads the value that was made from `expected`; `None` where there is no file.
    ///
    /// # Errors
    /// As [`Kept::open`]; [`Error::Checkpoint`] with each key of the fingerprint that differs.
    pub fn load(path: &Path, expected: &Fingerprint) -> Result<Option<Self>> {
        let kept = match Self::open(path) {
            // A file that is there and cannot be read is an error: a fresh start would overwrite it.
            Err(Error::Io { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            kept => kept?,
        };
        let difference = kept.fingerprint.difference(expected);
        if difference.is_empty() {
            return Ok(Some(kept));
        }
        let reason = format!("made by another configuration; it differs in\n  {}", difference.join("\n  "));
        Err(Error::Checkpoint { path: path.to_owned(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Tensor;

    #[test]
    fn values_with_and_without_tensors_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let print = Fingerprint::from("a").with("seed", 1);
        let path = dir.path().join("plain");
        // The smallest and largest floats and a third come back bit by bit.
        let numbers = vec![1.0 / 3.0, f64::MIN_POSITIVE, f64::MAX, -0.0];
        let plain = Kept::new(print.clone(), Plain(numbers.clone()));
        plain.save(&path).unwrap();
        assert_eq!(Kept::<Plain<Vec<f64>>>::load(&path, &print).unwrap().unwrap().value.0, numbers);
        assert!(fs::read_to_string(&path).unwrap().starts_with('{'), "a person can read it");

        let path = dir.path().join("tensors");
        let t = Tensor::new(&[1f64, f64::NAN], &Device::Cpu).unwrap();
        let state = State::new(&"values", [("t", t)]).unwrap();
        Kept::new(print.clone(), state).save(&path).unwrap();
        let back = Kept::<State>::load(&path, &print).unwrap().unwrap().value;
        assert_eq!(back.values::<String>().unwrap(), "values");
        assert!(back.tensors[0].1.to_vec1::<f64>().unwrap()[1].is_nan());
        assert!(Kept::<State>::load(&dir.path().join("none"), &print).unwrap().is_none());
    }

    /// One flipped bit anywhere in a readable file, or in one with tensors, is found; or it changed nothing.
    #[test]
    fn no_flipped_bit_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, tensors) = (dir.path().join("plain"), dir.path().join("tensors"));
        let print = Fingerprint::new().with("lr", 0.1).with("name", "a");
        let value = Plain(vec![1.5f64, -2.0]);
        Kept::new(print.clone(), value.clone()).save(&plain).unwrap();
        let t = Tensor::new(&[1f32, 2.0], &Device::Cpu).unwrap();
        Kept::new(print.clone(), State::new(&"values", [("t", t.clone())]).unwrap()).save(&tensors).unwrap();
        let flip = |path: &Path, same: &dyn Fn(&Path) -> Option<bool>| {
            let bytes = fs::read(path).unwrap();
            for at in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[at / 8] ^= 1 << (at % 8);
                fs::write(path, &damaged).unwrap();
                assert!(same(path).is_none_or(|same| same), "bit {at}");
            }
        };
        let same = |k: Kept<Plain<Vec<f64>>>| k.value == value && k.fingerprint == print;
        flip(&plain, &|path| Kept::open(path).ok().map(same));
        let same = |k: Kept<State>| {
            k.fingerprint == print
                && k.value.tensors[0].1.to_vec1::<f32>().unwrap() == [1.0, 2.0]
                && k.value.values == "values"
        };
        flip(&tensors, &|path| Kept::open(path).ok().map(same));
    }

    /// A file of tensors with our text and no checksum, as they were written before there was one, is refused.
    #[test]
    fn a_text_without_a_checksum_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old");
        let t = Tensor::new(&[1f32, 2.0], &Device::Cpu).unwrap();
        let header = std::collections::HashMap::from([("sconce".to_owned(), "text".to_owned())]);
        fs::write(&path, safetensors::serialize([("t", &t)], Some(header)).unwrap()).unwrap();
        let e = crate::store::load(&path, &Device::Cpu).unwrap_err().to_string();
        assert!(e.contains("checksum is missing or damaged: make the file again"), "{e}");
    }

    #[test]
    fn another_fingerprint_is_told_key_by_key_and_damage_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v");
        let print = Fingerprint::new().with("lr", 0.1).with("epochs", 3);
        Kept::new(print.clone(), Plain(5u32)).save_once(&path).unwrap();
        Kept::new(print.clone(), Plain(5u32)).save_once(&path).unwrap();
        assert!(matches!(Kept::new(print.clone(), Plain(6u32)).save_once(&path), Err(Error::Conflict { .. })));
        let e = Kept::<Plain<u32>>::load(&path, &print.clone().with("lr", 0.2)).unwrap_err().to_string();
        assert!(e.contains("`lr`: found 0.1, expected 0.2") && !e.contains("epochs"), "{e}");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"values\": 5", "\"values\": 7")).unwrap();
        let e = Kept::<Plain<u32>>::load(&path, &print).unwrap_err().to_string();
        assert!(e.contains("was changed"), "{e}");
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert!(Kept::<Plain<u32>>::load(&path, &print).unwrap_err().to_string().contains("not a whole kept value"));
        fs::write(&path, text.replace("\"format\": 2", "\"format\": 9")).unwrap();
        assert!(Kept::<Plain<u32>>::load(&path, &print).unwrap_err().to_string().contains("this build reads 2"));
        fs::write(&path, "").unwrap();
        assert!(Kept::<Plain<u32>>::load(&path, &print).is_err());
    }
}
