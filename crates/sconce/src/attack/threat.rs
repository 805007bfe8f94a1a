//! The threat model of the arguments: a norm and radii.

use sconce_attacks::{Error, Norm, Result};

/// A norm and its radii, strictly increasing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Threats {
    pub(crate) norm: Norm,
    pub(crate) eps: Vec<f64>,
}

/// The name of a norm on the command line.
pub(crate) fn name(norm: Norm) -> &'static str {
    match norm {
        Norm::Linf => "linf",
        Norm::L2 => "l2",
        Norm::L1 => "l1",
    }
}

/// A radius as people write it: `linf 8/255`, `l2 0.5`.
pub(crate) fn radius(norm: Norm, eps: f64) -> String {
    let units = eps * 255.0;
    if eps.is_infinite() {
        "minimum norm".to_owned()
    } else if norm == Norm::Linf && eps > 0.0 && (units - units.round()).abs() < 1e-3 {
        format!("{} {}/255", name(norm), units.round())
    } else {
        format!("{} {}", name(norm), (eps * 1e6).round() / 1e6)
    }
}

impl Threats {
    /// Reads `NORM:RADIUS[,RADIUS..]`; a radius is a number or a fraction.
    ///
    /// # Errors
    /// The norm is unknown, a radius is not a number, or it is larger than the box.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let bad = |why: String| Error::config("--threat", format!("{why}, got `{text}`"));
        let (norm, radii) =
            text.split_once(':').ok_or_else(|| bad("must be NORM:RADIUS, for example linf:8/255".to_owned()))?;
        let norm = match norm.to_lowercase().as_str() {
            "linf" => Norm::Linf,
            "l2" => Norm::L2,
            "l1" => Norm::L1,
            _ => return Err(bad("the norm must be linf, l2 or l1".to_owned())),
        };
        let number = |t: &str| t.trim().parse::<f64>().ok().filter(|v| v.is_finite() && *v >= 0.0);
        let mut eps = Vec::new();
        for one in radii.split(',') {
            let value = match one.split_once('/') {
                Some((a, b)) => number(a).zip(number(b).filter(|b| *b > 0.0)).map(|(a, b)| a / b),
                None => number(one),
            };
            eps.push(value.ok_or_else(|| {
                bad(format!("`{one}` is not a radius: use a number such as 0.5 or a fraction such as 8/255"))
            })?);
        }
        if norm == Norm::Linf && eps.iter().any(|e| *e > 1.0) {
            return Err(bad("an linf radius above 1 is larger than the box [0, 1] (write 8/255, not 8)".to_owned()));
        }
        eps.sort_by(f64::total_cmp);
        eps.dedup();
        Ok(Self { norm, eps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threats_are_read_and_mistakes_named() {
        let both = |t: &str| Threats::parse(t).map(|t| (t.norm, t.eps));
        assert_eq!(both("linf:8/255,4/255").unwrap(), (Norm::Linf, vec![4.0 / 255.0, 8.0 / 255.0]));
        assert_eq!(both("L2:0.5").unwrap(), (Norm::L2, vec![0.5]));
        for (bad, why) in [
            ("linf", "linf:8/255"),
            ("l3:1", "linf, l2 or l1"),
            ("l2:x", "not a radius"),
            ("linf:8", "larger than the box"),
            ("l2:-1", "not a radius"),
            ("l2:1/0", "not a radius"),
        ] {
            let e = Threats::parse(bad).unwrap_err().to_string();
            assert!(e.contains(why) && e.contains(bad), "{e}");
        }
    }

    #[test]
    fn radii_are_written_as_people_write_them() {
        let all = [(Norm::Linf, 8.0 / 255.0), (Norm::Linf, 0.3), (Norm::L2, 0.5), (Norm::L1, f64::INFINITY)];
        let written: Vec<String> = all.into_iter().map(|(n, e)| radius(n, e)).collect();
        assert_eq!(written, ["linf 8/255", "linf 0.3", "l2 0.5", "minimum norm"]);
    }
}
