"""Makes core.safetensors and core.json: values and gradients of the core's ops over a grid of shapes, with PyTorch in f64.

Run once, by hand; the tests read the files and never Python:
    pip install torch numpy safetensors
    python tests/golden/make_golden_core.py            # writes beside itself
"""
import json, os
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
META = {"versions": f"torch {torch.__version__}"}
torch.set_num_threads(1)
G = torch.Generator().manual_seed(7)
OUT, CASES = {}, []


def rand(*s):
    return torch.randn(*s, generator=G, dtype=torch.float64).requires_grad_()


def case(kind, spec, inputs, y, constants=None):
    """Stores inputs, result, a cotangent u and the gradients of sum(u y)."""
    name = f"{kind}{sum(c['kind'] == kind for c in CASES)}"
    u = torch.randn(y.shape, generator=G, dtype=torch.float64)
    (y * u).sum().backward()
    for k, t in inputs.items():
        OUT[f"{name}.{k}"], OUT[f"{name}.g{k}"] = t, t.grad
    OUT[f"{name}.y"], OUT[f"{name}.u"] = y, u
    for k, t in (constants or {}).items():
        OUT[f"{name}.{k}"] = t
    CASES.append({"kind": kind, "name": name, "inputs": list(inputs), **spec})


# n, c, h, w, o, kh, kw, stride, padding, dilation, groups, bias
CONVS = [
    (1, 1, 1, 1, 1, 1, 1, (1, 1), (0, 0), (1, 1), 1, True),
    (17, 3, 5, 5, 4, 3, 3, (1, 1), (1, 1), (1, 1), 1, True),      # more images than a vector has lanes
    (16, 2, 4, 3, 13, 3, 3, (2, 2), (1, 1), (1, 1), 1, False),
    (33, 1, 3, 3, 2, 2, 2, (1, 1), (0, 0), (1, 1), 1, False),
    (2, 20, 5, 4, 3, 3, 3, (1, 1), (1, 1), (1, 1), 1, True),      # channels past a vector
    (2, 3, 4, 19, 2, 1, 5, (1, 2), (0, 2), (1, 1), 1, False),     # rows past a vector
    (1, 6, 9, 7, 9, 3, 2, (2, 3), (2, 1), (2, 2), 3, True),
    (2, 4, 6, 6, 4, 3, 3, (1, 1), (1, 1), (1, 1), 4, True),       # depthwise
    (3, 2, 7, 7, 2, 2, 2, (3, 3), (0, 0), (1, 1), 1, True),       # stride > kernel
    (2, 2, 6, 5, 3, 4, 4, (2, 2), (1, 1), (1, 1), 1, False),
    (1, 3, 8, 9, 2, 3, 3, (1, 1), (4, 3), (3, 2), 1, False),      # padding beyond the kernel
]
for n, c, h, w, o, kh, kw, s, p, d, g, b in CONVS:
    i = {"x": rand(n, c, h, w), "w": rand(o, c // g, kh, kw)} | ({"b": rand(o)} if b else {})
    case("conv", dict(stride=s, padding=p, dilation=d, groups=g), i, F.conv2d(i["x"], i["w"], i.get("b"), s, p, d, g))

# n, c, h, w, o, kh, kw, stride, padding, output_padding, dilation, groups, bias
UPS = [
    (1, 1, 1, 1, 1, 1, 1, (1, 1), (0, 0), (0, 0), (1, 1), 1, False),
    (2, 3, 4, 4, 2, 4, 4, (2, 2), (1, 1), (0, 0), (1, 1), 1, True),
    (18, 2, 1, 1, 3, 4, 4, (1, 1), (0, 0), (0, 0), (1, 1), 1, True),
    (2, 4, 3, 5, 6, 3, 2, (2, 3), (1, 0), (1, 2), (1, 1), 2, True),
    (1, 2, 4, 3, 2, 3, 3, (1, 2), (2, 1), (0, 1), (2, 1), 1, False),
    (2, 2, 3, 3, 3, 2, 2, (3, 3), (0, 0), (0, 0), (1, 1), 1, True),   # outputs that no tap reaches
]
for n, c, h, w, o, kh, kw, s, p, e, d, g, b in UPS:
    i = {"x": rand(n, c, h, w), "w": rand(c, o // g, kh, kw)} | ({"b": rand(o)} if b else {})
    y = F.conv_transpose2d(i["x"], i["w"], i.get("b"), s, p, e, g, d)
    case("up", dict(stride=s, padding=p, output_padding=e, dilation=d, groups=g), i, y)

for h, w, oh, ow in [(7, 5, 3, 2), (4, 4, 1, 1), (3, 5, 4, 7), (6, 6, 6, 6)]:
    for kind, f in (("adaptive_avg", F.adaptive_avg_pool2d), ("adaptive_max", F.adaptive_max_pool2d)):
        i = {"x": rand(2, 2, h, w)}
        case(kind, dict(out=[oh, ow]), i, f(i["x"], (oh, ow)))
    for mode, corners in (("nearest", None), ("bilinear", False), ("bilinear", True)):
        i = {"x": rand(2, 2, h, w)}
        kw = {} if corners is None else {"align_corners": corners}
        case(mode, dict(out=[oh, ow], corners=corners), i, F.interpolate(i["x"], (oh, ow), mode=mode, **kw))

for shape in [(1,), (3, 5), (2, 3, 4, 5)]:
    i = {"x": rand(*shape)}
    case("leaky", {}, i, F.leaky_relu(i["x"], 0.2))
    i = {"x": rand(*shape)}
    case("sigmoid", {}, i, torch.sigmoid(3 * i["x"]))
for n, k in [(1, 1), (3, 7), (2, 700), (40, 33)]:
    i = {"x": rand(n, k)}
    case("log_softmax", {}, i, F.log_softmax(i["x"], 1))
    i, y = {"x": rand(n, k)}, torch.randint(0, k, (n,), generator=G)
    case("ce", {}, i, F.cross_entropy(4 * i["x"], y, reduction="none"), {"labels": y.to(torch.uint32)})
for n, a, b in [(1, 1, 1), (3, 40, 5), (130, 7, 33), (2, 5, 1)]:
    i = {"x": rand(n, a), "w": rand(b, a), "b": rand(b)}
    case("linear", {}, i, F.linear(i["x"], i["w"], i["b"]))
i, t = {"x": rand(4, 9)}, torch.randn(4, 9, generator=G, dtype=torch.float64)
case("mse", {}, i, F.mse_loss(i["x"], t), {"t": t})
i, ids = {"x": rand(6, 5)}, torch.tensor([[0, 5, 5], [2, 0, 5]])
case("embedding", {}, i, F.embedding(ids, i["x"]), {"ids": ids.to(torch.uint32)})
for n, c, h, w in [(2, 1, 3, 3), (3, 4, 5, 2), (5, 3, 1, 1), (2, 20, 9, 8)]:
    i = {"x": rand(n, c, h, w), "a": rand(c), "b": rand(c), "r": rand(n, c, h, w)}
    y = F.relu(F.batch_norm(i["x"], None, None, i["a"], i["b"], True, 0.1, 1e-5) + i["r"])
    case("bn", {}, i, y)
for steps, n, wide, h in [(1, 1, 1, 1), (4, 3, 5, 2), (3, 20, 2, 9)]:
    i = {"x": rand(steps, n, wide), "w": rand(4 * h, wide), "r": rand(4 * h, h), "b": rand(4 * h), "h": rand(n, h), "c": rand(n, h)}
    y, hn, cn = torch._VF.lstm(i["x"], (i["h"][None], i["c"][None]), [i["w"], i["r"], i["b"], torch.zeros_like(i["b"])], True, 1, 0.0, False, False, False)
    case("lstm", {}, i, torch.cat([y, hn, cn]))

tensors = {k: v.detach().contiguous().clone() for k, v in OUT.items()}
save_file(tensors, os.path.join(HERE, "core.safetensors"), metadata=META)
with open(os.path.join(HERE, "core.json"), "w") as f:
    json.dump({"cases": CASES, **META}, f)
print(len(CASES), "cases", sum(t.numel() * t.element_size() for t in tensors.values()), "bytes")
