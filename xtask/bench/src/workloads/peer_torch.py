"""The workloads of `cargo xtask bench` in PyTorch: the same arithmetic from the same first values.

Started by the bench: peer_torch.py WORKLOAD DIR DEVICE THREADS. Reads DIR/tensors.{json,bin}, then answers lines:
`run N` with {"ms": [..], "loss": [..]} (one step before that is not timed), `stop` with {"peak_mib": ..}.
"""
import contextlib, json, math, sys, time
import torch
import torch.nn.functional as F

NAME, DIR, DEVICE, THREADS = sys.argv[1:5]
torch.set_num_threads(int(THREADS))
GPU = DEVICE.startswith("cuda")


def memory(field):
    for line in open("/proc/self/status"):
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024


def tensors():
    raw = bytearray(open(f"{DIR}/tensors.bin", "rb").read())
    out = {}
    for e in json.load(open(f"{DIR}/tensors.json")):
        n = math.prod(e["shape"])
        kind = torch.int32 if e["kind"] == "u32" else torch.float32
        t = torch.frombuffer(raw, dtype=kind, count=n, offset=e["at"]).reshape(e["shape"]).clone()
        out[e["name"]] = (t.long() if e["kind"] == "u32" else t).to(DEVICE)
    return out


def parameters(t, prefix=""):
    p = {k: v for k, v in t.items() if k.startswith(prefix) and "running" not in k}
    for v in p.values():
        v.requires_grad_()
    return list(p.values())


def small_cnn(p, x):
    for name in ("conv1", "conv2"):
        x = F.relu(F.max_pool2d(F.conv2d(x, p[name + ".weight"], p[name + ".bias"], padding=2), 2))
    x = F.relu(F.linear(x.flatten(1), p["fc1.weight"], p["fc1.bias"]))
    return F.linear(x, p["fc2.weight"], p["fc2.bias"])


def unit(p, name, x, padding, stride, training):
    x = F.conv2d(x, p[name + ".conv.weight"], None, stride, padding)
    bn = name + ".bn."
    stats = p[bn + "running_mean"], p[bn + "running_var"]
    return F.batch_norm(x, *stats, p[bn + "weight"], p[bn + "bias"], training, 0.1, 1e-5)


def resnet(p, x, training):
    x = F.relu(unit(p, "stem", x, 1, 1, training))
    for stage in range(1, 5):
        for i in range(2):
            name, stride = f"stage{stage}.{i}", 2 if stage > 1 and i == 0 else 1
            h = F.relu(unit(p, name + ".1", x, 1, stride, training))
            h = unit(p, name + ".2", h, 1, 1, training)
            x = F.relu(h + (unit(p, name + ".shortcut", x, 0, 2, training) if stride == 2 else x))
    return F.linear(x.mean((2, 3)), p["fc.weight"], p["fc.bias"])


def train(t, forward):
    x, y = t.pop("x"), t.pop("y")
    opt = torch.optim.SGD(parameters(t), lr=0.01, momentum=0.9)

    def step():
        opt.zero_grad(set_to_none=True)
        loss = F.cross_entropy(forward(t, x), y)
        loss.backward()
        opt.step()
        return loss

    return step


def input_grad(t, forward):
    x, y = t.pop("x"), t.pop("y")

    def step():
        at = x.clone().requires_grad_()
        loss = F.cross_entropy(forward(t, at), y, reduction="sum")
        torch.autograd.grad(loss, at)
        return loss

    return step


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


def autoencoder(t):
    x = t.pop("x")
    opt = torch.optim.Adam(parameters(t), lr=1e-3)

    def step():
        opt.zero_grad(set_to_none=True)
        h = x
        for i in range(6):
            h = F.linear(h, t[f"l{i}.weight"], t[f"l{i}.bias"])
            h = F.relu(h) if i < 5 else torch.sigmoid(h)
        loss = F.mse_loss(h, x)
        loss.backward()
        opt.step()
        return loss

    return step


def lstm_lm(t, hidden=400, batch=20, steps=35):
    ids, after = t.pop("ids").reshape(steps, batch), t.pop("next")
    parameters(t)
    lstm = torch.nn.LSTM(hidden, hidden, 2).to(DEVICE)
    for i in range(2):
        for ours, theirs in (("input", "weight_ih"), ("recurrent", "weight_hh"), ("bias", "bias_ih")):
            getattr(lstm, f"{theirs}_l{i}").data.copy_(t.pop(f"lstm{i}.{ours}").data)
        second = getattr(lstm, f"bias_hh_l{i}")
        second.data.zero_()
        second.requires_grad_(False)  # ours has one bias
    lstm.flatten_parameters()
    opt = torch.optim.SGD([p for p in lstm.parameters() if p.requires_grad] + list(t.values()), lr=0.1)

    def step():
        opt.zero_grad(set_to_none=True)
        x, _ = lstm(F.embedding(ids, t["embedding"]))
        z = F.linear(x.reshape(-1, hidden), t["decoder.weight"], t["decoder.bias"])
        loss = F.cross_entropy(z, after)
        loss.backward()
        opt.step()
        return loss

    return step


def dcgan(t):
    z, x = t.pop("z"), t.pop("x")
    up = [(1, 0), (2, 1), (2, 1), (2, 1)]
    down = [(2, 1), (2, 1), (2, 1), (1, 0)]
    og = torch.optim.Adam(parameters(t, "g"), lr=2e-4, betas=(0.5, 0.999))
    od = torch.optim.Adam(parameters(t, "d"), lr=2e-4, betas=(0.5, 0.999))

    def generate(x):
        for i, (s, p) in enumerate(up):
            x = F.conv_transpose2d(x, t[f"g{i}.weight"], None, s, p)
            x = F.relu(norm_of("g", i, x)) if i < 3 else torch.tanh(x)
        return x

    def norm_of(kind, i, x):
        n = f"{kind}{i}.bn."
        return F.batch_norm(x, t[n + "running_mean"], t[n + "running_var"], t[n + "weight"], t[n + "bias"], True, 0.1, 1e-5)

    def score(x):
        for i, (s, p) in enumerate(down):
            x = F.conv2d(x, t[f"d{i}.weight"], None, s, p)
            x = norm_of("d", i, x) if 0 < i < 3 else x
            x = F.leaky_relu(x, 0.2) if i < 3 else x
        return x.flatten()

    def step():
        fake = generate(z)
        od.zero_grad(set_to_none=True)
        loss = F.softplus(-score(x)).mean() + F.softplus(score(fake.detach())).mean()
        loss.backward()
        od.step()
        og.zero_grad(set_to_none=True)
        fooled = F.softplus(-score(fake)).mean()
        fooled.backward()
        og.step()
        return (loss + fooled).detach()

    return step


def gan_step(t, batch=64, side=14, noise=128):
    """The trainer of two domains: hinge loss, spectral norm with kept vectors, conditional batch norm, projection, DiffAugment
    (brightness and translation), fused Adam, a moving average of the generator's weights."""
    p = {k: v for k, v in t.items() if k[:2] in ("g.", "d.") and k.rsplit(".", 1)[1] not in ("u", "v", "mean", "var", "batches")}
    for v in p.values():
        v.requires_grad_()
    of_g, of_d = ([v for k, v in p.items() if k.startswith(n)] for n in ("g.", "d."))
    og = torch.optim.Adam(of_g, lr=2e-4, betas=(0.0, 0.9), fused=True)
    od = torch.optim.Adam(of_d, lr=4e-4, betas=(0.0, 0.9), fused=True)
    average = [v.detach().clone() for v in of_g]
    domains = [(t["target.x"].tanh(), t["target.y"]), (t["outer.x"].tanh(), t["outer.y"] + 5)]
    on = dict(device=DEVICE)
    orders = [torch.randperm(len(y), **on) for _, y in domains]
    reach = int(side * 0.125 + 0.5)

    def real():
        xs, ys = [], []
        for i, (x, y) in enumerate(domains):
            if len(orders[i]) < batch:
                orders[i] = torch.cat([orders[i], torch.randperm(len(y), **on)])
            rows, orders[i] = orders[i][:batch], orders[i][batch:]
            xs.append(x[rows])
            ys.append(y[rows])
        return torch.cat(xs), torch.cat(ys)

    def norm(name, x, y):
        x = F.batch_norm(x, None, None, None, None, True, 0.1, 1e-5)
        scale, shift = F.embedding(y, p[name + ".class.scale"]), F.embedding(y, p[name + ".class.shift"])
        return F.relu(torch.addcmul(shift[:, :, None, None], scale[:, :, None, None], x))

    def generate(z, y):
        h = F.linear(z, p["g.project.weight"], p["g.project.bias"]).reshape(len(z), -1, 3, 3)
        h = norm("g.norm0", h, y)
        for i, extra in ((1, 1), (2, 0)):
            h = norm(f"g.up{i}.norm", F.conv_transpose2d(h, p[f"g.up{i}.weight"], None, 2, 1, extra), y)
        return torch.tanh(F.conv2d(h, p["g.last.weight"], p["g.last.bias"], 1, 1))

    def normed(name, training):
        w, u, v = p[name + ".weight"], t[name + ".u"], t[name + ".v"]
        m = w.flatten(1)
        if training:
            with torch.no_grad():
                v = F.normalize(torch.mv(m.t(), u), dim=0)
                u = F.normalize(torch.mv(m, v), dim=0)
                t[name + ".u"], t[name + ".v"] = u, v
        return w / torch.dot(u, torch.mv(m, v))

    def score(x, y, training):
        for i in range(3):
            n = f"d.block{i}"
            w, b = normed(n, training), p[n + ".bias"]
            if not training:
                w, b = w.detach(), b.detach()
            x = F.leaky_relu(F.conv2d(x, w, b, 2 if i else 1, 1), 0.1)
        phi = x.sum((2, 3))
        w, e, b = normed("d.head.score", training), normed("d.head.class", training), p["d.head.score.bias"]
        if not training:
            w, e, b = w.detach(), e.detach(), b.detach()
        return F.linear(phi, w, b)[:, 0] + (F.embedding(y, e) * phi).sum(1)

    rows, columns = torch.arange(side, **on)[None, :, None], torch.arange(side, **on)[None, None, :]

    def augment(x):
        n = len(x)
        x = x + (torch.rand(n, 1, 1, 1, **on) - 0.5)
        dy, dx = (torch.randint(-reach, reach + 1, (n, 1, 1), **on) for _ in range(2))
        r, c = (rows + dy + 1).clamp(0, side + 1), (columns + dx + 1).clamp(0, side + 1)
        padded = F.pad(x, [1, 1, 1, 1], value=-1.0)
        return padded[torch.arange(n, **on)[:, None, None], 0, r, c][:, None]

    def step():
        n = 2 * batch
        x, y = real()
        labels = torch.cat([of[torch.randint(len(of), (batch,), **on)] for _, of in domains])
        fake = generate(torch.randn(n, noise, **on), labels)
        both = torch.cat([augment(x), augment(fake.detach())])
        s = score(both, torch.cat([y, labels]), True)
        loss = F.relu(1 - s[:n]).mean() + F.relu(1 + s[n:]).mean()
        od.zero_grad(set_to_none=True)
        loss.backward()
        od.step()
        fooled = -score(augment(fake), labels, False).mean()
        og.zero_grad(set_to_none=True)
        fooled.backward()
        og.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, of_g, 0.005)
        fooled.item()
        return loss.detach()

    return step


def fid(t):
    """torch-fidelity's, from features."""
    from torch_fidelity.metric_fid import fid_features_to_statistics as moments, fid_statistics_to_metric as distance
    real, generated = t["real"], t["generated"]
    t.clear()
    return lambda: torch.tensor(distance(moments(generated), moments(real), False)["frechet_inception_distance"])


def quality(t):
    from prdc import compute_prdc
    real, generated = t["real"].numpy(), t["generated"].numpy()

    def step():
        with contextlib.redirect_stdout(sys.stderr):
            return torch.tensor(sum(compute_prdc(real, generated, 5).values()))

    return step


def mp_ssl(t):
    """A trunk with heads on its mean features: a pass through each head to the representation, their Gram matrix, one pass through the trunk."""
    p = {k: v for k, v in t.items() if k.startswith(("trunk", "head")) and "running" not in k}
    for v in p.values():
        v.requires_grad_()
    names = [k[2:] for k in t if k.startswith("y.")]

    def represent(x):
        x = (x - 0.5) / 0.5
        for i in (1, 2, 3):
            name = f"trunk.block{i}."
            x = F.conv2d(x, p[name + "conv1.weight"], None, 1, 1)
            stats = t[name + "bn1.running_mean"], t[name + "bn1.running_var"]
            x = F.relu(F.batch_norm(x, *stats, p[name + "bn1.weight"], p[name + "bn1.bias"], True, 0.1, 1e-5))
            if i < 3:
                x = F.avg_pool2d(x, 2)
        return x

    def step():
        z = represent(t["x"])
        cut = z.detach().requires_grad_()
        losses, gradients = [], []
        for n in names:
            own = [p[f"head.{n}.weight"], p[f"head.{n}.bias"]]
            loss = F.cross_entropy(F.linear(cut.mean((2, 3)), *own), t["y." + n])
            g, *of_head = torch.autograd.grad(loss, [cut, *own])
            for w, d in zip(own, of_head):
                w.grad = d
            losses.append(loss.item())
            gradients.append(g)
        flat = torch.stack([g.flatten() for g in gradients])
        (flat @ flat.T).tolist()
        z.backward(sum(gradients) / len(gradients))
        with torch.no_grad():
            for v in p.values():
                v -= 0.01 * v.grad
                v.grad = None
        return torch.tensor(sum(losses) / len(losses))

    return step


def nll(t):
    z, y = t["z"].requires_grad_(), t["y"]

    def step():
        z.grad = None
        loss = F.nll_loss(F.log_softmax(z, 1), y)
        loss.backward()
        return loss

    return step


def sigsoftmax_nll(t):
    z, y = t["z"].requires_grad_(), t["y"]

    def step():
        z.grad = None
        loss = F.nll_loss(F.log_softmax(z + F.logsigmoid(z), 1), y)
        loss.backward()
        return loss

    return step


def conv(t):
    kind = NAME.rsplit("-", 1)[1]
    x, w, g = t["x"], t["w"], t["g"]
    p = w.shape[2] // 2
    back = lambda mask: torch.ops.aten.convolution_backward(g, x, w, None, [1, 1], [p, p], [1, 1], False, [0, 0], 1, mask)
    run = {"fwd": lambda: F.conv2d(x, w, None, 1, p), "in": lambda: back([True, False, False])[0],
           "weight": lambda: back([False, True, False])[1]}[kind]
    return lambda: run().flatten()[0]


def detect(t):
    """PyOD, single-threaded where its code is; its forest is scikit-learn's, on all threads."""
    from pyod.models.ecod import ECOD
    from pyod.models.hbos import HBOS
    from pyod.models.iforest import IForest
    x = t["x"].double().numpy()
    make = {"ecod": ECOD, "hbos": lambda: HBOS(n_bins=10, alpha=0.1, tol=0.5),
            "forest": lambda: IForest(n_jobs=int(THREADS), random_state=0)}[NAME.split("-")[1]]

    def step():
        fitted = make().fit(x)
        # PyOD's forest tells how far the score is from a threshold.
        shift = fitted.detector_.offset_ if NAME == "detect-forest" else 0.0
        return torch.tensor(fitted.decision_scores_.mean() - shift)

    return step


def detect_abc(t):
    """PyOD's autoencoder of the same layers, fitted on some rows before; large batches, which are faster than its 32."""
    from pyod.models.auto_encoder import AutoEncoder
    x = t["x"].double().numpy()
    net = AutoEncoder(hidden_neuron_list=[64, 32], epoch_num=1, batch_norm=False, dropout_rate=0.0,
                      verbose=0, device="cpu").fit(x[:2000])
    net.batch_size = 4096
    return lambda: torch.tensor(net.decision_function(x).mean())


def hessian_top5(t):
    """PyHessian: power iteration with deflation, the graph of the gradient kept."""
    from pyhessian import hessian
    x, y = t.pop("x"), t.pop("y")
    t.pop("noise")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.p = {k: torch.nn.Parameter(v) if "running" not in k else v for k, v in t.items()}
            self.learnt = torch.nn.ParameterList(v for k, v in self.p.items() if "running" not in k)

        def forward(self, x):
            return resnet(self.p, x, False)

    net = Net()

    def step():
        net.zero_grad(set_to_none=True)
        h = hessian(net, torch.nn.CrossEntropyLoss(), data=(x, y), cuda=GPU)
        values, _ = h.eigenvalues(top_n=5)
        return torch.tensor(values[0])

    return step


WORK = {
    "hessian-top5-resnet18-w16": hessian_top5,
    "small-cnn-train": lambda t: train(t, small_cnn),
    "small-cnn-input-grad": lambda t: input_grad(t, small_cnn),
    "resnet18-w16-train": lambda t: train(t, lambda p, x: resnet(p, x, True)),
    "resnet18-w64-train": lambda t: train(t, lambda p, x: resnet(p, x, True)),
    "pgd10-small-cnn": lambda t: pgd(t, small_cnn),
    "pgd10-resnet18": lambda t: pgd(t, lambda p, x: resnet(p, x, False)),
    "sfa-sweep-16": sweep,
    "autoattack-100": auto_attack,
    "autoencoder-step": autoencoder,
    "mp-ssl-1-head": mp_ssl,
    "mp-ssl-5-heads": mp_ssl,
    "lstm-lm-step": lstm_lm,
    "dcgan-step": dcgan,
    "gan-step": gan_step,
    "fid-10000x2048": fid,
    "prdc-10000x2048": quality,
    "nll-10000": nll,
    "nll-33000": nll,
    "sigsoftmax-nll-10000": sigsoftmax_nll,
    "sigsoftmax-nll-33000": sigsoftmax_nll,
    "sigsoftmax-ce-10000": nll,
    "sigsoftmax-ce-33000": nll,
    "detect-abc": detect_abc,
    "detect-ecod": detect,
    "detect-hbos": detect,
    "detect-forest": detect,
    "matmul-2048": lambda t: lambda: (t["a"] @ t["b"])[0, 0],
}

before = memory("VmRSS")
step = (conv if NAME.startswith("conv-") else WORK[NAME])(tensors())
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    word = line.split()
    if word[0] == "stop":
        print(json.dumps({"peak_mib": memory("VmHWM") - before}), flush=True)
        break
    ms, losses = [], [step().item()]
    for _ in range(int(word[1])):
        if GPU:
            torch.cuda.synchronize()
        start = time.perf_counter()
        losses.append(step().item())
        ms.append(1e3 * (time.perf_counter() - start))
    print(json.dumps({"ms": ms, "loss": losses}), flush=True)
