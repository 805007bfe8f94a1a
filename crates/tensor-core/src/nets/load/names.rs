//! The names of a file's tensors: what wrappers put around them, and what stands beside a network's weights.

use super::arch::Arch;
use std::collections::{BTreeMap, BTreeSet};

/// A tensor of a file, before it is read.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) elements: usize,
    pub(super) integer: bool,
}

/// A network that the names of a set of tensors hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Fitting {
    /// What stood in front of every name, without the last dot.
    pub(super) prefix: String,
    /// The tensors by position, each with the name that this workspace gives it.
    pub(super) tensors: Vec<(usize, String)>,
    /// Mean and standard deviation of a normalising layer.
    pub(super) normalize: Option<(usize, usize)>,
    /// Counters that were left out.
    pub(super) dropped: Vec<String>,
    /// Names that belong to no network here: with them it does not fit.
    pub(super) strange: Vec<String>,
}

/// Parts of a name that wrappers of PyTorch add anywhere in it: data parallelism, `torch.compile`, sharding, checkpointing.
const WRAPPERS: [&str; 4] = ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// The last part of the names of a normalising layer's buffers: of the mean and of the deviation.
const NORMAL: [(&str, &str); 9] = [
    ("mean", "std"),
    ("_mean", "_std"),
    ("means", "stds"),
    ("mu", "sigma"),
    ("mean", "sigma"),
    ("new_mean", "new_std"),
    ("image_mean", "image_std"),
    ("pixel_mean", "pixel_std"),
    ("input_mean", "input_std"),
];

/// Names without the parts that wrappers add; as they are where two would become one.
fn unwrapped(all: &[Named]) -> Vec<String> {
    let plain: Vec<String> =
        all.iter().map(|n| n.name.split('.').filter(|p| !WRAPPERS.contains(p)).collect::<Vec<_>>().join(".")).collect();
    let distinct: BTreeSet<&String> = plain.iter().collect();
    if distinct.len() == plain.len() { plain } else { all.iter().map(|n| n.name.clone()).collect() }
}

/// A name's parts before and at its end.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

/// What follows `prefix.` in a name.
fn after<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    if prefix.is_empty() { Some(name) } else { name.strip_prefix(prefix)?.strip_prefix('.') }
}

/// The networks of an architecture that these names hold, each with the prefix that all of its names have. Counters (single integers) are
/// left out, and so are the two buffers of a normalising layer for `channels` channels.
pub(super) fn fittings(arch: Arch, all: &[Named], channels: usize) -> Vec<Fitting> {
    let names = unwrapped(all);
    let counter = |i: usize| all[i].integer && all[i].elements == 1;
    let dropped: Vec<String> = (0..all.len()).filter(|i| counter(*i)).map(|i| all[i].name.clone()).collect();
    let place: BTreeMap<&str, usize> = names.iter().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
    // Pairs of buffers, by the name of their layer.
    let vector = |i: &usize| all[*i].elements == channels && !all[*i].integer;
    let pair = |i: usize| {
        let (layer, last) = split(&names[i]);
        let full = |last: &str| if layer.is_empty() { last.to_owned() } else { format!("{layer}.{last}") };
        let of = |(mean, std): &(&str, &str)| (*mean == last).then(|| place.get(full(std).as_str()).copied()).flatten();
        let std = NORMAL.iter().find_map(of).filter(vector)?;
        vector(&i).then_some((i, std))
    };
    let pairs: Vec<(usize, usize)> = (0..all.len()).filter_map(pair).collect();
    let aside: BTreeSet<usize> =
        pairs.iter().flat_map(|p| [p.0, p.1]).chain((0..all.len()).filter(|i| counter(*i))).collect();
    let rest: Vec<usize> = (0..all.len()).filter(|i| !aside.contains(i)).collect();

    let anchor = |i: &usize| {
        arch.anchors().iter().find_map(|a| {
            let before = names[*i].strip_suffix(a)?;
            if before.is_empty() { Some("") } else { before.strip_suffix('.') }
        })
    };
    let mut prefixes: Vec<&str> = rest.iter().filter_map(anchor).collect();
    // The longest first: what is a network of its own is no part of one with a shorter prefix.
    prefixes.sort_by_key(|p| std::cmp::Reverse(p.split('.').count() + usize::from(!p.is_empty())));
    let (mut found, mut owned) = (Vec::new(), BTreeSet::new());
    // A network has few weights whose names look like the first one's, so this is a short list; a file with more is none of ours.
    for prefix in prefixes.into_iter().take(64) {
        let free = rest.iter().filter(|i| !owned.contains(*i));
        let tensors: Vec<(usize, String)> =
            free.filter_map(|i| Some((*i, arch.name(after(&names[*i], prefix)?)))).collect();
        let own: BTreeSet<String> = tensors.iter().map(|t| t.1.clone()).collect();
        if own.len() == tensors.len() && arch.lacks(&own).is_none() {
            owned.extend(tensors.iter().map(|t| t.0));
            found.push(Fitting { prefix: prefix.to_owned(), tensors, dropped: dropped.clone(), ..Fitting::default() });
        }
    }
    // In the order of the file.
    found.sort_by_key(|f: &Fitting| f.tensors.iter().map(|t| t.0).min());
    // Every other name must be one of another network of the file.
    let strange: Vec<String> = rest.iter().filter(|i| !owned.contains(i)).map(|i| all[*i].name.clone()).collect();
    let prefixes: Vec<String> = found.iter().map(|f| f.prefix.clone()).collect();
    for f in &mut found {
        f.strange.clone_from(&strange);
        // The layer whose name shares most with the network's: of several networks each has its own.
        let shared = |i: usize| {
            let (layer, own) = (names[i].split('.'), f.prefix.split('.'));
            layer.zip(own).take_while(|(a, b)| a == b).count()
        };
        let other =
            |i: usize| prefixes.iter().any(|p| *p != f.prefix && !p.is_empty() && after(&names[i], p).is_some());
        f.normalize = pairs.iter().copied().filter(|p| !other(p.0)).max_by_key(|p| shared(p.0));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: [&str; 8] = [
        "conv1.weight",
        "conv1.bias",
        "conv2.weight",
        "conv2.bias",
        "fc1.weight",
        "fc1.bias",
        "fc2.weight",
        "fc2.bias",
    ];

    fn named(names: &[String]) -> Vec<Named> {
        let integer = |n: &str| n.ends_with("n_averaged") || n.ends_with("tracked");
        let elements = |n: &str| if integer(n) { 1 } else { 3 };
        names.iter().map(|n| Named { name: n.clone(), elements: elements(n), integer: integer(n) }).collect()
    }

    fn under(prefix: &str) -> Vec<String> {
        SMALL.iter().map(|n| format!("{prefix}{n}")).collect()
    }

    #[test]
    fn prefixes_in_any_nesting() {
        for prefix in
            ["", "module.", "_orig_mod.", "module._orig_mod.", "model.", "net.", "0.", "1.model.module.", "a.b.c."]
        {
            let mut names = under(prefix);
            names.push("n_averaged".to_owned());
            let found = fittings(Arch::SmallCnn, &named(&names), 3);
            assert_eq!(found.len(), 1, "{prefix}");
            assert!(found[0].strange.is_empty() && found[0].dropped == ["n_averaged"], "{prefix}: {found:?}");
            assert!(found[0].tensors.iter().map(|t| t.1.as_str()).eq(SMALL), "{prefix}");
        }
        // In the middle of a name, too.
        let names: Vec<String> = SMALL.iter().map(|n| n.replace(".", "._orig_mod.")).collect();
        assert_eq!(fittings(Arch::SmallCnn, &named(&names), 3).len(), 1);
    }

    #[test]
    fn what_stands_beside_is_a_network_a_normalising_layer_or_strange() {
        let normal = ["0.mean".to_owned(), "0.std".to_owned()];
        let found = fittings(Arch::SmallCnn, &named(&[&normal[..], &under("1.")].concat()), 3);
        assert_eq!((found[0].normalize, found[0].prefix.as_str()), (Some((0, 1)), "1"));
        assert!(found[0].strange.is_empty());
        // Weights of the whole file, and others under a name.
        let found = fittings(Arch::SmallCnn, &named(&[under(""), under("ema.")].concat()), 3);
        assert_eq!(found.iter().map(|f| f.prefix.as_str()).collect::<Vec<_>>(), ["", "ema"]);
        // Of another number of channels it is no normalising layer.
        let found = fittings(Arch::SmallCnn, &named(&[&normal[..], &under("1.")].concat()), 1);
        assert_eq!((found[0].normalize, found[0].strange.len()), (None, 2));
        let two = [under("model."), under("model_ema.")].concat();
        let found = fittings(Arch::SmallCnn, &named(&two), 3);
        assert_eq!(found.iter().map(|f| f.prefix.as_str()).collect::<Vec<_>>(), ["model", "model_ema"]);
        assert!(found.iter().all(|f| f.strange.is_empty()));
        let more = [under("model."), vec!["head.weight".to_owned()]].concat();
        assert_eq!(fittings(Arch::SmallCnn, &named(&more), 3)[0].strange, ["head.weight"]);
        assert!(fittings(Arch::SmallCnn, &named(&under("model.")[..5]), 3).is_empty(), "half of a network is none");
    }
}
