//! The order of a variable map's names, and what each variable is for.

use crate::params::Role;
use candle_core::Tensor;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Names in natural order: runs of digits compare as numbers, so that `layer2` comes before `layer10`.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a, b);
    while let (Some(p), Some(q)) = (x.chars().next(), y.chars().next()) {
        let order = if p.is_ascii_digit() && q.is_ascii_digit() {
            let (m, n) = (digits(&mut x), digits(&mut y));
            // Without leading zeros, a longer number is a larger one.
            m.len().cmp(&n.len()).then_with(|| m.cmp(n))
        } else {
            (x, y) = (&x[p.len_utf8()..], &y[q.len_utf8()..]);
            p.cmp(&q)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    // Names that differ only in leading zeros still have one order.
    x.len().cmp(&y.len()).then_with(|| a.cmp(b))
}

/// Takes the leading digits of a text and returns them without leading zeros.
fn digits<'a>(text: &mut &'a str) -> &'a str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    *text = rest;
    number.trim_start_matches('0')
}

/// The role that the name, the rank and the neighbours of a variable suggest; `vectors` holds the names of rank 1.
pub(super) fn role(name: &str, tensor: &Tensor, vectors: &BTreeSet<String>) -> Role {
    let (scope, last) = match name.rsplit_once('.') {
        Some((scope, last)) => (format!("{scope}."), last),
        None => (String::new(), name),
    };
    if matches!(last, "running_mean" | "running_var" | "num_batches_tracked") || !tensor.dtype().is_float() {
        return Role::Buffer;
    }
    match (tensor.rank(), last) {
        (0 | 1, "weight") => Role::Scale,
        (0 | 1, "bias") if vectors.contains(&format!("{scope}weight")) => Role::Shift,
        (0 | 1, _) => Role::Bias,
        (2, _) => Role::Weight,
        _ => Role::Kernel,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn numbers_in_names_are_ordered_by_value() {
        let mut names = ["l10.w", "l2.w", "l2.b", "a", "l02.w", "l1", "l"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["a", "l", "l1", "l2.b", "l02.w", "l2.w", "l10.w"]);
        // Longer than any integer type.
        assert_eq!(natural("a99999999999999999999999", "a100000000000000000000000"), Ordering::Less);
    }

    #[test]
    fn roles_follow_the_name_the_rank_and_the_neighbour() {
        let vectors: BTreeSet<String> = ["bn.weight", "bn.bias", "fc.bias"].map(String::from).into();
        let is = |name: &str, shape: &[usize], dtype| {
            role(name, &Tensor::zeros(shape, dtype, &Device::Cpu).unwrap(), &vectors)
        };
        assert_eq!(is("conv.weight", &[1, 1, 3, 3], DType::F32), Role::Kernel);
        assert_eq!(is("fc.weight", &[2, 3], DType::F32), Role::Weight);
        assert_eq!(is("fc.bias", &[2], DType::F32), Role::Bias);
        assert_eq!(is("bn.weight", &[2], DType::F32), Role::Scale);
        assert_eq!(is("bn.bias", &[2], DType::F32), Role::Shift);
        assert_eq!(is("running_var", &[2], DType::F32), Role::Buffer);
        assert_eq!(is("bn.num_batches_tracked", &[], DType::I64), Role::Buffer);
    }
}
