//! Rows of images and of tables: where they come from, and how they are cut.

use super::config::{ImageSet, TableSet, TableSource};
use crate::jobs::Site;
use crate::pieces::data::Source;
use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use sconce_anomaly::protocol::{Amounts, Roles, TrainingSplit, random_split};
use sconce_datasets::{Split, embedded, kdd};
use sconce_tensor_core::Rng;
use sconce_tensor_core::store::Digest;
use sconce_tensor_core::table::{Column, Kind, Schema, Table};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Rows with their classes.
pub struct Rows {
    pub x: Tensor,
    pub classes: Vec<u32>,
}

impl Rows {
    fn part(&self, rows: &[u32]) -> Result<Self> {
        let x = self.x.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?;
        Ok(Self { x, classes: rows.iter().map(|i| self.classes[*i as usize]).collect() })
    }
}

/// Both parts of a data set.
pub struct Sets {
    pub train: Rows,
    pub test: Rows,
}

impl Sets {
    /// What training sees of a seed: the examples, and which are known.
    pub fn drawn(&self, roles: &Roles, amounts: &Amounts, seed: u64) -> Result<(Tensor, Vec<bool>)> {
        let rng = Rng::new(seed).stream("seen");
        let TrainingSplit { rows, known } = roles.training_split(&self.train.classes, amounts, &rng)?;
        Ok((self.train.x.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?, known))
    }
}

/// Where images come from.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Origin<'a> {
    pub name: &'a str,
    pub source: Source,
}

impl ImageSet {
    /// Where its images come from.
    pub fn origin(&self) -> Origin<'_> {
        Origin { name: &self.name, source: self.source }
    }
}

impl Origin<'_> {
    /// Both parts, each image as a row; read once in a process.
    pub fn load(&self, site: &Site) -> Result<Rc<Sets>> {
        site.once(&format!("rows of {self:?}"), || {
            let rows = |split| -> Result<Rows> {
                let data = self.source.read(self.name, split, site)?.to_labelled(&Device::Cpu)?;
                Ok(Rows { x: data.x().flatten_from(1)?, classes: data.labels()? })
            };
            Ok(Sets { train: rows(Split::Train)?, test: rows(Split::Test)? })
        })
    }
}

/// A table's rows, the names of their classes, and its columns.
pub struct TableRows {
    pub rows: Rows,
    pub names: Vec<String>,
    pub schema: Schema,
}

/// The files of KDD'99; none where they are not found.
fn kdd_files(site: &Site) -> Result<Option<Vec<PathBuf>>> {
    match site.lookup.files("kdd99", &["kddcup.data_10_percent", "corrected"]) {
        Ok(paths) => Ok(Some(paths)),
        Err(sconce_datasets::Error::NotFound { .. }) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

impl TableSet {
    /// Whether its rows can be read here.
    pub fn found(&self, site: &Site) -> Result<bool> {
        Ok(match self.source {
            TableSource::Shuttle => true,
            TableSource::Kdd99 => kdd_files(site)?.is_some(),
        })
    }

    /// All rows, read once in a process.
    pub fn load(&self, site: &Site) -> Result<Rc<TableRows>> {
        site.once(&format!("rows of {:?} {:?} {}", self.source, self.drop, self.distinct), || self.read(site))
    }

    fn read(&self, site: &Site) -> Result<TableRows> {
        let (table, names, classes) = match self.source {
            TableSource::Shuttle => {
                let (x, anomaly) = embedded::shuttle()?;
                let column = |i| Column { name: format!("reading {i}"), kind: Kind::Number };
                let schema = Schema::new((1..=x.dim(1)?).map(column).collect())?;
                let table = Table::new(schema, x.flatten_all()?.to_vec1()?)?;
                let names = ["normal", "anomaly"].map(String::from).to_vec();
                (table, names, anomaly.into_iter().map(u32::from).collect())
            }
            TableSource::Kdd99 => {
                let paths = kdd_files(site)?.context("the files of KDD'99 are gone since this run was planned")?;
                let digest =
                    paths.iter().try_fold(Digest::new(), |d, p| std::fs::read(p).map(|bytes| d.bytes(&bytes)))?;
                site.same(&self.name, digest)?;
                let found = kdd::read(&paths.iter().map(AsRef::as_ref).collect::<Vec<&Path>>())?;
                (found.table, found.names, found.classes)
            }
        };
        let table = table.without(&self.drop).with_context(|| format!("tables.{}.drop", self.name))?;
        let mut rows = Rows { x: table.tensor()?, classes };
        if self.distinct {
            let bits = |(row, class): (&[f64], &u32)| (row.iter().map(|v| v.to_bits()).collect::<Vec<u64>>(), *class);
            let values = rows.x.flatten_all()?.to_vec1::<f64>()?;
            let mut seen = std::collections::HashSet::new();
            let each = values.chunks_exact(rows.x.dim(1)?).zip(&rows.classes).enumerate();
            let kept: Vec<u32> = each.filter(|(_, r)| seen.insert(bits(*r))).map(|(i, _)| i as u32).collect();
            rows = rows.part(&kept)?;
        }
        Ok(TableRows { rows, names, schema: table.schema().clone() })
    }

    /// Roles of classes by their names.
    pub fn roles(&self, names: &[String]) -> Result<Roles> {
        let of = |role: &[String]| -> Result<Vec<u32>> {
            let at = |n: &String| {
                let found = names.iter().position(|m| m == n);
                Ok(found.with_context(|| format!("tables.{}: no class `{n}` among {names:?}", self.name))? as u32)
            };
            role.iter().map(at).collect()
        };
        Ok(Roles { normal: of(&self.normal)?, known: of(&self.known)?, unknown: of(&self.unknown)? })
    }

    /// The two parts of a seed.
    pub fn parts(&self, all: &Rows, seed: u64) -> Result<Sets> {
        let (train, test) = random_split(all.classes.len(), self.train, &Rng::new(seed).stream("parts"))?;
        Ok(Sets { train: all.part(&train)?, test: all.part(&test)? })
    }
}
