"""The language model in PyTorch: lm_trajectory.safetensors (an epoch without dropout, step by step the same) and lm_twin.json (the
softmax arm of `reproduce sigsoftmax` quick with PyTorch's own random numbers, seed by seed).

Run once, by hand; the tests read the files and never Python:
    pip install torch numpy safetensors
    cargo xtask datasets words austen --vocabulary 2000 --out /tmp/austen
    python tests/golden/make_golden_lm.py /tmp/austen            # writes beside itself; about ten minutes
"""
import json, math, os, sys, tomllib
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
VERSIONS = f"torch {torch.__version__}"


def log_output(z, output):
    return F.log_softmax({"softmax": z, "sigsoftmax": z + F.logsigmoid(z)}[output], -1)


class Model:
    """AWD-LSTM with one bias a layer; parameters by our names."""

    def __init__(self, vocabulary, m, output, components, g):
        self.m, self.output, self.k = m, output, components
        uniform = lambda bound, *s: ((torch.rand(*s, generator=g) * 2 - 1) * bound).requires_grad_()
        self.p = {"embedding.weight": uniform(0.1, vocabulary, m["embedding"])}
        self.units, inputs = [], m["embedding"]
        for i in range(m["layers"]):
            n = m["output"] if i + 1 == m["layers"] else m["hidden"]
            b = 1 / math.sqrt(n)
            self.p |= {f"lstm{i}.input": uniform(b, 4 * n, inputs), f"lstm{i}.recurrent": uniform(b, 4 * n, n),
                       f"lstm{i}.bias": uniform(b, 4 * n)}
            self.units.append(n)
            inputs = n
        if components:
            b, w = 1 / math.sqrt(inputs), components * m["embedding"]
            self.p |= {"mixture.latent.weight": uniform(b, w, inputs), "mixture.latent.bias": uniform(b, w),
                       "mixture.prior.weight": uniform(b, components, inputs)}
        self.p["decoder.bias"] = torch.zeros(vocabulary).requires_grad_()

    def state(self, rows):
        return [(torch.zeros(1, rows, n), torch.zeros(1, rows, n)) for n in self.units]

    def keep(self, train, p, *shape):
        if not train or p == 0:
            return 1.0
        return (torch.rand(*shape) >= p).float() / (1 - p)

    def hidden(self, ids, state, train):
        d, p = self.m["dropout"], self.p
        table = p["embedding.weight"]
        x = F.embedding(ids, table * self.keep(train, d["embedding"], len(table), 1))
        x = x * self.keep(train, d["input"], 1, *x.shape[1:])
        after = []
        for i, n in enumerate(self.units):
            if i > 0:
                x = x * self.keep(train, d["hidden"], 1, *x.shape[1:])
            w = p[f"lstm{i}.recurrent"]
            weights = [p[f"lstm{i}.input"], w * self.keep(train, d["weight"], *w.shape), p[f"lstm{i}.bias"], torch.zeros(4 * n)]
            x, h, c = torch._VF.lstm(x, state[i], weights, True, 1, 0.0, train, False, False)
            after.append((h.detach(), c.detach()))
        return x, x * self.keep(train, d["output"], 1, *x.shape[1:]), after

    def nll(self, h, y, train):
        p, e = self.p, self.m["embedding"]
        h = h.reshape(-1, h.shape[-1])
        decode = lambda h: log_output(F.linear(h, p["embedding.weight"], p["decoder.bias"]), self.output)
        if not self.k:
            return F.nll_loss(decode(h), y)
        latent = torch.tanh(F.linear(h, p["mixture.latent.weight"], p["mixture.latent.bias"])).reshape(-1, self.k, e)
        prior = F.log_softmax(F.linear(h, p["mixture.prior.weight"]), -1)
        return F.nll_loss(torch.logsumexp(prior[:, :, None] + decode(latent), 1), y)


def streams(ids, rows):
    n = len(ids) // rows
    return ids[:n * rows].reshape(rows, n).t().contiguous()


def windows(text, length):
    at, k = 0, 0
    while at < len(text) - 1:
        n = min(length(k), len(text) - 1 - at)
        yield at, length(k), text[at:at + n], text[at + 1:at + 1 + n].reshape(-1)
        at, k = at + n, k + 1


@torch.no_grad()
def evaluate(model, text, window):
    state, total, words = model.state(text.shape[1]), 0.0, 0
    for _, _, x, y in windows(text, lambda _: window):
        h, _, state = model.hidden(x, state, False)
        total += model.nll(h, y, False).item() * len(y)
        words += len(y)
    return total / words


def epoch(model, text, t, number, lengths):
    state, total, words = model.state(text.shape[1]), 0.0, 0
    for at, length, x, y in windows(text, lambda k: lengths[k]):
        raw, dropped, state = model.hidden(x, state, True)
        nll = model.nll(dropped, y, True)
        loss = nll + t["alpha"] * dropped.pow(2).mean()
        if len(raw) > 1:
            loss = loss + t["beta"] * (raw[1:] - raw[:-1]).pow(2).mean()
        gs = torch.autograd.grad(loss, list(model.p.values()))
        norm = torch.sqrt(sum(g.pow(2).sum() for g in gs)).item()
        scale = min(1.0, t["clip"] / norm)
        share = (number + at / (len(text) - 1)) / t["epochs"]
        factor = 0.5 * (1 + math.cos(math.pi * share)) if t["schedule"]["kind"] == "cosine" else 1.0
        lr = t["lr"] * factor * length / t["window"]
        with torch.no_grad():
            for p, g in zip(model.p.values(), gs):
                p -= lr * (scale * g + t["weight_decay"] * p)
        total += nll.item() * len(y)
        words += len(y)
    return total / words


def trajectory():
    out = {}
    none = dict.fromkeys(("embedding", "input", "hidden", "output", "weight", "latent"), 0.0)
    t = dict(epochs=1, window=6, clip=0.25, weight_decay=1e-3, lr=2.0, alpha=2.0, beta=1.0, schedule={"kind": "constant"})
    for name, output, components, last in [("softmax", "softmax", 0, 7), ("sigsoftmax", "sigsoftmax", 0, 7), ("moss", "sigsoftmax", 3, 5)]:
        g = torch.Generator().manual_seed(3)
        model = Model(23, dict(embedding=7, hidden=9, layers=2, output=last, dropout=none), output, components, g)
        ids = torch.randint(0, 23, (4 * 40,), generator=g)
        out |= {f"{name}.start.{k}": v.detach().clone() for k, v in model.p.items()}
        out[f"{name}.ids"] = ids.to(torch.int64)
        loss = epoch(model, streams(ids, 4), t, 0, [6] * 99)
        out[f"{name}.loss"] = torch.tensor([loss, evaluate(model, streams(ids, 2), 6)], dtype=torch.float64)
        out |= {f"{name}.end.{k}": v.detach().clone() for k, v in model.p.items()}
    save_file(out, os.path.join(HERE, "lm_trajectory.safetensors"), {"versions": VERSIONS})


def twin(folder):
    recipe = tomllib.load(open(os.path.join(HERE, "../../xtask/recipes/sigsoftmax/quick.toml"), "rb"))
    text = recipe["corpora"][0]
    m, t = text["single"], text["single"]["train"]
    index, parts = {}, {}
    for part, name in (("train", "train.txt"), ("validation", "valid.txt"), ("test", "test.txt")):
        words = [w for line in open(f"{folder}/{name}") for w in line.split() + ["<eos>"]]
        parts[part] = torch.tensor([index.setdefault(w, len(index)) for w in words])[:text[part]]
    assert len(index) <= text["vocabulary"], len(index)
    found = []
    for seed in recipe["seeds"]:
        torch.manual_seed(seed)
        model = Model(text["vocabulary"], m, "softmax", 0, torch.Generator().manual_seed(seed))
        train, valid = streams(parts["train"], t["rows"]), streams(parts["validation"], t["evaluation_rows"])
        best = (math.inf, None)
        for number in range(t["epochs"]):
            lengths = []
            for _ in range(10 * len(train) // t["window"]):
                mean = t["window"] if torch.rand(1).item() < 0.95 else t["window"] / 2
                lengths.append(max(min(5, t["window"]), int(mean + t["spread"] * torch.randn(1).item())))
            loss = epoch(model, train, t, number, lengths)
            val = evaluate(model, valid, t["window"])
            if val < best[0]:
                best = (val, {k: v.detach().clone() for k, v in model.p.items()})
            print(seed, number, round(loss, 4), round(math.exp(val), 3), flush=True)
        model.p = best[1]
        found.append(math.exp(evaluate(model, streams(parts["test"], 10), t["window"])))
        print("test", found[-1], flush=True)
    result = {"versions": VERSIONS, "recipe": {**text, "mixture": None}, "seeds": recipe["seeds"], "test_perplexity": found}
    json.dump(result, open(os.path.join(HERE, "lm_twin.json"), "w"), indent=1)


trajectory()
if len(sys.argv) > 1:
    torch.set_num_threads(2)
    twin(sys.argv[1])
