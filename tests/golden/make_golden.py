"""Makes the golden values of sconce-tests with PyTorch, torchattacks and Foolbox.

Run once, by hand; the tests read the files and never Python:
    pip install torch numpy safetensors torchattacks foolbox
    python tests/golden/make_golden.py            # writes beside itself
Versions used are written into every file's header.
"""
import gzip, json, os, struct
import foolbox, numpy as np, torch, torchattacks
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "../../datasets/embedded/fashion-mnist")
META = {"versions": f"torch {torch.__version__}, torchattacks {torchattacks.__version__}, foolbox {foolbox.__version__}, numpy {np.__version__}"}
torch.set_num_threads(1)


def save(name, tensors):
    tensors = {k: v.detach().contiguous().clone() for k, v in tensors.items()}
    save_file(tensors, os.path.join(HERE, name), metadata=META)
    print(name, sum(t.numel() * t.element_size() for t in tensors.values()), "bytes")


# --- convolution and its gradients, in f64, over a grid of shapes -----------------------------------------------------
def conv_cases():
    # n, c, h, w, o, kh, kw, stride, padding, dilation, groups, bias
    yield 1, 1, 5, 5, 1, 3, 3, (1, 1), (0, 0), (1, 1), 1, False
    yield 2, 3, 8, 7, 4, 3, 3, (2, 2), (1, 1), (1, 1), 1, True
    yield 3, 2, 7, 8, 3, 3, 3, (2, 2), (1, 1), (1, 1), 1, True
    yield 2, 4, 6, 9, 6, 2, 3, (1, 2), (0, 1), (1, 1), 2, True
    yield 1, 3, 11, 5, 3, 3, 2, (3, 1), (2, 0), (2, 2), 3, False
    yield 2, 2, 4, 4, 5, 1, 1, (1, 1), (0, 0), (1, 1), 1, True
    yield 2, 2, 9, 9, 2, 2, 2, (4, 4), (0, 0), (1, 1), 1, False   # stride > kernel
    yield 4, 1, 6, 6, 3, 5, 5, (1, 1), (2, 2), (1, 1), 1, True
    yield 2, 3, 5, 5, 2, 3, 3, (1, 1), (2, 2), (2, 2), 1, True
    yield 1, 2, 3, 10, 2, 3, 4, (1, 3), (1, 2), (1, 1), 1, False


def ops():
    g = torch.Generator().manual_seed(1)
    rand = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64).requires_grad_()
    out, index = {}, []
    for i, (n, c, h, w, o, kh, kw, s, p, d, gr, b) in enumerate(conv_cases()):
        x, k = rand(n, c, h, w), rand(o, c // gr, kh, kw)
        bias = rand(o) if b else None
        y = F.conv2d(x, k, bias, s, p, d, gr)
        u = torch.randn(y.shape, generator=g, dtype=torch.float64)
        (y * u).sum().backward()
        out |= {f"conv{i}.{name}": t for name, t in dict(x=x, w=k, y=y, u=u, gx=x.grad, gw=k.grad).items()}
        if b:
            out |= {f"conv{i}.b": bias, f"conv{i}.gb": bias.grad}
        index.append(dict(stride=s, padding=p, dilation=d, groups=gr))
    pools = [((2, 2), (2, 2), (0, 0), 6, 8), ((3, 3), (2, 2), (1, 1), 7, 9), ((2, 3), (1, 2), (1, 1), 5, 6), ((3, 3), (1, 1), (0, 0), 3, 3)]
    for i, (k, s, p, h, w) in enumerate(pools):
        for kind, f in (("max", F.max_pool2d), ("avg", F.avg_pool2d)):
            x = torch.randint(-3, 4, (2, 3, h, w), generator=g).double().requires_grad_()  # many ties
            y = f(x, k, s, p)
            u = torch.randn(y.shape, generator=g, dtype=torch.float64)
            (y * u).sum().backward()
            out |= {f"{kind}{i}.{name}": t for name, t in dict(x=x, y=y, u=u, gx=x.grad).items()}
    x, a, b = rand(4, 3, 5, 2), rand(3), rand(3)
    mean, var = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    y = F.batch_norm(x, mean, var, a, b, True, 0.1, 1e-5)
    u = torch.randn(y.shape, generator=g, dtype=torch.float64)
    (y * u).sum().backward()
    out |= dict(zip("bn.x bn.a bn.b bn.y bn.u bn.gx bn.ga bn.gb bn.mean bn.var".split(), (x, a, b, y, u, x.grad, a.grad, b.grad, mean, var)))
    z = (5 * rand(6, 7)).detach().requires_grad_()
    labels = torch.tensor([0, 6, 3, 3, 1, 5])
    soft = torch.softmax(rand(6, 7), 1).detach()
    hard_loss, soft_loss = F.cross_entropy(z, labels, reduction="none"), F.cross_entropy(z, soft, reduction="none")
    hard_loss.sum().backward()
    out |= {"ce.z": z, "ce.labels": labels.to(torch.uint32), "ce.loss": hard_loss, "ce.gz": z.grad, "ce.soft": soft, "ce.soft_loss": soft_loss}
    save("ops.safetensors", out)
    with open(os.path.join(HERE, "ops.json"), "w") as f:
        json.dump({"conv": index, "pool": [dict(kernel=k, stride=s, padding=p) for k, s, p, *_ in pools], **META}, f)


# --- networks with this workspace's parameter names -------------------------------------------------------------------
class SmallCnn(torch.nn.Module):
    def __init__(self, channels, kernel, hidden, batch_norm, size=28, classes=10):
        super().__init__()
        (a, b), pad = channels, kernel // 2
        self.conv1 = torch.nn.Conv2d(1, a, kernel, padding=pad, bias=not batch_norm)
        self.conv2 = torch.nn.Conv2d(a, b, kernel, padding=pad, bias=not batch_norm)
        if batch_norm:
            self.bn1, self.bn2 = torch.nn.BatchNorm2d(a), torch.nn.BatchNorm2d(b)
        self.fc1 = torch.nn.Linear(b * (size // 4) ** 2, hidden)
        self.fc2 = torch.nn.Linear(hidden, classes)
        self.batch_norm = batch_norm

    def forward(self, x):
        x = self.conv1(x)
        x = F.max_pool2d(F.relu(self.bn1(x) if self.batch_norm else x), 2)
        x = self.conv2(x)
        x = F.max_pool2d(F.relu(self.bn2(x) if self.batch_norm else x), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))

    def named(self):
        return {k: v for k, v in self.state_dict().items() if "num_batches" not in k}


def trajectories():
    for name, bn, nesterov, decay in (("plain", False, False, 0.0), ("bn", True, True, 5e-4)):
        torch.manual_seed(3)
        net = SmallCnn((4, 6), 5, 16, bn, size=12)
        x, y = torch.rand(8, 1, 12, 12), torch.randint(0, 10, (8,))
        out = {"x": x, "y": y.to(torch.uint32)} | {f"start.{k}": v.clone() for k, v in net.named().items()}
        opt = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=nesterov, weight_decay=decay)
        losses = []
        for step in range(10):
            opt.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            if step == 0:
                out |= {f"grad.{k}": p.grad.clone() for k, p in net.named_parameters()}
            opt.step()
            losses.append(loss.item())
        out |= {f"end.{k}": v.clone() for k, v in net.named().items()} | {"losses": torch.tensor(losses, dtype=torch.float64)}
        net.eval()
        out["logits"] = net(x)
        save(f"trajectory_{name}.safetensors", out)


# --- attacks on a small network trained on the embedded images --------------------------------------------------------
def idx(name):
    b = gzip.open(os.path.join(DATA, name)).read()
    dims = struct.unpack(">" + "I" * b[3], b[4:4 + 4 * b[3]])
    return torch.frombuffer(bytearray(b[4 + 4 * b[3]:]), dtype=torch.uint8).reshape(dims)


def attacks():
    torch.manual_seed(5)
    x, y = idx("train-images-idx3-ubyte.gz").float()[:, None] / 255, idx("train-labels-idx1-ubyte.gz").long()
    net = SmallCnn((4, 8), 3, 16, False)
    opt = torch.optim.Adam(net.parameters(), 3e-3)
    for epoch in range(4):
        for part in torch.randperm(len(x)).split(64):
            opt.zero_grad()
            F.cross_entropy(net(x[part]), y[part]).backward()
            opt.step()
    net.eval()
    xt, yt = (idx("t10k-images-idx3-ubyte.gz").float()[:200, None] / 255).contiguous(), idx("t10k-labels-idx1-ubyte.gz").long()[:200]
    acc = lambda z: (net(z).argmax(1) == yt).float().mean().item()
    fmodel = foolbox.PyTorchModel(net, bounds=(0, 1))
    results = {
        "torchattacks.fgsm_linf": torchattacks.FGSM(net, eps=0.05)(xt, yt),
        "torchattacks.pgd_linf": torchattacks.PGD(net, eps=0.05, alpha=0.01, steps=10, random_start=False)(xt, yt),
        "torchattacks.pgd_l2": torchattacks.PGDL2(net, eps=1.0, alpha=0.2, steps=10, random_start=False)(xt, yt),
    }
    fb = lambda a, eps: a(fmodel, xt, yt, epsilons=eps)[1]
    results |= {
        "foolbox.fgsm_linf": fb(foolbox.attacks.LinfFastGradientAttack(random_start=False), 0.05),
        "foolbox.fgsm_l2": fb(foolbox.attacks.L2FastGradientAttack(random_start=False), 1.0),
        "foolbox.pgd_linf": fb(foolbox.attacks.LinfProjectedGradientDescentAttack(abs_stepsize=0.01, steps=10, random_start=False), 0.05),
        "foolbox.pgd_l2": fb(foolbox.attacks.L2ProjectedGradientDescentAttack(abs_stepsize=0.2, steps=10, random_start=False), 1.0),
    }
    out = {f"net.{k}": v for k, v in net.named().items()}
    accuracies = {"clean": acc(xt)}
    for k, v in results.items():
        out[k] = v[:8]                       # the first images to compare pixel by pixel
        accuracies[k] = acc(v)
    save("attacks.safetensors", out)
    with open(os.path.join(HERE, "attacks.json"), "w") as f:
        json.dump({"accuracy": accuracies, "examples": 200, **META}, f, indent=1)
    print(json.dumps(accuracies, indent=1))


if __name__ == "__main__":
    ops()
    trajectories()
    attacks()
