"""Metrics of generated images."""
import contextlib, sys
import torch


def fid(t):
    """torch-fidelity's, from features."""
    from torch_fidelity.metric_fid import fid_features_to_statistics as moments, fid_statistics_to_metric as distance
    real, generated = t["real"], t["generated"]
    t.clear()
    return lambda: torch.tensor(distance(moments(generated), moments(real), False)["frechet_inception_distance"])


def prdc(t):
    from prdc import compute_prdc
    real, generated = t["real"].numpy(), t["generated"].numpy()

    def step():
        with contextlib.redirect_stdout(sys.stderr):
            return torch.tensor(sum(compute_prdc(real, generated, 5).values()))

    return step
