"""The workloads of `cargo xtask bench` in PyTorch: the same arithmetic from the same first values.

Started by the bench: python peer_torch MODULE.FUNCTION DIR DEVICE THREADS. Reads DIR/tensors.{json,bin}, says {"ready": true}, or
{"missing": ..} where a library is not installed, then answers lines: `run W N` (W steps that are not timed, N that are) with
{"ms": [..], "loss": [..]}, `stop` with {"peak_mib": ..}.
"""
import importlib, json, sys, time
import torch
from common import FUNCTION, GPU, THREADS, memory, tensors

torch.set_num_threads(int(THREADS))
before = memory("VmRSS")
module, function = FUNCTION.split(".")
try:
    step = getattr(importlib.import_module(module), function)(tensors())
except ModuleNotFoundError as e:
    print(json.dumps({"missing": f"Python has no module `{e.name}`"}), flush=True)
    sys.exit()
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    word = line.split()
    if word[0] == "stop":
        print(json.dumps({"peak_mib": memory("VmHWM") - before}), flush=True)
        break
    ms, losses = [], [step().item() for _ in range(int(word[1]))]
    for _ in range(int(word[2])):
        if GPU:
            torch.cuda.synchronize()
        start = time.perf_counter()
        losses.append(step().item())
        ms.append(1e3 * (time.perf_counter() - start))
    print(json.dumps({"ms": ms, "loss": losses}), flush=True)
