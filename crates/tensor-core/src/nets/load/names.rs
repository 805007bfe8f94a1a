//! The names of a file's tensors: what wrappers put around them, and what stands beside a network's weights.

use super::arch::Arch;
use super::family::Form;
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
    /// Whether one of them counts the networks of an average.
    pub(super) averaged: bool,
    /// Tensors of other things in the same dictionary, outside of the prefix.
    pub(super) outside: Vec<String>,
    /// Which of the architecture's forms its names have.
    pub(super) form: usize,
    /// Tensors under the prefix whose names no network of the architecture has.
    pub(super) foreign: Vec<String>,
    /// A normalising layer for another number of channels: with it the network is another one.
    pub(super) misfit: Vec<String>,
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

/// Whether keys of one dictionary are a mean and a deviation; the first such pair.
pub(super) fn normalizing(keys: &[&str]) -> Option<(&'static str, &'static str)> {
    NORMAL.iter().copied().find(|(mean, std)| keys.contains(mean) && keys.contains(std))
}

/// Single numbers that averages keep beside their weights.
const BOOKKEEPING: [&str; 2] = ["initted", "decay"];

/// Prefixes that are tried at most. A file with more networks than these is none of ours.
const PREFIXES: usize = 64;

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

/// Whether a prefix ends inside a network: at a block of a residual network.
fn inside(prefix: &str) -> bool {
    let (above, last) = split(prefix);
    let number = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit());
    let stage = split(above).1;
    number(last) && ["layer", "stage"].iter().any(|s| stage.strip_prefix(s).is_some_and(number))
}

/// The networks of an architecture that these names hold, each with the prefix that all of its names have, in the first of the architecture's forms
/// that fits. Counters (single integers) are left out, and so are the two buffers of a normalising layer for `channels` channels, or for all of
/// them alike.
pub(super) fn fittings(arch: Arch, all: &[Named], channels: usize) -> Vec<Fitting> {
    let of = |(form, found): (usize, &Form)| -> Vec<Fitting> {
        in_form(found, all, channels).into_iter().map(|f| Fitting { form, ..f }).collect()
    };
    arch.forms().iter().enumerate().map(of).find(|found| !found.is_empty()).unwrap_or_default()
}

/// Whether the tensors of two networks have the same names and sizes.
fn alike(a: &Fitting, b: &Fitting, all: &[Named]) -> bool {
    let of = |f: &Fitting| f.tensors.iter().map(|(i, n)| (n.clone(), all[*i].elements)).collect::<BTreeSet<_>>();
    of(a) == of(b)
}

/// The networks whose names have a form.
fn in_form(form: &Form, all: &[Named], channels: usize) -> Vec<Fitting> {
    let names = unwrapped(all);
    let counter = |i: usize| all[i].elements == 1 && (all[i].integer || BOOKKEEPING.contains(&split(&names[i]).1));
    let place: BTreeMap<&str, usize> = names.iter().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
    // Pairs of buffers, by the name of their layer.
    // One number for all channels where the name leaves no doubt.
    let vector = |i: usize, one: bool| all[i].elements == channels || (one && all[i].elements == 1);
    let fits = |p: &(usize, usize)| {
        let one = split(&names[p.0]).1.contains("mean");
        vector(p.0, one) && vector(p.1, one)
    };
    let pair = |i: usize| {
        let (layer, last) = split(&names[i]);
        let full = |last: &str| if layer.is_empty() { last.to_owned() } else { format!("{layer}.{last}") };
        let of = |(mean, std): &(&str, &str)| (*mean == last).then(|| place.get(full(std).as_str()).copied()).flatten();
        let std = NORMAL.iter().find_map(of)?;
        (!all[i].integer && !all[std].integer).then_some((i, std))
    };
    let (pairs, misfits): (Vec<(usize, usize)>, Vec<_>) = (0..all.len()).filter_map(pair).partition(fits);
    let misfit: Vec<usize> = misfits.iter().flat_map(|m| [m.0, m.1]).collect();
    let buffers = pairs.iter().flat_map(|p| [p.0, p.1]).chain(misfit.iter().copied());
    let aside: BTreeSet<usize> = buffers.chain((0..all.len()).filter(|i| counter(*i))).collect();
    let rest: Vec<usize> = (0..all.len()).filter(|i| !aside.contains(i)).collect();

    let anchor = |i: &usize| {
        form.anchors.iter().find_map(|a| {
            let before = names[*i].strip_suffix(a)?;
            if before.is_empty() { Some("") } else { before.strip_suffix('.') }
        })
    };
    let prefixes: BTreeSet<&str> = rest.iter().filter_map(anchor).filter(|p| !inside(p)).collect();
    let mut prefixes: Vec<&str> = prefixes.into_iter().collect();
    // The longest first: what is a network of its own is no part of one with a shorter prefix.
    prefixes.sort_by_key(|p| std::cmp::Reverse(p.split('.').count() + usize::from(!p.is_empty())));
    let (mut found, mut owned) = (Vec::new(), BTreeSet::new());
    for prefix in prefixes.into_iter().take(PREFIXES) {
        let free = rest.iter().filter(|i| !owned.contains(*i));
        let under: Vec<(usize, &str)> = free.filter_map(|i| Some((*i, after(&names[*i], prefix)?))).collect();
        // What published networks have and do not use is outside.
        let used = |name: &str| !form.unused.contains(&name.split('.').next().unwrap_or_default());
        let tensors: Vec<(usize, String)> =
            under.into_iter().filter(|t| used(t.1)).map(|(i, n)| (i, (form.name)(n))).collect();
        let own: BTreeSet<&str> = tensors.iter().map(|t| t.1.as_str()).collect();
        if own.len() == tensors.len() && form.needs.iter().all(|n| own.contains(n)) {
            owned.extend(tensors.iter().map(|t| t.0));
            let foreign = tensors.iter().filter(|t| !form.knows(&t.1)).map(|t| all[t.0].name.clone()).collect();
            found.push(Fitting { prefix: prefix.to_owned(), tensors, foreign, ..Fitting::default() });
        }
    }
    // Names as usual as these may be parts of one network.
    if form.alone && found.iter().any(|f: &Fitting| !alike(f, &found[0], all)) {
        return Vec::new();
    }
    // In the order of the file.
    found.sort_by_key(|f: &Fitting| f.tensors.iter().map(|t| t.0).min());
    let outside: Vec<String> = rest.iter().filter(|i| !owned.contains(i)).map(|i| all[*i].name.clone()).collect();
    let prefixes: Vec<String> = found.iter().map(|f| f.prefix.clone()).collect();
    for f in &mut found {
        f.outside.clone_from(&outside);
        // The layer whose name shares most with the network's: of several networks each has its own.
        let shared = |i: usize| {
            let (layer, own) = (names[i].split('.'), f.prefix.split('.'));
            layer.zip(own).take_while(|(a, b)| a == b).count()
        };
        let other =
            |i: usize| prefixes.iter().any(|p| *p != f.prefix && !p.is_empty() && after(&names[i], p).is_some());
        f.normalize = pairs.iter().copied().filter(|p| !other(p.0)).max_by_key(|p| shared(p.0));
        f.misfit = misfit.iter().filter(|i| !other(**i)).map(|i| all[*i].name.clone()).collect();
        let counters = (0..all.len()).filter(|i| counter(*i) && !other(*i));
        let counters: Vec<usize> = counters.collect();
        f.dropped = counters.iter().map(|i| all[*i].name.clone()).collect();
        // `ema.n_averaged` stands beside `ema.conv1`.
        f.averaged = counters.iter().map(|i| split(&names[*i])).any(|(layer, last)| {
            let around = after(&f.prefix, layer).is_some() && (!layer.is_empty() || prefixes.len() == 1);
            last == "n_averaged" && (layer == f.prefix || around)
        });
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

    fn small() -> Arch {
        "smallcnn".parse().unwrap()
    }

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
            let found = fittings(small(), &named(&names), 3);
            assert_eq!(found.len(), 1, "{prefix}");
            let f = &found[0];
            assert!(f.outside.is_empty() && f.foreign.is_empty() && f.misfit.is_empty(), "{prefix}: {found:?}");
            assert!(f.averaged && f.dropped == ["n_averaged"], "{prefix}: {found:?}");
            assert!(found[0].tensors.iter().map(|t| t.1.as_str()).eq(SMALL), "{prefix}");
        }
        // In the middle of a name, too.
        let names: Vec<String> = SMALL.iter().map(|n| n.replace(".", "._orig_mod.")).collect();
        assert_eq!(fittings(small(), &named(&names), 3).len(), 1);
    }

    #[test]
    fn what_stands_beside_is_a_network_a_normalising_layer_or_something_else() {
        let normal = ["0.mean".to_owned(), "0.std".to_owned()];
        let found = fittings(small(), &named(&[&normal[..], &under("1.")].concat()), 3);
        assert_eq!((found[0].normalize, found[0].prefix.as_str()), (Some((0, 1)), "1"));
        assert!(found[0].outside.is_empty() && found[0].misfit.is_empty());
        // Weights of the whole file, and others under a name.
        let found = fittings(small(), &named(&[under(""), under("ema.")].concat()), 3);
        assert_eq!(found.iter().map(|f| f.prefix.as_str()).collect::<Vec<_>>(), ["", "ema"]);
        // Of another number of channels it is no normalising layer.
        let found = fittings(small(), &named(&[&normal[..], &under("1.")].concat()), 1);
        assert_eq!((found[0].normalize, found[0].misfit.as_slice()), (None, &normal[..]));
        let two = [under("model."), under("model_ema.")].concat();
        let found = fittings(small(), &named(&two), 3);
        assert_eq!(found.iter().map(|f| f.prefix.as_str()).collect::<Vec<_>>(), ["model", "model_ema"]);
        assert!(found.iter().all(|f| f.outside.is_empty()));
        // Outside of the prefix, and under it.
        let more = |prefix: &str| [under(prefix), vec!["head.weight".to_owned(), "decay".to_owned()]].concat();
        let mut all = named(&more("model."));
        all[9].elements = 1;
        let found = fittings(small(), &all, 3);
        assert_eq!(
            (&found[0].outside[..], &found[0].dropped[..]),
            (&["head.weight".into()][..], &["decay".into()][..])
        );
        let found = fittings(small(), &named(&more("")), 3);
        assert_eq!((found[0].outside.len(), &found[0].foreign[..]), (0, &["head.weight".into(), "decay".into()][..]));
        assert!(fittings(small(), &named(&under("model.")[..5]), 3).is_empty(), "half of a network is not a network");
    }

    /// `ema.n_averaged` counts the networks of `ema` alone.
    #[test]
    fn an_average_is_told_by_its_counter() {
        let all = [under("model."), under("ema."), vec!["ema.n_averaged".to_owned()]].concat();
        let found = fittings(small(), &named(&all), 3);
        let told = |f: &Fitting| (f.averaged, f.dropped.len());
        assert_eq!(found.iter().map(told).collect::<Vec<_>>(), [(false, 0), (true, 1)]);
    }

    /// One number for all channels, and one for each.
    #[test]
    fn a_normalising_layer_may_have_one_number() {
        let mut all = named(&[vec!["mean".to_owned(), "std".to_owned()], under("net.")].concat());
        all[1].elements = 1;
        assert_eq!(fittings(small(), &all, 3)[0].normalize, Some((0, 1)));
    }

    /// Each block of a residual network has a `conv1`, which is no place of a network.
    #[test]
    fn four_networks_of_many_blocks_in_one_dictionary() {
        let resnet34 = |name: &str| {
            let blocks = [3, 4, 6, 3].into_iter().zip(1..).flat_map(|(n, stage)| (0..n).map(move |b| (stage, b)));
            let units = blocks.flat_map(|(s, b)| [1, 2].map(|u| format!("layer{s}.{b}.conv{u}.weight")));
            let ends = ["conv1.weight", "fc.weight", "fc.bias"].map(str::to_owned);
            ends.into_iter().chain(units).map(|n| format!("{name}.{n}")).collect::<Vec<_>>()
        };
        let all: Vec<String> = ["a", "b", "c", "d"].into_iter().flat_map(resnet34).collect();
        let found = fittings("resnet".parse().unwrap(), &named(&all), 3);
        assert_eq!(found.iter().map(|f| f.prefix.as_str()).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        assert!(found.iter().all(|f| f.tensors.len() == 35 && f.foreign.is_empty() && f.outside.is_empty()));
    }
}
