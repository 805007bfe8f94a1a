"""Writes README.md beside itself from results.json, and merges files of measure.py into that first:
    python crates/anomaly/adbench/table.py [MEASURED.json ..]
"""
import json, os, statistics, sys

HERE = os.path.dirname(os.path.abspath(__file__))
RESULTS = os.path.join(HERE, "results.json")
all_ = json.load(open(RESULTS)) if os.path.exists(RESULTS) else {}
for path in sys.argv[1:]:
    for key, value in json.load(open(path)).items():
        version, detector, table, seed = key.split("/")
        detector = detector.replace('"', "")
        all_.setdefault(f"{version}/{detector}", {}).setdefault(table, {})[seed] = (
            [round(v, 4) for v in value] if isinstance(value, list) else value
        )
with open(RESULTS, "w") as f:
    f.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(all_[k], sort_keys=True)}" for k in sorted(all_)) + "\n}\n")


def mean(key, table, at):
    seeds = all_.get(key, {}).get(table, {}).values()
    numbers = [s[at] for s in seeds if isinstance(s, list)]
    return statistics.fmean(numbers) if numbers else None


tables = sorted({t for rows in all_.values() for t in rows})
keys = sorted(k for k in all_ if len(all_[k]) == len(tables))
detectors = sorted({k.split("/")[1] for k in keys})
show = lambda v: "\u2013" if v is None else f"{v:.3f}"
# PyOD's PCA has the weighted score.
peer = {"pca": None, "pca+score=weighted": "theirs/pca"}
over = lambda key, at: statistics.fmean([m for t in tables if (m := mean(key, t, at)) is not None]) if key in keys else None
lines = []
out = lines.append
out("# Detectors on ADBench's classical sets\n")
out("Means over three seeds on 18 data sets (`measure.py` beside this page says how; `results.json` has every number; this page is written by")
out("`table.py`). *Before* is the program before issue 20, *after* the one of this version, *theirs* is scikit-learn or PyOD on the same splits.")
out("A dash stands where nothing was measured: no peer of deep SVDD was run, its ReLU (`network.activation=relu`) is the default after, and")
out("PCA's weighted score, which is PyOD's, was not there before.\n")
for at, title in ((0, "AUROC"), (1, "Average precision")):
    out(f"## {title}, mean over the {len(tables)} sets\n")
    out("| detector | before | after | theirs |\n|---|---|---|---|")
    for d in detectors:
        out(f"| {d} | " + " | ".join(show(over(k, at)) for k in (f"before/{d}", f"after/{d}", peer.get(d, f"theirs/{d}"))) + " |")
    out("")
out("## Defaults that these sets chose\n")
for one, other, text in (
    ("before/deep-svdd+network.activation=relu", "before/deep-svdd", "deep SVDD: ReLU, compared with tanh"),
    ("after/pca", "after/pca+score=weighted", "PCA: the residual, compared with PyOD's weighted score"),
    ("before/deep-sad+network.activation=relu", "before/deep-sad", "deep SAD: ReLU, compared with tanh"),
):
    pairs = [(mean(one, t, 0), mean(other, t, 0)) for t in tables]
    pairs = [(a, b) for a, b in pairs if a is not None and b is not None]
    if len(pairs) < 8:
        continue
    d = [a - b for a, b in pairs]
    error = statistics.stdev(d) / len(d) ** 0.5
    out(
        f"- {text}: mean AUROC {statistics.fmean(a for a, _ in pairs):.3f} and {statistics.fmean(b for _, b in pairs):.3f}; difference "
        f"{statistics.fmean(d):+.3f} with a standard error over sets of {error:.3f}; better on {sum(v > 0 for v in d)} of {len(d)} sets."
    )
out("\nThe other defaults were not chosen on these sets.\n")
out("## AUROC on each set\n")
columns = [k for k in keys if k.split("/")[1] in ("pca", "pca+score=weighted") or "deep-svdd" in k]
out("| set | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
for t in tables:
    out(f"| {t} | " + " | ".join(show(mean(k, t, 0)) for k in columns) + " |")
with open(os.path.join(HERE, "README.md"), "w") as f:
    f.write("\n".join(lines) + "\n")
