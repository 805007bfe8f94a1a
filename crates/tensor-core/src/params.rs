//! The parameters of a network: ordered, named, trainable apart from buffers.

use crate::{Error, Result, store};
use candle_core::{Device, Tensor, Var};
use std::{collections::HashMap, path::Path};

/// What a parameter is for. Regularizers and optimizers choose by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The weight of a convolution, (O, I / groups, KH, KW).
    Kernel,
    /// The weight of a linear map, (O, I).
    Weight,
    /// An additive term of a convolution or linear map.
    Bias,
    /// The scale of a normalisation.
    Scale,
    /// The shift of a normalisation.
    Shift,
    /// State that is saved with the weights and never trained: running statistics.
    Buffer,
}

/// One named variable.
#[derive(Clone, Debug)]
pub struct Param {
    name: String,
    role: Role,
    var: Var,
}

impl Param {
    /// The full name, `block1.conv.weight`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The variable; layers hold clones of it that share its storage.
    pub fn var(&self) -> &Var {
        &self.var
    }
}

/// An ordered list of named parameters. The order is that of construction, on every run.
#[derive(Clone, Debug, Default)]
pub struct Params {
    all: Vec<Param>,
}

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter and returns its variable.
    ///
    /// # Errors
    /// [`Error::Config`] where the name is taken.
    pub fn add(&mut self, name: impl Into<String>, role: Role, init: &Tensor) -> Result<Var> {
        // A copy: the variable's storage must be its own.
        let var = Var::from_tensor(&init.copy()?)?;
        self.adopt(name, role, var.clone())?;
        Ok(var)
    }

    /// Adds an existing variable as it is: everyone who holds it sees the updates of all others.
    ///
    /// # Errors
    /// [`Error::Config`] where the name is taken, or the variable is here under another name (tied weights have one).
    pub fn adopt(&mut self, name: impl Into<String>, role: Role, var: Var) -> Result<()> {
        let name = name.into();
        if self.get(&name).is_some() {
            return Err(Error::config("Params.name", format!("`{name}` is taken")));
        }
        if let Some(p) = self.all.iter().find(|p| p.var.id() == var.id()) {
            // An optimizer would update it twice.
            return Err(Error::config("Params.var", format!("`{name}` is the variable of `{}`", p.name)));
        }
        self.all.push(Param { name, role, var });
        Ok(())
    }

    /// All parameters in order, buffers too.
    pub fn iter(&self) -> impl Iterator<Item = &Param> {
        self.all.iter()
    }

    /// The trainable ones in order.
    pub fn trainable(&self) -> impl Iterator<Item = &Param> {
        self.all.iter().filter(|p| p.role != Role::Buffer)
    }

    /// Those of one role in order.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &Param> {
        self.all.iter().filter(move |p| p.role == role)
    }

    /// The parameter of a name.
    pub fn get(&self, name: &str) -> Option<&Param> {
        self.all.iter().find(|p| p.name == name)
    }

    /// Some of the parameters, in order. They keep their names and share their variables with these.
    #[must_use]
    pub fn subset(&self, keep: impl Fn(&Param) -> bool) -> Self {
        Self { all: self.all.iter().filter(|p| keep(p)).cloned().collect() }
    }

    /// The parameters whose name starts with `prefix.`, such as a trunk's or a head's, as [`Params::subset`].
    #[must_use]
    pub fn under(&self, prefix: &str) -> Self {
        self.subset(|p| p.name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')))
    }

    /// Refuses parameters with a NaN or an infinity.
    ///
    /// # Errors
    /// [`Error::Value`] naming the first such parameter and the place in it.
    pub fn require_finite(&self) -> Result<()> {
        let check =
            |p: &Param| crate::classifier::require_finite(&format!("parameter `{}`", p.name), p.var.as_tensor());
        self.all.iter().try_for_each(check)
    }

    /// How many numbers are trained.
    pub fn count(&self) -> usize {
        self.trainable().map(|p| p.var.elem_count()).sum()
    }

    /// Copies of all values in order.
    ///
    /// # Errors
    /// candle's only.
    pub fn snapshot(&self) -> Result<Vec<(String, Tensor)>> {
        self.all.iter().map(|p| Ok((p.name.clone(), p.var.as_detached_tensor().copy()?))).collect()
    }

    /// Sets all values by name; nothing is set unless everything fits.
    ///
    /// # Errors
    /// The missing and unexpected names, or [`Error::Shape`] naming the parameter.
    pub fn restore(&self, values: &HashMap<String, Tensor>) -> Result<()> {
        let missing: Vec<&str> = self.all.iter().map(Param::name).filter(|n| !values.contains_key(*n)).collect();
        let mut unexpected: Vec<&str> = values.keys().map(String::as_str).filter(|n| self.get(n).is_none()).collect();
        unexpected.sort_unstable();
        if !missing.is_empty() || !unexpected.is_empty() {
            let reason = format!("missing {missing:?}, unexpected {unexpected:?}");
            return Err(Error::value("parameters", reason));
        }
        for p in &self.all {
            let got = &values[&p.name];
            if got.shape() != p.var.shape() {
                return Err(Error::shape(format!("parameter `{}`", p.name), format!("{:?}", p.var.dims()), got.dims()));
            }
        }
        for p in &self.all {
            let v = values[&p.name].to_device(p.var.device())?.to_dtype(p.var.dtype())?;
            p.var.set(&v.contiguous()?)?;
        }
        Ok(())
    }

    /// Saves all values to a safetensors file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] with the path.
    pub fn save(&self, path: &Path) -> Result<()> {
        store::save(path, self.all.iter().map(|p| (p.name(), p.var.as_detached_tensor())), "")
    }

    /// Loads what [`Params::save`] wrote into the same architecture.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Checkpoint`] with the path and what does not fit.
    pub fn load(&self, path: &Path) -> Result<()> {
        let (values, _) = store::load(path, &Device::Cpu)?;
        self.restore(&values).map_err(|e| Error::Checkpoint { path: path.to_owned(), reason: e.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    fn params(width: usize) -> Params {
        let mut p = Params::new();
        p.add("a.weight", Role::Weight, &Tensor::ones((width, 3), DType::F32, &Device::Cpu).unwrap()).unwrap();
        p.add("a.mean", Role::Buffer, &Tensor::zeros(width, DType::F32, &Device::Cpu).unwrap()).unwrap();
        p
    }

    #[test]
    fn trainable_apart_from_buffers() {
        let p = params(2);
        assert_eq!(p.trainable().map(Param::name).collect::<Vec<_>>(), ["a.weight"]);
        assert_eq!((p.count(), p.iter().count()), (6, 2));
    }

    #[test]
    fn a_name_is_taken_once() {
        let t = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
        assert!(params(2).add("a.mean", Role::Bias, &t).unwrap_err().to_string().contains("`a.mean` is taken"));
    }

    #[test]
    fn save_and_load_check_names_and_shapes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let p = params(2);
        p.get("a.mean").unwrap().var().set(&Tensor::new(&[5f32, 6.0], &Device::Cpu).unwrap()).unwrap();
        p.save(&path).unwrap();
        let q = params(2);
        q.load(&path).unwrap();
        assert_eq!(q.get("a.mean").unwrap().var().to_vec1::<f32>().unwrap(), [5.0, 6.0]);

        let e = params(3).load(&path).unwrap_err().to_string();
        assert!(e.contains("w.safetensors") && e.contains("a.weight") && e.contains("[3, 3]"), "{e}");
        let mut other = params(2);
        other.add("b", Role::Bias, &Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap()).unwrap();
        assert!(other.load(&path).unwrap_err().to_string().contains(r#"missing ["b"]"#));

        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        assert!(q.load(&path).unwrap_err().to_string().contains("not a whole safetensors file"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
