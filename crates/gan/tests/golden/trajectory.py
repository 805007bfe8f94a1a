"""Golden values of ten training steps (tests/trajectory.rs): torch 2.15 in f64, its own spectral_norm, batch_norm and Adam.

A generator and a discriminator of 14x14 images, width 3, five classes, two domains of 3 and 5 images with weights .7 and .3. All weights and
inputs are values of `hashed`. Each step updates the discriminator on real and generated images together, then the generator.
Prints Rust arrays.
"""
import copy, math, warnings
import torch
import torch.nn.functional as F

warnings.simplefilter("ignore")
torch.set_default_dtype(torch.float64)
WIDTH, CLASSES, NOISE, STEPS, RATES = 3, 5, 6, 10, (1e-3, 2e-3)
WEIGHTS = torch.tensor([0.7 / 3] * 3 + [0.3 / 5] * 5)
REAL = torch.tensor([0, 1, 0, 2, 3, 4, 2, 3])
FAKE = torch.tensor([1, 0, 1, 2, 3, 4, 3, 2])


def hashed(name, shape, first=0):
    """Values in [-1, 1) from a name and an index."""
    p, m = 0, 2**32
    for c in name.encode():
        p = (31 * p + c) % m
    out = []
    for i in range(first, first + math.prod(shape)):
        x = (2654435761 * (i + 1) + p) % m
        x = (x ^ (x >> 15)) * 2246822519 % m
        x = (x ^ (x >> 13)) * 3266489917 % m
        out.append((x ^ (x >> 16)) / 2**31 - 1)
    return torch.tensor(out).reshape(shape)


class ConditionalNorm(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.scale, self.shift = torch.nn.Embedding(CLASSES, channels), torch.nn.Embedding(CLASSES, channels)

    def forward(self, x, y):
        x = F.batch_norm(x, None, None, training=True, eps=1e-5)
        return self.scale(y)[:, :, None, None] * x + self.shift(y)[:, :, None, None]


class Generator(torch.nn.Module):
    def __init__(self):
        super().__init__()
        nn, w = torch.nn, WIDTH
        self.project, self.norm0 = nn.Linear(NOISE, 4 * w * 9), ConditionalNorm(4 * w)
        self.up1, self.norm1 = nn.ConvTranspose2d(4 * w, 2 * w, 4, 2, 1, output_padding=1, bias=False), ConditionalNorm(2 * w)
        self.up2, self.norm2 = nn.ConvTranspose2d(2 * w, w, 4, 2, 1, bias=False), ConditionalNorm(w)
        self.last = nn.Conv2d(w, 1, 3, 1, 1)

    def forward(self, z, y):
        h = F.relu(self.norm0(self.project(z).reshape(len(z), 4 * WIDTH, 3, 3), y))
        h = F.relu(self.norm1(self.up1(h), y))
        h = F.relu(self.norm2(self.up2(h), y))
        return torch.tanh(self.last(h))


class Discriminator(torch.nn.Module):
    def __init__(self):
        super().__init__()
        nn, w, norm = torch.nn, WIDTH, torch.nn.utils.spectral_norm
        self.block0, self.block1 = norm(nn.Conv2d(1, w, 3, 1, 1)), norm(nn.Conv2d(w, 2 * w, 4, 2, 1))
        self.block2 = norm(nn.Conv2d(2 * w, 4 * w, 4, 2, 1))
        self.score, self.embed = norm(nn.Linear(4 * w, 1)), norm(nn.Embedding(CLASSES, 4 * w))

    def forward(self, x, y):
        for block in (self.block0, self.block1, self.block2):
            x = F.leaky_relu(block(x), 0.1)
        phi = x.sum((2, 3))
        return self.score(phi)[:, 0] + (self.embed(y) * phi).sum(1)


NAMES_G = {"project.weight": "project.weight", "project.bias": "project.bias", "up1.weight": "up1.weight",
           "up2.weight": "up2.weight", "last.weight": "last.weight", "last.bias": "last.bias"}
for i, norm in enumerate(("norm0", "up1.norm", "up2.norm")):
    NAMES_G[f"{norm}.class.scale"], NAMES_G[f"{norm}.class.shift"] = f"norm{i}.scale.weight", f"norm{i}.shift.weight"
LAYERS = {"block0": "block0", "block1": "block1", "block2": "block2", "head.score": "score", "head.class": "embed"}
NAMES_D = {f"{a}.weight": f"{b}.weight_orig" for a, b in LAYERS.items()}
NAMES_D |= {f"block{i}.bias": f"block{i}.bias" for i in range(3)} | {"head.score.bias": "score.bias"}


def fill(net, names):
    params = dict(net.named_parameters())
    assert sorted(names.values()) == sorted(params)
    for ours, theirs in names.items():
        w = params[theirs]
        with torch.no_grad():
            if "class.s" in ours:
                w.copy_(hashed(ours, w.shape) * 0.2 + ("scale" in ours))
            elif "bias" in ours:
                w.copy_(hashed(ours, w.shape) * 0.1)
            else:
                w.copy_(hashed(ours, w.shape) * 2 / math.sqrt(w[0].numel()))
    return params


def sums(params, names):
    """Over a network: sum of weights, sum of squares, and a sum with alternating signs."""
    flat = torch.cat([params[names[n]].detach().flatten() for n in sorted(names)])
    return [flat.sum().item(), flat.square().sum().item(), flat[::2].sum().item() - flat[1::2].sum().item()]


g, d = Generator(), Discriminator()
pg, pd = fill(g, NAMES_G), fill(d, NAMES_D)
for ours, theirs in LAYERS.items():
    u = getattr(d, theirs).weight_u
    u.copy_(F.normalize(hashed(ours + ".u", u.shape), dim=0))
average = None
og = torch.optim.Adam(g.parameters(), lr=RATES[0], betas=(0.0, 0.9), eps=1e-8)
od = torch.optim.Adam(d.parameters(), lr=RATES[1], betas=(0.0, 0.9), eps=1e-8)
x = hashed("real", (8, 1, 14, 14))
losses, sigmas, of_g, of_d = [], [], [], []
mean = lambda v: (WEIGHTS * v).sum()
for step in range(STEPS):
    fake = g(hashed("noise", (8, NOISE), step * 8 * NOISE) * 2, FAKE)
    d.train()
    scores = d(torch.cat([x, fake.detach()]), torch.cat([REAL, FAKE]))
    loss_d = mean(F.relu(1 - scores[:8])) + mean(F.relu(1 + scores[8:]))
    od.zero_grad()
    loss_d.backward()
    od.step()
    d.eval()
    loss_g = -mean(d(fake, FAKE))
    og.zero_grad()
    loss_g.backward()
    og.step()
    losses.append([loss_d.item(), loss_g.item()])
    # With the weights after the step.
    sigma = []
    for name in LAYERS.values():
        layer = getattr(d, name)
        w = layer.weight_orig.detach().flatten(1)
        sigma.append((layer.weight_u @ w @ layer.weight_v).item())
    sigmas.append(sigma)
    if average is None:
        average = {k: v.detach().clone() for k, v in pg.items()}
    else:
        average = {k: 0.9 * average[k] + 0.1 * v.detach() for k, v in pg.items()}
    of_g.append(sums(pg, NAMES_G))
    of_d.append(sums(pd, NAMES_D))
show = lambda name, rows: print(f"const {name}: [[f64; {len(rows[0])}]; {len(rows)}] = [\n" + "".join(
    "    [" + ", ".join(f"{v:.12e}" for v in r) + "],\n" for r in rows) + "];")
for name, rows in (("LOSSES", losses), ("SIGMAS", sigmas), ("GENERATOR", of_g), ("DISCRIMINATOR", of_d), ("AVERAGE", [sums(average, NAMES_G)])):
    show(name, rows)
