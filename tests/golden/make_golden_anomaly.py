"""Makes anomaly.safetensors and anomaly.json: scores of scikit-learn's and PyOD's detectors on three data sets.

Run once, by hand; the tests read the files and never Python:
    pip install numpy safetensors torch scikit-learn pyod river
    python tests/golden/make_golden_anomaly.py            # writes beside itself
"""
import csv, gzip, json, os
import numpy as np
import pyod, sklearn
from safetensors.numpy import save_file
from pyod.models.copod import COPOD
from pyod.models.ecod import ECOD
from pyod.models.hbos import HBOS
from pyod.models.pca import PCA as WeightedPCA
from sklearn.covariance import EmpiricalCovariance
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.svm import OneClassSVM
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

HERE = os.path.dirname(os.path.abspath(__file__))


def shuttle():
    import river
    path = os.path.join(os.path.dirname(river.__file__), "datasets", "shuttle.csv.gz")
    rows = list(csv.reader(gzip.open(path, "rt")))[1:]
    values = np.array(rows, dtype=np.float64)
    return values[:, :-1], values[:, -1] > 0


def sets():
    cancer = load_breast_cancer()
    yield "cancer", cancer.data, cancer.target == 0
    digits = load_digits()
    yield "digits", digits.data, np.isin(digits.target, [1, 7])
    yield "shuttle", *shuttle()


out, figures = {}, {"versions": f"scikit-learn {sklearn.__version__}, pyod {pyod.__version__}"}
for name, x, anomaly in sets():
    rng = np.random.default_rng(0)
    normal, strange = rng.permutation(np.flatnonzero(~anomaly)), rng.permutation(np.flatnonzero(anomaly))
    train = x[normal[:200]]
    at = np.concatenate([normal[200:300], strange[:40]])
    test, truth = x[at], anomaly[at]
    train, test = np.ascontiguousarray(train), np.ascontiguousarray(test)
    out |= {f"{name}.train": train, f"{name}.test": test, f"{name}.truth": truth.astype(np.int64)}
    mean, std = train.mean(0), train.std(0)
    std[std == 0] = 1
    # Distances on standardised features; the others do not depend on units.
    a, b = (train - mean) / std, (test - mean) / std
    out |= {f"{name}.train_std": a, f"{name}.test_std": b}
    found = {
        # PyOD's scores of new examples depend on the others scored with them: those of the training examples.
        "ecod.train": ECOD().fit(train).decision_scores_,
        "copod.train": COPOD().fit(train).decision_scores_,
        "hbos.train": HBOS(n_bins=10, alpha=0.1, tol=0.5).fit(train).decision_scores_,
        "hbos": HBOS(n_bins=10, alpha=0.1, tol=0.5).fit(train).decision_function(test),
        "knn": NearestNeighbors(n_neighbors=5).fit(a).kneighbors(b)[0][:, -1],
        "lof": -LocalOutlierFactor(n_neighbors=20, novelty=True).fit(a).score_samples(b),
        "one-class-svm": -OneClassSVM(nu=0.5, gamma="scale", tol=1e-10).fit(a).decision_function(b),
        "mahalanobis": EmpiricalCovariance().fit(a).mahalanobis(b),
        "ecod": ECOD().fit(train).decision_function(test),
        "copod": COPOD().fit(train).decision_function(test),
    }
    pca = PCA(n_components=0.9, svd_solver="full").fit(a)
    found["pca"] = ((b - pca.inverse_transform(pca.transform(b))) ** 2).sum(1)
    # Some pixels of the digits do not vary: PyOD divides by a variance that is rounding error. (Added later, with pyod 3.6.7.)
    if name != "digits":
        found["pca-weighted"] = WeightedPCA().fit(a).decision_function(b)
    for k, v in found.items():
        out[f"{name}.{k}"] = np.array(v, dtype=np.float64, order="C")
        if not k.endswith(".train"):
            figures[f"{name}.{k}"] = [roc_auc_score(truth, v), average_precision_score(truth, v)]
    forest = [roc_auc_score(truth, -IsolationForest(random_state=s).fit(train).score_samples(test)) for s in range(10)]
    figures[f"{name}.isolation-forest"] = forest
save_file(out, os.path.join(HERE, "anomaly.safetensors"), {"versions": figures["versions"]})
json.dump(figures, open(os.path.join(HERE, "anomaly.json"), "w"), indent=1)
print(json.dumps(figures, indent=1))
