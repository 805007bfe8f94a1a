"""Detectors of anomalies."""
import torch
from common import THREADS


def fitted(t, make, shift=lambda detector: 0.0):
    """PyOD, single-threaded where its code is."""
    x = t["x"].double().numpy()

    def step():
        detector = make().fit(x)
        return torch.tensor(detector.decision_scores_.mean() - shift(detector))

    return step


def ecod(t):
    from pyod.models.ecod import ECOD
    return fitted(t, ECOD)


def hbos(t):
    from pyod.models.hbos import HBOS
    return fitted(t, lambda: HBOS(n_bins=10, alpha=0.1, tol=0.5))


def forest(t):
    """scikit-learn's, on all threads; PyOD tells how far the score is from a threshold."""
    from pyod.models.iforest import IForest
    return fitted(t, lambda: IForest(n_jobs=int(THREADS), random_state=0), lambda d: d.detector_.offset_)


def abc(t):
    """PyOD's autoencoder of the same layers, fitted on some rows before; large batches, which are faster than its 32."""
    from pyod.models.auto_encoder import AutoEncoder
    x = t["x"].double().numpy()
    net = AutoEncoder(hidden_neuron_list=[64, 32], epoch_num=1, batch_norm=False, dropout_rate=0.0,
                      verbose=0, device="cpu").fit(x[:2000])
    net.batch_size = 4096
    return lambda: torch.tensor(net.decision_function(x).mean())
