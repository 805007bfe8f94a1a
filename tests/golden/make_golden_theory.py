"""Logistic regression under attack (minimisers by scipy, Hessians by PyTorch's autograd), and the whole Hessian of a small CNN
by PyTorch with PyHessian's figures for it, for tests/tests/theory_golden.rs.

python make_golden_theory.py (numpy 2.4, scipy 1.17, torch 2.15, pyhessian 0.1). Data of the former: 300 Gaussian rows of 5, labels with probability
sigmoid(1.5 w.x), all from default_rng(0); then, for each eps of the table, a direction of random noise for every row.
Writes theory.json and theory.safetensors.
"""
import json
import numpy as np
import torch
from safetensors.numpy import save_file
from scipy.optimize import minimize

torch.set_default_dtype(torch.float64)
EPS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
rng = np.random.default_rng(0)
x = rng.standard_normal((300, 5))
truth = rng.standard_normal(5)
y = np.where(rng.random(300) < 1 / (1 + np.exp(-1.5 * x @ truth)), 1.0, -1.0)
noise = np.stack([rng.standard_normal((300, 5)) for _ in EPS])
noise /= np.linalg.norm(noise, axis=-1, keepdims=True)


def loss(w, x, eps, q, l2):
    m = torch.as_tensor(y) * (torch.as_tensor(x) @ w) - eps * torch.linalg.vector_norm(w, q)
    return torch.nn.functional.softplus(-m).mean() + 0.5 * l2 * w @ w


def frozen(w, x, eps, q, l2, at):
    g = torch.autograd.grad(torch.linalg.vector_norm(at, q), at)[0].detach()
    moved = torch.as_tensor(x) - eps * torch.as_tensor(y)[:, None] * g
    m = torch.as_tensor(y) * (moved @ w)
    return torch.nn.functional.softplus(-m).mean() + 0.5 * l2 * w @ w


def minimum(x, eps, q, l2=0.0):
    w = -1e-2 * (-(x * y[:, None]).mean(0))
    if q == 1:
        # Kinks: the problem with w = u - v, u, v >= 0 has none.
        def both(z):
            z = torch.tensor(z, requires_grad=True)
            w = z[:5] - z[5:]
            m = torch.as_tensor(y) * (torch.as_tensor(x) @ w) - eps * z.sum()
            f = torch.nn.functional.softplus(-m).mean() + 0.5 * l2 * w @ w
            return f.item(), torch.autograd.grad(f, z)[0].numpy()
        z0 = np.concatenate([np.maximum(w, 0), np.maximum(-w, 0)]) + 1e-3
        r = minimize(both, z0, jac=True, bounds=[(0, None)] * 10, method="L-BFGS-B",
                     options=dict(maxiter=20000, ftol=1e-16, gtol=1e-13))
        return r.x[:5] - r.x[5:]
    w = torch.tensor(w, requires_grad=True)
    f = lambda v: loss(v, x, eps, q, l2)
    for _ in range(100):
        g = torch.autograd.grad(f(w), w)[0]
        h = torch.autograd.functional.hessian(f, w)
        step = torch.linalg.solve(h, g)
        t = 1.0
        while f(w - t * step) > f(w) and t > 1e-6:
            t /= 2
        w = (w - t * step).detach().requires_grad_()
        if g.norm() < 1e-14:
            break
    return w.detach().numpy()


def eig(f, w):
    h = torch.autograd.functional.hessian(f, torch.tensor(w))
    return torch.linalg.eigvalsh(h).tolist(), h.numpy()


table = []
for i, eps in enumerate(EPS):
    w = minimum(x, eps, 2)
    at = torch.tensor(w, requires_grad=True)
    full, _ = eig(lambda v: loss(v, x, eps, 2, 0.0), w)
    still, _ = eig(lambda v: frozen(v, x, eps, 2, 0.0, at), w)
    moved = x + eps * y[:, None] * noise[i]
    wr = minimum(moved, 0.0, 2)
    random, _ = eig(lambda v: loss(v, moved, 0.0, 2, 0.0), wr)
    table.append(dict(eps=eps, norm=float(np.linalg.norm(w)), w=w.tolist(), full=full, frozen=still, random=random))

# Other norms and a penalty: loss, gradient and Hessian at one w.
at = np.array([0.7, -0.4, 0.2, 1.1, -0.9])
others = []
for p, eps, l2 in [(2.0, 0.3, 0.1), (3.0, 0.3, 0.0), (1.5, 0.2, 0.05), ("inf", 0.3, 0.0), (1.0, 0.3, 0.0)]:
    q = {"inf": 1.0, 1.0: float("inf")}.get(p) or p / (p - 1)
    w = torch.tensor(at, requires_grad=True)
    f = lambda v: loss(v, x, eps, q, l2)
    value = f(w)
    g = torch.autograd.grad(value, w)[0].tolist()
    h = torch.autograd.functional.hessian(f, torch.tensor(at))
    h2 = torch.autograd.functional.hessian(lambda v: frozen(v, x, eps, q, l2, w), torch.tensor(at))
    others.append(dict(p=p if p != "inf" else None, eps=eps, l2=l2, loss=value.item(), gradient=g,
                       full=h.flatten().tolist(), frozen=h2.flatten().tolist()))
# Minimisers with kinks: p = infinity.
kinks = [dict(eps=eps, l2=l2, w=minimum(x, eps, 1, l2).tolist(), loss=None) for eps, l2 in [(0.1, 0.0), (0.2, 0.0), (0.3, 0.0), (0.3, 0.1)]]
for k in kinks:
    k["loss"] = loss(torch.tensor(k["w"]), x, k["eps"], 1, k["l2"]).item()

# A CNN of 2,066 weights after some training, in float64.
import torch.nn.functional as F
from torch.func import functional_call

torch.manual_seed(0)


class Cnn(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.Conv2d(4, 8, 3, padding=1)
        self.fc1, self.fc2 = torch.nn.Linear(32, 40), torch.nn.Linear(40, 10)

    def forward(self, x):
        for conv in (self.conv1, self.conv2):
            x = F.max_pool2d(F.relu(conv(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


net = Cnn()
labels = torch.arange(60) % 10
images = (torch.randn(10, 1, 8, 8)[labels] * 0.5 + torch.randn(60, 1, 8, 8) * 0.5).sigmoid()
sgd = torch.optim.SGD(net.parameters(), lr=0.03, momentum=0.9)
for _ in range(120):
    sgd.zero_grad()
    F.cross_entropy(net(images), labels).backward()
    sgd.step()
names = [n for n, _ in net.named_parameters()]
flat = torch.cat([p.detach().flatten() for p in net.parameters()])
shapes = [p.shape for p in net.parameters()]


def cut(v):
    parts = torch.split(v, [s.numel() for s in shapes])
    return {n: p.view(s) for n, p, s in zip(names, parts, shapes)}


logits = lambda v: functional_call(net, cut(v), (images,))
hessian = torch.autograd.functional.hessian(lambda v: F.cross_entropy(logits(v), labels), flat)
jacobian = torch.autograd.functional.jacobian(logits, flat)
p = logits(flat).softmax(1).detach()
inner = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
newton = torch.einsum("nki,nkl,nlj->ij", jacobian, inner, jacobian) / len(labels)
vector = torch.randn(len(flat))
values = torch.linalg.eigvalsh(hessian)
block = slice(40 + 296, 40 + 296 + 1320)

from pyhessian import hessian as py


def eig(a, eigenvectors=True):
    """What PyHessian calls and PyTorch no longer has, for symmetric matrices."""
    values, vectors = torch.linalg.eigh(a)
    return torch.stack([values, torch.zeros_like(values)], 1), vectors


torch.eig = eig
them = py(net, torch.nn.CrossEntropyLoss(), data=(images, labels), cuda=False)
np.random.seed(0)
top, _ = them.eigenvalues(maxIter=2000, tol=1e-9, top_n=3)
pytrace = them.trace(maxIter=300, tol=1e-6)
eigs, weights = them.density(iter=60, n_v=20)
near = lambda lo, hi: float(np.mean([sum(w for e, w in zip(a, b) if lo <= e < hi) for a, b in zip(eigs, weights)]))
network = dict(
    loss=F.cross_entropy(logits(flat), labels).item(), top=values[-5:].flip(0).tolist(), bottom=values[:2].tolist(),
    trace=hessian.trace().item(), layer_top=torch.linalg.eigvalsh(hessian[block, block])[-1].item(),
    newton_top=torch.linalg.eigvalsh(newton)[-3:].flip(0).tolist(), newton_trace=newton.trace().item(),
    shares={"above 0.1": (values > 0.1).double().mean().item(), "below -0.05": (values < -0.05).double().mean().item()},
    pyhessian=dict(top=[float(t) for t in top], trace=float(np.mean(pytrace)), shares={"above 0.1": near(0.1, 1e9), "below -0.05": near(-1e9, -0.05)}),
)
print(network)
tensors = {"x": x, "y": y, "noise": noise, "images": images.numpy(), "labels": labels.numpy(), "vector": vector.numpy(),
           "hessian_vector": (hessian @ vector).numpy(), "newton_vector": (newton @ vector).numpy()}
tensors |= {"net." + n: q.detach().numpy() for n, q in net.named_parameters()}
save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, "theory.safetensors")
json.dump(dict(table=table, at=at.tolist(), others=others, kinks=kinks, network=network), open("theory.json", "w"), indent=1)
