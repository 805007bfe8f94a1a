"""Measures detectors on the 18 classical sets of ADBench: ours by the program `sconce`, and those of scikit-learn and PyOD, on the same splits.

Run by hand; it resumes from what the result file has:
    pip install numpy scikit-learn pyod
    python crates/anomaly/adbench/measure.py FOLDER_OF_NPZ results.json NAME=PROGRAM[:DETECTOR[+key=value..],..] .. [theirs]

A set of more than 3,000 rows is cut to 3,000 with its share of anomalies, and at least 20 of them. Each seed splits the anomalies and the other rows 60/40. The training
split's anomalies are labelled: unsupervised detectors leave them out of training, and theirs are fitted without them too. Ours hold out 5 % of the
normal training rows for calibration. Features are standardised by the normal training rows, for ours and for theirs, except where noted.
"""
import glob, json, os, subprocess, sys, tempfile
import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

SEEDS, MOST = 3, 3_000
OURS = ["ecod", "copod", "hbos", "isolation-forest", "knn", "lof", "mahalanobis", "one-class-svm", "pca", "autoencoder", "vae", "deep-svdd"]


def split(path, seed):
    data = np.load(path)
    x, y = data["X"].astype(np.float64), data["y"].astype(int).ravel()
    rng = np.random.default_rng(seed)
    train, test = [], []
    for label in (0, 1):
        own = rng.permutation(np.flatnonzero(y == label))
        if len(y) > MOST:
            own = own[: max(20, round(len(own) * MOST / len(y)))]
        k = round(0.6 * len(own))
        train.append(own[:k]), test.append(own[k:])
    train, test = np.sort(np.concatenate(train)), np.sort(np.concatenate(test))
    return x[train], y[train], x[test], y[test]


def ours(program, detector, xa, ya, xb, seed):
    name, *sets = detector.split("+")
    with tempfile.TemporaryDirectory() as folder:
        at = lambda n: os.path.join(folder, n)
        for n, x, y in (("a.csv", xa, ya), ("b.csv", xb, None)):
            head = [f"x{i}" for i in range(x.shape[1])] + ([] if y is None else ["y"])
            rows = [[repr(float(v)) for v in r] + ([] if y is None else [str(y[i])]) for i, r in enumerate(x)]
            with open(at(n), "w") as f:
                f.write("\n".join(",".join(r) for r in [head, *rows]) + "\n")
        fit = [program, "detect", "fit", "--data", at("a.csv"), "--label", "y", "--detector", name, "--test", "0", "--calibration", "0.05"]
        fit += ["--seed", str(seed), "--out", at("m.safetensors"), "-q"] + [w for s in sets for w in ("--set", s)]
        subprocess.run(fit, check=True, capture_output=True)
        score = [program, "detect", "score", "--model", at("m.safetensors"), "--data", at("b.csv"), "-q"]
        out = subprocess.run(score, check=True, capture_output=True, text=True).stdout
        return np.array([float(line.split(",")[1]) for line in out.splitlines()[1:]])


def theirs(seed):
    from pyod.models import copod, ecod, hbos, pca, deep_svdd
    from sklearn.covariance import EmpiricalCovariance
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
    from sklearn.svm import OneClassSVM
    return {
        "ecod": lambda a, b: ecod.ECOD().fit(a).decision_function(b),
        "copod": lambda a, b: copod.COPOD().fit(a).decision_function(b),
        "hbos": lambda a, b: hbos.HBOS().fit(a).decision_function(b),
        "isolation-forest": lambda a, b: -IsolationForest(random_state=seed).fit(a).score_samples(b),
        "knn": lambda a, b: NearestNeighbors(n_neighbors=5).fit(a).kneighbors(b)[0][:, -1],
        "lof": lambda a, b: -LocalOutlierFactor(n_neighbors=20, novelty=True).fit(a).score_samples(b),
        "mahalanobis": lambda a, b: EmpiricalCovariance().fit(a).mahalanobis(b),
        "one-class-svm": lambda a, b: -OneClassSVM(nu=0.5, gamma="scale").fit(a).decision_function(b),
        "pca": lambda a, b: pca.PCA(random_state=seed).fit(a).decision_function(b),
        "deep-svdd": lambda a, b: deep_svdd.DeepSVDD(n_features=a.shape[1], epochs=50, random_state=seed, verbose=0).fit(a).decision_function(b),
    }


def main(folder, results, *wanted):
    found = json.load(open(results)) if os.path.exists(results) else {}
    jobs = []
    for w in wanted:
        if w == "theirs" or w.startswith("theirs:"):
            some = w.partition(":")[2].split(",") if ":" in w else list(theirs(0))
            jobs += [("theirs", d, None) for d in some]
        else:
            name, _, rest = w.partition("=")
            program, _, some = rest.partition(":")
            jobs += [(name, d, program) for d in (some.split(",") if some else OURS)]
    for path in sorted(glob.glob(os.path.join(folder, "*.npz"))):
        table = os.path.basename(path)[:-4].partition("_")[2].lower()
        for seed in range(SEEDS):
            parts = None
            for name, d, program in jobs:
                key = f"{name}/{d}/{table}/{seed}"
                if key in found:
                    continue
                parts = parts or split(path, seed)
                xa, ya, xb, yb = parts
                a = xa[ya == 0]
                mean, std = a.mean(0), a.std(0)
                std[std == 0] = 1
                try:
                    if program is None:
                        scores = np.nan_to_num(theirs(seed)[d]((a - mean) / std, (xb - mean) / std))
                    else:
                        scores = ours(program, d, xa, ya, xb, seed)
                    found[key] = [roc_auc_score(yb, scores), average_precision_score(yb, scores)]
                except Exception as e:
                    reason = e.stderr if isinstance(e, subprocess.CalledProcessError) else str(e)
                    found[key] = str(reason)[-300:]
                with open(results + ".part", "w") as f:
                    json.dump(found, f, indent=0)
                os.replace(results + ".part", results)
        print(table, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
