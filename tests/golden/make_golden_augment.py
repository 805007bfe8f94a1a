"""Makes augment.safetensors: moves of pixels and changes of colour by torchvision, in f32.

Run once, by hand; the tests read the file and never Python:
    pip install torch torchvision numpy safetensors
    python tests/golden/make_golden_augment.py         # writes beside itself

Images: `rgb` (3, 3, 9, 9) and `grey` (2, 1, 9, 9), uniform in [0, 1); the first image of `rgb` also holds a pixel of equal
channels, a black, a white and a few primary colours. Results are named `<images>.<case>`:
    hflip, vflip, rot90_<k>                          k quarter turns counter-clockwise, k = 1, 2, 3
    crop_<mode>_<padding>_<top>_<left>               mode constant (zeros), reflect or edge; cut back to 9 x 9
    erase_<top>_<left>_<height>_<width>              filled with 0.25
    brightness_<i>, contrast_<i>, saturation_<i>     with the i-th of `factors`
    hue_<i>                                          with the i-th of `hues`
"""
import os
import numpy as np, torch, torchvision
import torchvision.transforms.functional as TF
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
META = {"versions": f"torch {torch.__version__}, torchvision {torchvision.__version__}, numpy {np.__version__}"}
torch.set_num_threads(1)
rng = np.random.default_rng(17)
IMAGES = {n: torch.from_numpy(rng.random(s, dtype=np.float32)) for n, s in [("rgb", (3, 3, 9, 9)), ("grey", (2, 1, 9, 9))]}
special = [(0.4, 0.4, 0.4), (0, 0, 0), (1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0.5, 0.5, 0.2), (0.1, 0.7, 0.7)]
IMAGES["rgb"][0, :, 0, :] = torch.tensor(special, dtype=torch.float32).T

FACTORS = [0.0, 0.35, 0.8, 1.0, 1.4, 2.5]
HUES = [-0.5, -0.31, -0.1, 0.0, 0.05, 0.25, 0.5]
CROPS = [("constant", 2, 0, 0), ("constant", 2, 4, 1), ("constant", 12, 3, 20), ("reflect", 3, 0, 6), ("reflect", 8, 16, 1),
         ("edge", 4, 8, 8), ("edge", 11, 0, 15), ("reflect", 1, 1, 1)]
ERASES = [(0, 0, 4, 4), (6, 7, 3, 2), (2, 3, 5, 5), (0, 0, 9, 9)]

out = {"factors": torch.tensor(FACTORS, dtype=torch.float64), "hues": torch.tensor(HUES, dtype=torch.float64)}
for name, x in IMAGES.items():
    out[name] = x
    out[f"{name}.hflip"], out[f"{name}.vflip"] = TF.hflip(x), TF.vflip(x)
    for k in (1, 2, 3):
        out[f"{name}.rot90_{k}"] = torch.rot90(x, k, dims=(2, 3))
    for mode, p, top, left in CROPS:
        out[f"{name}.crop_{mode}_{p}_{top}_{left}"] = TF.crop(TF.pad(x, [p] * 4, padding_mode=mode), top, left, 9, 9)
    for i, j, h, w in ERASES:
        out[f"{name}.erase_{i}_{j}_{h}_{w}"] = TF.erase(x, i, j, h, w, 0.25)
    for kind in ("brightness", "contrast", "saturation"):
        for i, f in enumerate(FACTORS):
            out[f"{name}.{kind}_{i}"] = getattr(TF, f"adjust_{kind}")(x, f)
    for i, f in enumerate(HUES):
        out[f"{name}.hue_{i}"] = TF.adjust_hue(x, f)

tensors = {k: v.contiguous().clone() for k, v in out.items()}
save_file(tensors, os.path.join(HERE, "augment.safetensors"), metadata=META)
print(len(tensors), "tensors", sum(t.numel() * t.element_size() for t in tensors.values()), "bytes")
