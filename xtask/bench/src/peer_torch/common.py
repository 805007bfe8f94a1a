"""What all workloads share: the arguments, and the tensors that the bench wrote."""
import json, math, sys
import torch

FUNCTION, DIR, DEVICE, THREADS = sys.argv[1:5]
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
