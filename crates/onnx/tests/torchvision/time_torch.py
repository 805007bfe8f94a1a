#!/usr/bin/env python3
"""time_torch.py MODEL [--batch 16] [--threads 2] [--reps 3]: one gradient to the input in PyTorch, as JSON.
MODEL: resnet18 resnet50 vgg16 mobilenet_v3_large vit_s_16 (or another torchvision name). Random weights, eval, 224x224,
parameters do not require a gradient; a step = forward + gradient of sum(logits * v) to x. Median of --reps after one warm-up.
MultiheadAttention's inference fast path never runs while a gradient is recorded, so nothing needs to be switched off."""
import argparse, json, statistics, time, os, resource
p = argparse.ArgumentParser(); p.add_argument("model"); p.add_argument("--batch", type=int, default=16); p.add_argument("--threads", type=int, default=2)
p.add_argument("--reps", type=int, default=3); p.add_argument("--size", type=int, default=224); a = p.parse_args()
os.environ.setdefault("OMP_NUM_THREADS", str(a.threads))
import torch, torchvision, torchvision.models as M
torch.set_num_threads(a.threads); torch.manual_seed(0)
net = M.VisionTransformer(image_size=a.size, patch_size=16, num_layers=12, num_heads=6, hidden_dim=384, mlp_dim=1536) if a.model == "vit_s_16" else getattr(M, a.model)(weights=None)
net.eval().requires_grad_(False)
if a.model == "vit_s_16": torch.nn.init.normal_(net.heads.head.weight, std=.05)        # torchvision starts the head at zero
x = torch.rand(a.batch, 3, a.size, a.size); v = torch.randn(a.batch, 1000)
def step():
    xx = x.clone().requires_grad_(True); t = time.perf_counter(); y = net(xx); (y * v).sum().backward(); t2 = time.perf_counter(); assert xx.grad.abs().max() > 0; return t2 - t
def forward():
    with torch.inference_mode(): t = time.perf_counter(); net(x); return time.perf_counter() - t
t = time.perf_counter(); step(); warm = time.perf_counter() - t; g = [step() for _ in range(a.reps)]; f = [forward() for _ in range(a.reps)]
print(json.dumps({"model": a.model, "batch": a.batch, "threads": a.threads, "size": a.size, "grad_s": round(statistics.median(g), 4), "all_s": [round(q, 4) for q in g], "warmup_s": round(warm, 4), "forward_s": round(statistics.median(f), 4),
                  "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "torch": torch.__version__, "torchvision": torchvision.__version__, "load": os.getloadavg()[0]}))
