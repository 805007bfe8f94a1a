"""Steps of generators and discriminators."""
import torch
import torch.nn.functional as F
from common import DEVICE, parameters


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


def two_domains(t, batch=64, side=14, noise=128):
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
