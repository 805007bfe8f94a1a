#!/usr/bin/env python3
"""Six small networks exported by torch's two ONNX exporters, and what torch and onnxruntime say of them.

    python make_golden_onnx.py [FOLDER]

writes into FOLDER (default: this script's folder)
  NAME.script.onnx   torch.onnx.export(dynamo=False, opset_version=17), dynamic batch
  NAME.dynamo.onnx   torch.onnx.export(dynamo=True), torch's default opset, dynamic batch, weights inside the file
  further files, see `extras` below
  golden_onnx.safetensors   tensors NAME.x, NAME.logits, NAME.v, NAME.grad, NAME.ort.KIND ...
  golden_onnx.json          versions, and for every file its operators, opset, shapes and differences
The metadata that the dynamo exporter adds (stack traces with local paths) is removed, except in cnn.external.onnx,
which is as torch writes it.
`logits` are those before a trailing Softmax/Sigmoid; `output` is the network's own output where it differs.
`grad` is the gradient of sum(logits * v) with respect to x.
"""
import json, os, sys, warnings, logging
warnings.filterwarnings("ignore"); logging.disable(logging.WARNING)
import numpy as np, torch, onnx, onnxruntime as ort
from onnx import helper, numpy_helper, TensorProto
from torch import nn
import torch.nn.functional as F

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
torch.backends.mha.set_fastpath_enabled(False)      # the script exporter cannot export the fast path
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
os.makedirs(OUT, exist_ok=True)


class Cnn(nn.Module):
    """conv, batch norm, ReLU, max pool (padded, and with ceil_mode), linear"""
    shape = (2, 3, 14, 14)
    def __init__(s):
        super().__init__()
        s.c1, s.b1 = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        s.p1 = nn.MaxPool2d(3, 2, padding=1)
        s.c2, s.b2 = nn.Conv2d(6, 8, 3, padding=2, dilation=2), nn.BatchNorm2d(8)
        s.p2 = nn.MaxPool2d(2, 2, ceil_mode=True)
        s.bn1d = nn.BatchNorm1d(8 * 16)
        s.l1, s.l2 = nn.Linear(8 * 16, 10), nn.Linear(10, 5)
        s.drop = nn.Dropout(0.3)
    def forward(s, x):
        x = s.p1(F.relu(s.b1(s.c1(x))))
        x = s.p2(F.relu(s.b2(s.c2(x))))
        x = s.bn1d(torch.flatten(x, 1))
        return s.l2(s.drop(F.relu(s.l1(x))))


class GnBlock(nn.Module):
    def __init__(s, i, o):
        super().__init__()
        s.n1, s.c1 = nn.GroupNorm(2, i), nn.Conv2d(i, o, 3, stride=2)
        s.n2, s.c2 = nn.GroupNorm(4, o), nn.Conv2d(o, o, 3, padding=1)
        s.skip = nn.Conv2d(i, o, 1)
    def forward(s, x):
        y = s.c1(F.pad(F.silu(s.n1(x)), (0, 2, 2, 0)))   # left 0, right 2, top 2, bottom 0
        return s.c2(F.silu(s.n2(y))) + s.skip(F.avg_pool2d(x, 2, ceil_mode=True))


class Residual(nn.Module):
    """residual, GroupNorm, SiLU, stride-2 convolutions behind asymmetric padding, adaptive average pooling, channel normalisation inside"""
    shape = (2, 3, 20, 20)
    def __init__(s):
        super().__init__()
        s.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)); s.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        s.stem = nn.Conv2d(3, 6, 3, padding="same", padding_mode="zeros")
        s.a, s.b = GnBlock(6, 8), GnBlock(8, 8)
        s.n = nn.GroupNorm(1, 8); s.l = nn.Linear(8, 6)
    def forward(s, x):
        x = (x - s.mean) / s.std
        x = s.b(s.a(F.adaptive_avg_pool2d(s.stem(x), (10, 10))))
        x = F.adaptive_avg_pool2d(F.silu(s.n(x)), 1)
        return s.l(x.flatten(1))


class Inverted(nn.Module):
    def __init__(s, i, e, o, k, stride):
        super().__init__()
        s.x, s.xb = nn.Conv2d(i, e, 1, bias=False), nn.BatchNorm2d(e)
        s.d, s.db = nn.Conv2d(e, e, k, stride, padding=k // 2, groups=e, bias=False), nn.BatchNorm2d(e)
        s.s1, s.s2 = nn.Conv2d(e, 4, 1), nn.Conv2d(4, e, 1)
        s.p, s.pb = nn.Conv2d(e, o, 1, bias=False), nn.BatchNorm2d(o)
        s.res = stride == 1 and i == o
    def forward(s, x):
        y = F.hardswish(s.xb(s.x(x)))
        y = s.db(s.d(y))
        y = y * F.hardsigmoid(s.s2(F.relu(s.s1(F.adaptive_avg_pool2d(y, 1)))))
        y = s.pb(s.p(F.hardswish(y)))
        return x + y if s.res else y


class Mobile(nn.Module):
    """depthwise and grouped convolutions, inverted residuals, Hardswish, squeeze-and-excitation with Hardsigmoid, ReLU6"""
    shape = (3, 3, 12, 12)
    def __init__(s):
        super().__init__()
        s.stem, s.sb = nn.Conv2d(3, 8, 3, 2, padding=1, bias=False), nn.BatchNorm2d(8)
        s.a, s.b = Inverted(8, 16, 8, 3, 1), Inverted(8, 16, 12, 5, 2)
        s.g = nn.Conv2d(12, 24, 3, padding=1, groups=3)
        s.l = nn.Linear(24, 7)
    def forward(s, x):
        x = F.hardswish(s.sb(s.stem(x)))
        x = F.relu6(s.g(s.b(s.a(x))) * 3)
        return s.l(x.mean((2, 3)))


class Block(nn.Module):
    def __init__(s, d, h, gelu):
        super().__init__()
        s.n1, s.att = nn.LayerNorm(d), nn.MultiheadAttention(d, h, batch_first=True)
        s.n2, s.l1, s.l2, s.gelu = nn.LayerNorm(d), nn.Linear(d, 2 * d), nn.Linear(2 * d, d), gelu
    def forward(s, x):
        n = s.n1(x); x = x + s.att(n, n, n, need_weights=False)[0]
        return x + s.l2(F.gelu(s.l1(s.n2(x)), approximate=s.gelu))


class Vit(nn.Module):
    """patches, class token, positions, LayerNorm, MultiheadAttention, GELU exact in one block and by tanh in the other"""
    shape = (3, 3, 12, 12)
    def __init__(s):
        super().__init__()
        s.patch = nn.Conv2d(3, 12, 4, 4)
        s.cls, s.pos = nn.Parameter(torch.zeros(1, 1, 12)), nn.Parameter(torch.zeros(1, 10, 12))
        s.a, s.b = Block(12, 3, "none"), Block(12, 2, "tanh")
        s.n, s.l = nn.LayerNorm(12, eps=1e-6), nn.Linear(12, 5)
    def forward(s, x):
        x = s.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([s.cls.expand(x.shape[0], -1, -1), x], 1) + s.pos
        return s.l(s.n(s.b(s.a(x)))[:, 0])


class Signal(nn.Module):
    """1-D convolutions, InstanceNorm, LeakyReLU, PReLU, ELU, AvgPool1d, a trailing Softmax"""
    shape = (3, 2, 40)
    def __init__(s):
        super().__init__()
        s.c1, s.n1 = nn.Conv1d(2, 8, 5, stride=2, padding=2), nn.InstanceNorm1d(8, affine=True)
        s.c2, s.pr = nn.Conv1d(8, 8, 3, padding=2, dilation=2), nn.PReLU(8)
        s.c3 = nn.Conv1d(8, 12, 3, padding=1, groups=2)
        s.pool = nn.AvgPool1d(3, 2, padding=1, count_include_pad=False)
        s.l = nn.Linear(12 * 5, 4)
    def body(s, x):
        x = F.leaky_relu(s.n1(s.c1(x)), 0.1)
        x = F.max_pool1d(s.pr(s.c2(x)), 2)
        x = s.pool(F.elu(s.c3(x), alpha=0.7))
        return s.l(x.flatten(1))
    def forward(s, x): return torch.softmax(s.body(x), 1)


class Decoder(nn.Module):
    """strided encoder, ConvTranspose2d, bilinear Upsample, PixelShuffle, reflect padding, mean over space, one logit, a trailing Sigmoid"""
    shape, gain = (2, 3, 12, 12), 3.5
    def __init__(s):
        super().__init__()
        s.c1 = nn.Conv2d(3, 8, 3, 2, padding=1)
        s.t = nn.ConvTranspose2d(8, 6, 3, 2, padding=1, output_padding=1)
        s.c2 = nn.Conv2d(6, 8, 3)
        s.sh = nn.PixelShuffle(2)
        s.c3 = nn.Conv2d(2, 8, 3, stride=2)
        s.t2 = nn.ConvTranspose2d(8, 8, 2, 2, groups=4, bias=False)
        s.l = nn.Linear(8, 1)
    def body(s, x):
        x = torch.tanh(s.c1(x))
        x = F.softplus(s.t(x))
        x = torch.sigmoid(s.c2(F.pad(x, (1, 1, 1, 1), mode="reflect")))
        x = F.interpolate(s.sh(x), scale_factor=1.5, mode="bilinear", align_corners=False)
        x = F.interpolate(F.selu(s.c3(x)), scale_factor=2.0, mode="nearest")
        x = F.interpolate(s.t2(x), size=(20, 24), mode="bilinear", align_corners=True)
        return s.l(F.mish(x).mean((2, 3)))
    def forward(s, x): return torch.sigmoid(s.body(x))


NETS = {"cnn": Cnn, "residual": Residual, "mobile": Mobile, "vit": Vit, "signal": Signal, "decoder": Decoder}
tensors, info = {}, {"versions": {"python": sys.version.split()[0], "torch": torch.__version__, "onnx": onnx.__version__, "onnxruntime": ort.__version__,
                                  "onnxscript": __import__("onnxscript").__version__, "numpy": np.__version__}, "files": {}}


def rel(a, b): return float(np.abs(a - b).max() / np.abs(b).max())


def randomise(net, g):
    with torch.no_grad():
        for n, p in net.named_parameters():
            if p.dim() > 1: p.copy_(torch.randn(p.shape, generator=g) * (1.2 / p[0].numel() ** 0.5 if p.shape[0] > 1 else 0.5))
            elif n.endswith("weight"): p.copy_(0.5 + torch.rand(p.shape, generator=g))     # affine of the norms, slopes
            else: p.copy_(0.2 * torch.randn(p.shape, generator=g))
        for m in net.modules():
            if isinstance(m, nn.PReLU): m.weight.copy_(0.1 + 0.3 * torch.rand(m.weight.shape, generator=g))
            if isinstance(m, nn.modules.batchnorm._BatchNorm):
                m.running_mean.copy_(0.3 * torch.randn(m.running_mean.shape, generator=g)); m.running_var.copy_(0.4 + torch.rand(m.running_var.shape, generator=g))
            if isinstance(m, (nn.modules.conv._ConvNd, nn.Linear)): m.weight *= getattr(net, "gain", 1.0)
    for p in net.parameters(): p.requires_grad_(False)
    return net.eval()


def strip(path):
    m = onnx.load(path)
    def clean(o):
        if hasattr(o, "metadata_props"): del o.metadata_props[:]
        if hasattr(o, "doc_string"): o.doc_string = ""
    clean(m); graph(m.graph, clean)
    for f in m.functions:
        clean(f)
        for n in f.node: clean(n)
        for v in f.value_info: clean(v)
    open(path, "wb").write(m.SerializeToString(deterministic=True))


def graph(gr, clean):
    clean(gr)
    for part in (gr.node, gr.initializer, gr.input, gr.output, gr.value_info):
        for o in part: clean(o)
    for n in gr.node:
        for a in n.attribute:
            if a.type == onnx.AttributeProto.GRAPH: graph(a.g, clean)


def run(path, x):
    o = ort.SessionOptions(); o.intra_op_num_threads = 1; o.log_severity_level = 3
    s = ort.InferenceSession(path, o, providers=["CPUExecutionProvider"]); i = s.get_inputs()[0]
    b = i.shape[0] if isinstance(i.shape[0], int) else len(x)
    return np.concatenate([s.run(None, {i.name: x[k:k + b]})[0] for k in range(0, len(x), b)])


def note(file, net, x=None, want=None, tol=2e-6):
    """run by onnxruntime, keep its output and what the file is made of"""
    path = os.path.join(OUT, file)
    x = tensors[f"{net}.x"] if x is None else x
    want = tensors.get(f"{net}.output", tensors.get(f"{net}.logits")) if want is None else want
    got = run(path, x); kind = file[len(net) + 1:-len(".onnx")] or "onnx"
    tensors[f"{net}.ort.{kind}"] = got
    m = onnx.load(path, load_external_data=False); onnx.checker.check_model(path)
    ops = {}
    for n in m.graph.node: ops[n.op_type] = ops.get(n.op_type, 0) + 1
    i, o = m.graph.input[0], m.graph.output[0]
    shape = lambda v: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
    r = rel(got, want)
    info["files"][file] = {"net": net, "kind": kind, "ir_version": m.ir_version, "opset": m.opset_import[0].version, "functions": len(m.functions), "input": i.name, "input_shape": shape(i),
                           "output": o.name, "output_shape": shape(o), "ops": dict(sorted(ops.items())), "ort_rel_vs_torch": r, "bytes": os.path.getsize(path)}
    assert r < tol, (file, r)


def script(net, x, file, batch=True, opset=17):
    kw = dict(dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}}) if batch else {}
    torch.onnx.export(net, (x,), os.path.join(OUT, file), dynamo=False, opset_version=opset, input_names=["x"], output_names=["y"], **kw)


def dynamo(net, x, file, batch=True, inside=True, **kw):
    if batch: kw["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(net, (x,), os.path.join(OUT, file), dynamo=True, input_names=["x"], output_names=["y"], external_data=not inside, verbose=False, **kw)
    if inside: strip(os.path.join(OUT, file))


made = {}
for k, (name, cls) in enumerate(NETS.items()):
    torch.manual_seed(100 + k); g = torch.Generator().manual_seed(200 + k)
    net = randomise(cls(), g); made[name] = net
    x = torch.rand(cls.shape, generator=g)
    x = 0.3 * x + 0.7 * F.interpolate(torch.rand(*x.shape[:2], *[2] * (x.dim() - 2), generator=g), x.shape[2:], mode="bilinear" if x.dim() == 4 else "linear")      # noise over something smooth
    body = getattr(net, "body", net)
    xg = x.clone().requires_grad_(True); y = body(xg); v = torch.randn(y.shape, generator=g)
    (grad,) = torch.autograd.grad((y * v).sum(), xg)
    net.double(); xd = x.double().requires_grad_(True); yd = body(xd); (gd,) = torch.autograd.grad((yd * v.double()).sum(), xd); net.float()
    tensors.update({f"{name}.x": x.numpy(), f"{name}.logits": y.detach().numpy(), f"{name}.v": v.numpy(), f"{name}.grad": grad.numpy()})
    if hasattr(net, "body"): tensors[f"{name}.output"] = net(x).numpy()
    info[name] = {"what": cls.__doc__, "params": sum(p.numel() for p in net.parameters()), "trailing": {"signal": "Softmax", "decoder": "Sigmoid"}.get(name),
                  "rel_logits_32_vs_64": rel(y.detach().numpy(), yd.detach().numpy()), "rel_grad_32_vs_64": rel(grad.numpy(), gd.numpy()), "logits_std": y.std().item(), "grad_absmax": grad.abs().max().item()}
    assert info[name]["rel_grad_32_vs_64"] < 1e-5, info[name]        # no kink between the two precisions
    script(net, x, f"{name}.script.onnx"); note(f"{name}.script.onnx", name)
    dynamo(net, x, f"{name}.dynamo.onnx"); note(f"{name}.dynamo.onnx", name)

# extras -----------------------------------------------------------------------------------------------------------
t = lambda n: torch.from_numpy(tensors[n + ".x"])
# a baked batch of 2 (x has 3 rows: onnxruntime is run on rows 0, 1 and on rows 1, 2)
script(made["mobile"], t("mobile")[:2], "mobile.baked2.onnx", batch=False)
note("mobile.baked2.onnx", "mobile", *[np.concatenate([a[:2], a[1:]]) for a in (tensors["mobile.x"], tensors["mobile.logits"])]); del tensors["mobile.ort.baked2"]
# external data, exactly as torch writes it, metadata included
dynamo(made["cnn"], t("cnn"), "cnn.external.onnx", inside=False); note("cnn.external.onnx", "cnn"); del tensors["cnn.ort.external"]
info["files"]["cnn.external.onnx"]["external"] = "cnn.external.onnx.data"
# other opsets: Softmax and Flatten as they were before 13; GroupNormalization-21; Attention-23
script(made["signal"], t("signal"), "signal.opset9.onnx", opset=9); note("signal.opset9.onnx", "signal"); del tensors["signal.ort.opset9"]
for n, o in (("residual", 21), ("vit", 23)):
    dynamo(made[n], t(n), f"{n}.opset{o}.onnx", opset_version=o); note(f"{n}.opset{o}.onnx", n); del tensors[f"{n}.ort.opset{o}"]
# weights in half precision, each behind a Cast to float
m = onnx.load(os.path.join(OUT, "cnn.script.onnx")); nodes = []
for i, w in enumerate(list(m.graph.initializer)):
    a = numpy_helper.to_array(w)
    if a.dtype == np.float32:
        h = numpy_helper.from_array(a.astype(np.float16), w.name + ".half")
        nodes.append(helper.make_node("Cast", [h.name], [w.name], name=f"/Cast_{i}", to=TensorProto.FLOAT))
        m.graph.initializer[i].CopyFrom(h)
old = list(m.graph.node); del m.graph.node[:]; m.graph.node.extend(nodes + old)
open(os.path.join(OUT, "cnn.half.onnx"), "wb").write(m.SerializeToString(deterministic=True))
note("cnn.half.onnx", "cnn", tol=5e-3)     # the weights are rounded: compare with cnn.ort.half, not with torch's logits

# as tf2onnx writes a Keras classifier: NHWC input in 0..255, a Transpose first, auto_pad, weights as initialisers, Softmax last
g = np.random.default_rng(7)
W = lambda *s: (g.standard_normal(s) * (1.4 / np.prod(s[1:]) ** 0.5)).astype(np.float32)
init = {"model/conv1/W": W(8, 3, 3, 3), "model/conv1/b": (0.1 * g.standard_normal(8)).astype(np.float32), "model/dw/W": W(8, 1, 3, 3), "model/dw/b": (0.1 * g.standard_normal(8)).astype(np.float32),
        "model/dense/W": (g.standard_normal((8, 5))).astype(np.float32), "model/dense/b": (0.1 * g.standard_normal(5)).astype(np.float32), "scale": np.array(1 / 127.5, np.float32), "one": np.array(1, np.float32),
        "zero": np.array(0, np.float32), "six": np.array(6, np.float32), "axes": np.array([2, 3], np.int64)}
N = helper.make_node
nodes = [N("Mul", ["input_1:0", "scale"], ["m:0"], name="model/mul"), N("Sub", ["m:0", "one"], ["n:0"], name="model/sub"), N("Transpose", ["n:0"], ["t:0"], name="model/conv1__5", perm=[0, 3, 1, 2]),
         N("Conv", ["t:0", "model/conv1/W", "model/conv1/b"], ["c1:0"], name="model/conv1", auto_pad="SAME_UPPER", strides=[2, 2], kernel_shape=[3, 3], dilations=[1, 1], group=1),
         N("Clip", ["c1:0", "zero", "six"], ["r1:0"], name="model/relu6"),
         N("Conv", ["r1:0", "model/dw/W", "model/dw/b"], ["c2:0"], name="model/dw", auto_pad="SAME_LOWER", strides=[2, 2], kernel_shape=[3, 3], group=8),
         N("Relu", ["c2:0"], ["r2:0"], name="model/relu"), N("MaxPool", ["r2:0"], ["p:0"], name="model/pool", auto_pad="SAME_UPPER", kernel_shape=[2, 2], strides=[2, 2]),
         N("GlobalAveragePool", ["p:0"], ["g:0"], name="model/gap"), N("Squeeze", ["g:0", "axes"], ["s:0"], name="model/squeeze"),
         N("MatMul", ["s:0", "model/dense/W"], ["d:0"], name="model/dense/MatMul"), N("Add", ["d:0", "model/dense/b"], ["logits:0"], name="model/dense/BiasAdd"),
         N("Softmax", ["logits:0"], ["Identity:0"], name="model/softmax", axis=-1)]
VI = lambda n, s: helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
def save(name, nodes, inp, out, opset, producer, path):
    gr = helper.make_graph(nodes, name, [inp], [out], [numpy_helper.from_array(a, n) for n, a in init.items()])
    m = helper.make_model(gr, opset_imports=[helper.make_opsetid("", opset)], producer_name=producer, ir_version=7)
    open(os.path.join(OUT, path), "wb").write(m.SerializeToString(deterministic=True))
save("tf2onnx", nodes, VI("input_1:0", ["unk__6", 15, 14, 3]), VI("Identity:0", ["unk__7", 5]), 13, "tf2onnx", "nhwc.onnx")

def nhwc(x, soft=False):
    """the same in torch: TensorFlow's SAME puts the odd pixel at the end (UPPER) or the beginning (LOWER)"""
    T = {k: torch.from_numpy(a).to(x.dtype) for k, a in init.items()}
    def same(z, k, s, lower=False, value=0.0):
        p = []
        for n in (z.shape[3], z.shape[2]):
            q = max((-(-n // s) - 1) * s + k - n, 0); p += [q - q // 2, q // 2] if lower else [q // 2, q - q // 2]
        return F.pad(z, p, value=value)
    y = (x * T["scale"] - 1).permute(0, 3, 1, 2)
    y = F.conv2d(same(y, 3, 2), T["model/conv1/W"], T["model/conv1/b"], 2).clamp(0, 6)
    y = F.relu(F.conv2d(same(y, 3, 2, True), T["model/dw/W"], T["model/dw/b"], 2, groups=8))
    y = F.max_pool2d(same(y, 2, 2, value=-float("inf")), 2, 2).mean((2, 3))
    return y @ T["model/dense/W"] + T["model/dense/b"]
x = (g.random((3, 15, 14, 3)) * 255).astype(np.float32); xg = torch.from_numpy(x).requires_grad_(True); y = nhwc(xg); v = torch.from_numpy(g.standard_normal((3, 5)).astype(np.float32)); (grad,) = torch.autograd.grad((y * v).sum(), xg)
xd = torch.from_numpy(x).double().requires_grad_(True); yd = nhwc(xd); (gd,) = torch.autograd.grad((yd * v.double()).sum(), xd)
tensors.update({"nhwc.x": x, "nhwc.logits": y.detach().numpy(), "nhwc.output": torch.softmax(y, 1).detach().numpy(), "nhwc.v": v.numpy(), "nhwc.grad": grad.numpy()})
info["nhwc"] = {"what": "hand-made, as tf2onnx writes a Keras classifier: NHWC input in 0..255, Transpose, auto_pad SAME_UPPER and SAME_LOWER, Softmax last", "params": int(sum(a.size for k, a in init.items() if "/" in k)), "trailing": "Softmax",
                "rel_logits_32_vs_64": rel(y.detach().numpy(), yd.detach().numpy()), "rel_grad_32_vs_64": rel(grad.numpy(), gd.numpy()), "logits_std": y.std().item(), "grad_absmax": grad.abs().max().item()}
assert info["nhwc"]["rel_grad_32_vs_64"] < 1e-5
note("nhwc.onnx", "nhwc")


def safetensors(path, ts):
    head, blob = {}, b""
    for n in sorted(ts):
        a = np.ascontiguousarray(ts[n], dtype="<f4"); head[n] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [len(blob), len(blob) + a.nbytes]}; blob += a.tobytes()
    h = json.dumps(head, separators=(",", ":")).encode(); h += b" " * (-len(h) % 8)
    open(path, "wb").write(len(h).to_bytes(8, "little") + h + blob)

safetensors(os.path.join(OUT, "golden_onnx.safetensors"), tensors)
files = info.pop("files")
with open(os.path.join(OUT, "golden_onnx.json"), "w") as f:       # a line for every network and every file
    f.write("{\n" + ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in info.items()) + ',\n "files": {\n' + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in files.items()) + "\n }\n}\n")

for f, d in files.items(): print(f"{f:28} opset {d['opset']:2} {d['bytes']:7} B  ort/torch {d['ort_rel_vs_torch']:.1e}  {' '.join(k + ('*' + str(n) if n > 1 else '') for k, n in d['ops'].items())}")
for n in list(NETS) + ["nhwc"]: print(n, {k: v for k, v in info[n].items() if k != "what"})
