#!/usr/bin/env python3
"""Export torchvision architectures with seeded random weights by both exporters.
usage: make_nets.py NAME   (writes NAME.{dynamo,script}.onnx, NAME.npz, NAME.json in this folder)"""
import sys, os, json, time, zlib, warnings, gc
warnings.filterwarnings("ignore")
import numpy as np, torch, torchvision, onnx, onnxruntime as ort
from torch import nn
import torchvision.models as M
torch.set_num_threads(1)
torch.backends.mha.set_fastpath_enabled(False)   # aten::_native_multi_head_attention is not exportable by the script exporter
HERE = os.path.dirname(os.path.abspath(__file__))

def build(name):
    if name == "vit_s_16":
        return M.VisionTransformer(image_size=224, patch_size=16, num_layers=12, num_heads=6, hidden_dim=384, mlp_dim=1536)
    if name == "googlenet":
        return M.googlenet(weights=None, aux_logits=False, transform_input=False, init_weights=True)
    return getattr(M, name)(weights=None)

def randomise(net, g, x):
    """Everything that a default initialisation leaves trivial (BN statistics, affine, class tokens, layer scales, zero heads, biases) made to matter."""
    net.eval()
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, (nn.LayerNorm, nn.GroupNorm)) and m.weight is not None:
                m.weight.copy_(0.5 + torch.rand(m.weight.shape, generator=g)); m.bias.copy_(0.2 * torch.randn(m.bias.shape, generator=g))
            elif isinstance(m, (nn.Conv2d, nn.Linear)) and m.bias is not None:
                m.bias.copy_(0.1 * torch.randn(m.bias.shape, generator=g))
                if isinstance(m, nn.Linear) and m.weight.abs().max() == 0:
                    m.weight.copy_(torch.randn(m.weight.shape, generator=g) / m.in_features ** 0.5)
        for n, p in net.named_parameters():
            if n.endswith("layer_scale"): p.copy_(0.1 + 0.4 * torch.rand(p.shape, generator=g))
            if n.endswith("class_token"): p.copy_(0.5 * torch.randn(p.shape, generator=g))
            if n.endswith("pos_embedding"): p.copy_(0.2 * torch.randn(p.shape, generator=g))
            if n.endswith("in_proj_bias"): p.copy_(0.1 * torch.randn(p.shape, generator=g))
        bns = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        for m in bns:
            m.weight.copy_(0.5 + torch.rand(m.weight.shape, generator=g)); m.bias.copy_(0.2 * torch.randn(m.bias.shape, generator=g))
            m.reset_running_stats(); m.momentum = None; m.train()
        if bns:
            net(x)                       # statistics near the true ones: activations neither vanish nor explode
            for m in bns:
                m.eval(); m.momentum = 0.1
                m.running_mean += 0.2 * m.running_var.sqrt() * torch.randn(m.running_mean.shape, generator=g)
                m.running_var *= 0.7 + 0.7 * torch.rand(m.running_var.shape, generator=g)
                m.running_var.clamp_(min=1e-4)
        # scale the last layer so that logits have a standard deviation near 2
        out = net(x); s = 2.0 / out.std().item()
        last = [m for m in net.modules() if isinstance(m, (nn.Linear, nn.Conv2d)) and (getattr(m, "out_features", None) == 1000 or getattr(m, "out_channels", None) == 1000)][-1]
        last.weight *= s; last.bias *= s
    for p in net.parameters(): p.requires_grad_(False)
    return net.eval()

def run_ort(path, x, batch=None):
    so = ort.SessionOptions(); so.intra_op_num_threads = 1; so.inter_op_num_threads = 1; so.log_severity_level = 3
    s = ort.InferenceSession(path, so, providers=["CPUExecutionProvider"])
    i = s.get_inputs()[0]
    b = i.shape[0] if isinstance(i.shape[0], int) else len(x)
    return np.concatenate([s.run(None, {i.name: x[k:k + b]})[0] for k in range(0, len(x), b)]), {"input": i.name, "in_shape": [str(d) for d in i.shape], "out": s.get_outputs()[0].name, "out_shape": [str(d) for d in s.get_outputs()[0].shape]}

def rel(a, b): return float(np.abs(a - b).max() / np.abs(b).max())

def main(name):
    t0 = time.time(); seed = zlib.crc32(name.encode()) & 0x7fffffff
    torch.manual_seed(seed); g = torch.Generator().manual_seed(seed)
    x = torch.rand(4, 3, 224, 224, generator=g)
    net = randomise(build(name), g, x)
    xx = x.clone().requires_grad_(True); y = net(xx)
    v = torch.randn(y.shape, generator=g)
    (grad,) = torch.autograd.grad((y * v).sum(), xx)
    info = {"name": name, "seed": seed, "params": sum(p.numel() for p in net.parameters()), "torch": torch.__version__, "torchvision": torchvision.__version__,
            "onnx": onnx.__version__, "onnxruntime": ort.__version__, "logit_std": y.std().item(), "logit_std_between_images": (y - y.mean(0)).std().item(), "grad_absmax": grad.abs().max().item()}
    y = y.detach().numpy(); out = {"x": x.numpy(), "logits": y, "v": v.numpy(), "grad": grad.numpy()}
    print(name, "torch done", round(time.time() - t0), "s", flush=True)
    # float64 reference
    n64 = net.double(); xd = x.double().requires_grad_(True); yd = n64(xd); (gd,) = torch.autograd.grad((yd * v.double()).sum(), xd)
    out["logits64"] = yd.detach().numpy(); info["rel_torch32_vs_64"] = rel(y, out["logits64"])
    info["rel_grad32_vs_64"] = rel(out["grad"], gd.numpy()); info["rel_l2_grad32_vs_64"] = float(np.linalg.norm(out["grad"] - gd.numpy()) / np.linalg.norm(gd.numpy()))
    del yd, gd, xd; net = net.float(); gc.collect()
    for kind in ("script", "dynamo"):
        path = os.path.join(HERE, f"{name}.{kind}.onnx")
        done = False
        for dyn in (True, False):
            try:
                t = time.time()
                if os.path.exists(path): os.remove(path)
                if os.path.exists(path + ".data"): os.remove(path + ".data")
                if kind == "script":
                    kw = dict(dynamic_axes={"x": {0: "batch"}, "logits": {0: "batch"}}) if dyn else {}
                    torch.onnx.export(net, (x,), path, dynamo=False, opset_version=17, input_names=["x"], output_names=["logits"], **kw)
                else:
                    kw = dict(dynamic_shapes=({0: torch.export.Dim("batch")},)) if dyn else {}
                    torch.onnx.export(net, (x,), path, dynamo=True, input_names=["x"], output_names=["logits"], verbose=False, **kw)
                o, meta = run_ort(path, x.numpy())
                m = onnx.load(path, load_external_data=False)
                ops = {}
                for nd in m.graph.node: ops[nd.op_type] = ops.get(nd.op_type, 0) + 1
                out["ort_" + kind] = o
                info[kind] = dict(meta, dynamic=dyn, opset=[(i.domain, i.version) for i in m.opset_import], ir=m.ir_version, nodes=len(m.graph.node), ops=dict(sorted(ops.items())), functions=len(m.functions),
                                  external=os.path.exists(path + ".data"), seconds=round(time.time() - t, 1), rel_vs_torch=rel(o, y), rel_vs_torch64=rel(o, out["logits64"]))
                done = True
            except Exception as e:
                info.setdefault(kind + "_errors", []).append(("dynamic" if dyn else "baked") + ": " + type(e).__name__ + ": " + str(e)[:600])
            if done: break
        print(name, kind, done, round(time.time() - t0), "s", info.get(kind, {}).get("rel_vs_torch"), flush=True)
    np.savez(os.path.join(HERE, name + ".npz"), **out)
    json.dump(info, open(os.path.join(HERE, name + ".json"), "w"), indent=1)

if __name__ == "__main__": main(sys.argv[1])
