//! Which share of the work a process does.

use std::fmt;
use std::str::FromStr;

/// A share of the work, as it is written: `2/8`, or `auto` and `auto/8`, where the engine that started the process says which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shard {
    /// This share.
    Of(Share),
    /// The share that the environment names, of as many as it says or as are given here.
    Auto(Option<usize>),
}

/// A share of `of`, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which one, from 0.
    pub index: usize,
    /// How many there are.
    pub of: usize,
}

/// As it is written on the command line: counted from 1.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.of)
    }
}

/// No share has a number above this.
const MOST: usize = 1_000_000;

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |t: &str| t.parse::<usize>().ok().filter(|n| (1..=MOST).contains(n));
        let (first, of) = match text.split_once('/') {
            None if text == "auto" => return Ok(Self::Auto(None)),
            None => (None, None),
            Some((a, b)) => (Some(a), number(b)),
        };
        match (first, of) {
            (Some("auto"), Some(of)) => Ok(Self::Auto(Some(of))),
            (Some(i), Some(of)) => match number(i).filter(|i| *i <= of) {
                Some(i) => Ok(Self::Of(Share { index: i - 1, of })),
                None => Err(format!("share `{i}` of {of}: the shares are 1/{of} to {of}/{of}")),
            },
            _ => Err("use I/N (2/8 is the second of eight shares), auto, or auto/N".to_owned()),
        }
    }
}

/// Variables that number the tasks of an engine, each with what the engine is.
const NUMBERS: [(&str, &str); 4] = [
    ("SLURM_ARRAY_TASK_ID", "a Slurm array"),
    ("JOB_COMPLETION_INDEX", "a Kubernetes Indexed Job"),
    ("HQ_TASK_ID", "a HyperQueue array"),
    ("PBS_ARRAY_INDEX", "a PBS array"),
];

impl Shard {
    /// The share, with what the environment says. The numbers of an engine's tasks may start anywhere: of any N that follow each other, each is
    /// another share.
    ///
    /// # Errors
    /// `auto` where no engine is found; without a count, one whose count is not known or whose numbers have gaps.
    pub fn resolve(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Share, String> {
        let of = match self {
            Self::Of(share) => return Ok(*share),
            Self::Auto(of) => *of,
        };
        let read = |name: &str| -> Result<Option<usize>, String> {
            let Some(text) = environment(name) else { return Ok(None) };
            text.trim().parse().map(Some).map_err(|_| format!("--shard auto: {name} is `{text}`, not a number"))
        };
        for (name, engine) in NUMBERS {
            let Some(number) = read(name)? else { continue };
            let of = match of {
                Some(of) => of,
                None if name == "SLURM_ARRAY_TASK_ID" => {
                    let (count, low, high) =
                        (read("SLURM_ARRAY_TASK_COUNT")?, read("SLURM_ARRAY_TASK_MIN")?, read("SLURM_ARRAY_TASK_MAX")?);
                    match (count, low, high) {
                        // A part of an array that is submitted again keeps its numbers, and has another count.
                        (Some(n), Some(low), Some(high)) if high.checked_sub(low).is_some_and(|d| d + 1 == n) => n,
                        _ => {
                            let hint = "the numbers of this Slurm array do not follow each other";
                            return Err(format!("--shard auto: {hint}: say of how many shares, --shard auto/N"));
                        }
                    }
                }
                None => return Err(format!("--shard auto: {engine} does not say how many tasks it has: use auto/N")),
            };
            return if of == 0 {
                Err("--shard auto: 0 tasks".to_owned())
            } else {
                Ok(Share { index: number % of, of })
            };
        }
        let names: Vec<&str> = NUMBERS.iter().map(|n| n.0).collect();
        Err(format!("--shard auto: none of {} is set: use --shard I/N", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, environment: &[(&str, &str)]) -> Result<Share, String> {
        let read = |name: &str| environment.iter().find(|e| e.0 == name).map(|e| e.1.to_owned());
        text.parse::<Shard>()?.resolve(read)
    }

    #[test]
    fn shares_are_counted_from_one() {
        assert_eq!(of("2/8", &[]), Ok(Share { index: 1, of: 8 }));
        assert_eq!(of("8/8", &[]).unwrap().to_string(), "8/8");
        for bad in ["0/8", "9/8", "1/0", "8", "a/8", "1/b", "auto/0", "", "/", "1/2/3", "-1/2"] {
            assert!(of(bad, &[]).is_err(), "{bad}");
        }
        assert_eq!(of("9/8", &[]).unwrap_err(), "share `9` of 8: the shares are 1/8 to 8/8");
    }

    #[test]
    fn every_task_of_an_engine_has_a_share_of_its_own() {
        let slurm = |id: &str, count: &str, low: &str, high: &str, text: &str| {
            let names = ["ID", "COUNT", "MIN", "MAX"].map(|n| format!("SLURM_ARRAY_TASK_{n}"));
            let all: Vec<(&str, &str)> = names.iter().map(String::as_str).zip([id, count, low, high]).collect();
            of(text, &all)
        };
        for low in [0, 1, 5] {
            let (min, max) = (low.to_string(), (low + 3).to_string());
            let mut seen: Vec<usize> =
                (low..low + 4).map(|i| slurm(&i.to_string(), "4", &min, &max, "auto").unwrap().index).collect();
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2, 3]);
        }
        // Two tasks of eight, submitted again.
        assert!(slurm("7", "2", "3", "7", "auto").unwrap_err().contains("auto/N"));
        assert_eq!(slurm("7", "2", "3", "7", "auto/8"), Ok(Share { index: 7, of: 8 }));
        let share = Ok(Share { index: 3, of: 4 });
        for name in ["JOB_COMPLETION_INDEX", "HQ_TASK_ID", "PBS_ARRAY_INDEX"] {
            assert_eq!(of("auto/4", &[(name, "3")]), share);
            assert!(of("auto", &[(name, "3")]).unwrap_err().contains("auto/N"));
        }
        assert!(of("auto", &[]).unwrap_err().contains("none of SLURM_ARRAY_TASK_ID"));
        assert!(of("auto/4", &[("HQ_TASK_ID", "x")]).unwrap_err().contains("not a number"));
    }
}
