"""Makes layers.safetensors and layers.json: values and gradients of the operations of convolutional networks and
transformers that `make_golden_core.py` does not have, with PyTorch in f64.

Run once, by hand; the tests read the files and never Python:
    pip install torch numpy safetensors
    python tests/golden/make_golden_layers.py            # writes beside itself
"""
import json, os
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
META = {"versions": f"torch {torch.__version__}"}
torch.set_num_threads(1)
G = torch.Generator().manual_seed(11)
OUT, CASES = {}, []


def rand(*s):
    return torch.randn(*s, generator=G, dtype=torch.float64).requires_grad_()


def case(kind, spec, inputs, y):
    """Stores inputs, result, a cotangent u and the gradients of sum(u y)."""
    name = f"{kind}{sum(c['kind'] == kind for c in CASES)}"
    u = torch.randn(y.shape, generator=G, dtype=torch.float64)
    (y * u).sum().backward()
    for k, t in inputs.items():
        OUT[f"{name}.{k}"], OUT[f"{name}.g{k}"] = t, t.grad
    OUT[f"{name}.y"], OUT[f"{name}.u"] = y, u
    CASES.append({"kind": kind, "name": name, "inputs": list(inputs), **spec})


# h, w, kernel, stride, padding, dilation, ceil_mode
POOLS = [
    (7, 7, (3, 3), (2, 2), (1, 1), (1, 1), False),
    (6, 9, (3, 3), (2, 2), (0, 1), (1, 1), True),
    (5, 8, (2, 3), (3, 2), (1, 1), (1, 1), True),     # the last window starts past the input and is left out
    (9, 8, (3, 2), (1, 2), (1, 0), (2, 3), False),
    (9, 10, (3, 3), (2, 3), (1, 1), (2, 2), True),
    (2, 2, (3, 3), (2, 2), (0, 0), (1, 1), True),     # a window larger than the input
    (6, 20, (3, 3), (1, 1), (1, 1), (1, 1), False),
]
for h, w, k, s, p, d, ceil in POOLS:
    spec = dict(kernel=k, stride=s, padding=p, dilation=d, ceil=ceil)
    i = {"x": rand(2, 2, h, w)}
    case("max_pool", spec, i, F.max_pool2d(i["x"], k, s, p, d, ceil))
    if d == (1, 1):
        for include in (True, False):
            i = {"x": rand(2, 2, h, w)}
            case("avg_pool", spec | {"include": include}, i, F.avg_pool2d(i["x"], k, s, p, ceil, include))

# Elements on both sides of every kink, and the kinks.
KINKS = [-3.0, -2.5, -1.0, -0.5, 0.0, 0.5, 1.5, 2.5, 3.0, 3.5, -7.0, 9.0]
UNARY = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "hard_swish": F.hardswish,
    "hard_sigmoid": lambda x: F.relu6(x + 3) / 6,   # the gradient of F.hardsigmoid has the slope 1/6 in float32
    "mish": F.mish,
    "softplus": F.softplus,
    "elu": lambda x: F.elu(x, 0.7),
    "selu": F.selu,
    "tanh": torch.tanh,
    "erf": torch.erf,
    "clamp": lambda x: torch.clamp(x, -0.5, 1.5),
}
for name, f in UNARY.items():
    i = {"x": torch.cat([torch.tensor(KINKS, dtype=torch.float64), 2 * rand(30).detach()]).reshape(3, 14).requires_grad_()}
    case("unary", {"name_of": name}, i, f(i["x"]))
for shape, channels in [((3, 4, 5, 2), 4), ((6, 3), 3), ((2, 3, 4), 1)]:
    i = {"x": rand(*shape), "a": rand(channels)}
    case("prelu", {}, i, F.prelu(i["x"], i["a"]))

for shape in [(1,), (3, 7), (2, 3, 40), (2, 700)]:
    i = {"x": rand(*shape)}
    case("softmax", {}, i, F.softmax(3 * i["x"], -1))
for shape, names in [((4, 9), "ab"), ((2, 3, 50), "a"), ((5, 6), ""), ((66, 20), "ab"), ((2, 1, 520), "b")]:
    i = {"x": rand(*shape)} | {n: rand(shape[-1]) for n in names}
    case("layer_norm", {}, i, F.layer_norm(i["x"], shape[-1:], i.get("a"), i.get("b"), 1e-5))
# shapes of a and b, and which are given transposed
PRODUCTS = [
    ((4, 5), (5, 3), ""),
    ((3, 4, 5), (3, 5, 2), ""),
    ((2, 3, 4, 5), (5, 6), ""),            # one large product
    ((2, 1, 4, 5), (3, 5, 2), ""),
    ((4, 5), (2, 3, 5, 6), ""),
    ((1, 3, 7, 20), (4, 1, 20, 33), ""),
    ((2, 3, 4, 5), (2, 3, 5, 6), "b"),
    ((2, 3, 4, 5), (3, 5, 6), "a"),
    ((3, 4, 5), (1, 5, 6), "ab"),
    ((3, 4, 5), (5, 6), "b"),
    ((20, 3, 4), (20, 4, 5), ""),
]
for a, b, turned in PRODUCTS:
    flip = lambda s: s[:-2] + (s[-1], s[-2])
    i = {"a": rand(*(flip(a) if "a" in turned else a)), "b": rand(*(flip(b) if "b" in turned else b))}
    case("products", {"turned": turned}, i, (i["a"].mT if "a" in turned else i["a"]) @ (i["b"].mT if "b" in turned else i["b"]))
rows, cols = [(0, 1, 0.25), (3, 3, 0.0), (2, 0, 1.25), (1, 2, 0.5)], [(4, 0, 0.7), (1, 1, 0.3), (2, 3, 0.0)]
i = {"x": rand(2, 3, 4, 5)}
y = torch.stack([(1 - w) * i["x"][:, :, a] + w * i["x"][:, :, b] for a, b, w in rows], 2)
y = torch.stack([(1 - w) * y[..., a] + w * y[..., b] for a, b, w in cols], 3)
case("resize", {"rows": rows, "cols": cols}, i, y)

tensors = {k: v.detach().contiguous().clone() for k, v in OUT.items()}
save_file(tensors, os.path.join(HERE, "layers.safetensors"), metadata=META)
with open(os.path.join(HERE, "layers.json"), "w") as f:
    json.dump({"cases": CASES, **META}, f)
print(len(CASES), "cases", sum(t.numel() * t.element_size() for t in tensors.values()), "bytes")
