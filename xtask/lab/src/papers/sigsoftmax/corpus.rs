//! A text as it is cut: what the jobs on it share.

use super::config::Text;
use crate::jobs::{Job, Site, Work};
use anyhow::{Result, bail};
use sconce_datasets::text::{Corpus, named};
use sconce_tensor_core::store::Digest;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// Words of a text that is not cut, about: costs are compared within a kind.
const ALL: usize = 1_000_000;

/// The parts of a text, without the models that are trained on it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cut<'a> {
    pub name: &'a str,
    pub vocabulary: usize,
    pub train: usize,
    pub validation: usize,
    pub test: usize,
}

impl<'a> From<&'a Text> for Cut<'a> {
    fn from(t: &'a Text) -> Self {
        let Text { name, vocabulary, train, validation, test, .. } = t;
        Self { name, vocabulary: *vocabulary, train: *train, validation: *validation, test: *test }
    }
}

impl Cut<'_> {
    /// The parts as numbers of words, cut as the recipe says; read once in a process.
    pub fn load(&self, site: &Site) -> Result<Rc<Corpus>> {
        site.once(&format!("{self:?}"), || {
            let parts = named(self.name, &site.lookup)?;
            let text = [&parts.train, &parts.validation, &parts.test];
            site.same(self.name, text.iter().fold(Digest::new(), |d, t| d.bytes(t.as_bytes())))?;
            let mut corpus = Corpus::new(&parts, Some(self.vocabulary).filter(|v| *v > 0))?;
            let parts = [
                (&mut corpus.train, self.train),
                (&mut corpus.validation, self.validation),
                (&mut corpus.test, self.test),
            ];
            for (part, words) in parts {
                if words > part.len() {
                    bail!("corpora.{}: a part has {} words, the recipe asks for {words}", self.name, part.len());
                }
                part.truncate(if words == 0 { part.len() } else { words });
            }
            Ok(corpus)
        })
    }

    /// Words to train on, about: of the first `words` of the training part, 0 for all.
    pub fn words(&self, words: usize) -> usize {
        match [self.train, words].into_iter().filter(|w| *w > 0).min() {
            Some(words) => words,
            None => ALL,
        }
    }
}

/// Counts the words of a text.
#[derive(Clone, Copy, Serialize)]
pub struct Count<'a> {
    pub cut: Cut<'a>,
}

/// What there is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Counts {
    pub vocabulary: usize,
    pub train: usize,
    pub validation: usize,
    pub test: usize,
}

impl Job for Count<'_> {
    type Output = Counts;

    fn key(&self) -> String {
        format!("corpus/{}", self.cut.name)
    }

    fn cost(&self) -> f64 {
        1.0
    }

    fn run(&self, work: &Work<'_>) -> Result<Counts> {
        let c = self.cut.load(work.site)?;
        Ok(Counts {
            vocabulary: c.vocabulary.len(),
            train: c.train.len(),
            validation: c.validation.len(),
            test: c.test.len(),
        })
    }
}
