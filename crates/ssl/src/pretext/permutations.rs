//! Permutations that are far from each other.

use sconce_tensor_core::{Result, error::require};

/// `count` permutations of `0..length` that are far from each other in Hamming distance: the first is the identity, each next one
/// has the largest mean distance to those before it among those that are left, ties by lexicographic order. Without
/// randomness.
///
/// The greedy choice by the mean distance is Noroozi and Favaro's (2016, algorithm 1, from memory); they start with a random
/// permutation. That the start is the identity and how ties are broken is chosen by us.
///
/// ```
/// let set = sconce_ssl::pretext::permutation_set(3, 4)?;
/// assert_eq!(set, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]]);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
///
/// # Errors
/// [`sconce_tensor_core::Error::Config`] for a length outside 2..=9, or a count outside 1..=`length!`, or above 1000.
pub fn permutation_set(length: usize, count: usize) -> Result<Vec<Vec<usize>>> {
    require("permutation_set.length", (2..=9).contains(&length), "in 2..=9", length)?;
    let most = (1..=length).product::<usize>().min(1000);
    require("permutation_set.count", (1..=most).contains(&count), &format!("in 1..={most}"), count)?;
    let mut set: Vec<Vec<usize>> = vec![(0..length).collect()];
    // How many permutations of the set have value v at place p. The mean distance of a candidate is largest where the sum of
    // these counts over its places is smallest.
    let mut counts = vec![vec![0; length]; length];
    while set.len() < count {
        if let Some(last) = set.last() {
            last.iter().enumerate().for_each(|(p, v)| counts[p][*v] += 1);
        }
        // The least that the places from each one on can add.
        let mut rest = vec![0; length + 1];
        for (p, row) in counts.iter().enumerate().rev() {
            rest[p] = rest[p + 1] + row.iter().min().copied().unwrap_or(0);
        }
        let (best, prefix) = (None, Vec::with_capacity(length));
        let mut search = Search { counts: &counts, rest: &rest, set: &set, best, prefix };
        search.extend(0);
        match search.best {
            Some((_, found)) => set.push(found),
            None => break,
        }
    }
    Ok(set)
}

/// A depth-first search in lexicographic order that leaves prefixes which are no better than the best so far.
struct Search<'a> {
    counts: &'a [Vec<usize>],
    rest: &'a [usize],
    set: &'a [Vec<usize>],
    best: Option<(usize, Vec<usize>)>,
    prefix: Vec<usize>,
}

impl Search<'_> {
    fn extend(&mut self, sum: usize) {
        let place = self.prefix.len();
        if self.best.as_ref().is_some_and(|b| sum + self.rest[place] >= b.0) {
            return;
        }
        if place == self.counts.len() {
            if !self.set.contains(&self.prefix) {
                self.best = Some((sum, self.prefix.clone()));
            }
            return;
        }
        for v in 0..self.counts.len() {
            if !self.prefix.contains(&v) {
                self.prefix.push(v);
                self.extend(sum + self.counts[place][v]);
                self.prefix.pop();
            }
        }
    }
}
