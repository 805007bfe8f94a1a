"""Attacks and the Fourier sweep."""
import contextlib, math, sys
import torch
import torch.nn.functional as F
from common import DEVICE
from nets import resnet, small_cnn


def pgd(t, forward, eps=8 / 255, steps=10):
    x, y = t.pop("x"), t.pop("y")

    def step():
        at = x
        for _ in range(steps):
            at = at.detach().requires_grad_()
            g, = torch.autograd.grad(F.cross_entropy(forward(t, at), y, reduction="sum"), at)
            at = at.detach() + 0.25 * eps * g.sign()
            at = torch.minimum(torch.maximum(at, x - eps), x + eps).clamp(0, 1)
        with torch.no_grad():
            return F.cross_entropy(forward(t, at), y)

    return step


def pgd_small_cnn(t):
    return pgd(t, small_cnn)


def pgd_resnet(t):
    return pgd(t, lambda p, x: resnet(p, x, False))


def sweep(t, eps=64 / 255, every=49, batch=1000):
    x, y = t.pop("x"), t.pop("y")
    h, w = x.shape[2:]
    a, b = torch.arange(h, dtype=torch.float64)[:, None], torch.arange(w, dtype=torch.float64)[None, :]

    @torch.no_grad()
    def step():
        correct, directions = 0, range(0, h * w, every)
        for d in directions:
            l, m = divmod(d, w)
            theta = 2 * math.pi * ((l * a) % h / h + (m * b) % w / w)
            u = theta.cos() - theta.sin()
            u = (eps * u / u.abs().max()).float().to(DEVICE)
            moved = (x + u).clamp(0, 1)
            for i in range(0, len(x), batch):
                correct += (small_cnn(t, moved[i:i + batch]).argmax(1) == y[i:i + batch]).sum().item()
        return torch.tensor(correct / (len(x) * len(directions)))

    return step


def auto_attack(t):
    """torchattacks' AutoAttack with the published number of steps; its own defaults are 10 for APGD, APGDT and FAB."""
    import torchattacks as ta
    x, y = t.pop("x"), t.pop("y")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.device_of = torch.nn.Parameter(x[:0], requires_grad=False)

        def forward(self, x):
            return small_cnn(t, x)

    net, same = Net().eval(), dict(norm="Linf", eps=0.1, seed=0, n_restarts=1)
    parts = [ta.APGD(net, steps=100, loss="ce", **same), ta.APGDT(net, steps=100, n_classes=10, **same),
             ta.FAB(net, steps=100, multi_targeted=True, n_classes=10, **same), ta.Square(net, n_queries=5000, **same)]
    attack = ta.MultiAttack(parts)

    def step():
        with contextlib.redirect_stdout(sys.stderr):
            adv = attack(x, y)
        with torch.no_grad():
            return (small_cnn(t, adv).argmax(1) == y).float().mean()

    return step
