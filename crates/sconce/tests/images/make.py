#!/usr/bin/env python3
"""Images as files, and what torchvision's loader, Resize and CenterCrop make of them.
  python make.py [FOLDER]
writes small PNG and JPEG files and golden.json:
  versions;
  frames: cases of Resize and CenterCrop (PIL, RGB) on images whose bytes follow from the size by a formula, with the shape and the SHA-256 of the result's bytes (HWC);
  files:  for each file the shape and the bytes (PNG: their SHA-256, JPEG: hexadecimal) of Image.open(file).convert("RGB"), which is torchvision's pil_loader.
Made with the versions that golden.json names."""
import hashlib, io, json, os, struct, sys, zlib
import numpy as np, PIL, torchvision
from PIL import Image
from torchvision import transforms as T

O = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
sha = lambda a: hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest()


def picture(h, w):
    """Bytes that look like noise, with a line of white: what byte i is follows from i alone."""
    i = np.arange(h * w * 3, dtype=np.uint64)
    a = (((i * 2654435761) % 2**32) >> 13).astype(np.uint8).reshape(h, w, 3)
    a[h // 3] = 255
    return a


def transform(resize, crop):
    size = lambda s: s if isinstance(s, int) else tuple(s)
    return T.Compose(([T.Resize(size(resize))] if resize else []) + ([T.CenterCrop(size(crop))] if crop else []))


frames = []
for h, w, resize, crop in [
    (53, 37, 32, None), (53, 37, 32, 32), (53, 37, 224, None), (53, 37, 224, 200), (53, 37, [24, 40], None), (53, 37, None, [70, 90]), (40, 64, 32, 32), (200, 300, 256, 224),
    (200, 300, 32, None), (375, 500, 256, 224), (1, 1, 5, None), (1, 7, 3, None), (7, 1, 3, [3, 3]), (2, 2, [1, 1], None), (64, 64, [64, 20], None), (64, 64, [20, 64], None),
    (64, 64, [64, 64], None), (65, 64, 64, 64), (31, 97, 13, 12), (97, 31, 13, 11), (28, 28, 32, 28), (33, 33, None, 30), (33, 34, None, 31), (35, 37, None, 30), (37, 35, None, [40, 30]),
    (10, 11, None, [15, 16]), (11, 10, None, [14, 20]), (300, 4, [3, 90], None), (123, 77, [77, 123], 50),
    (100, 100, [60, 80], None), (100, 100, [59, 80], None), (100, 60, [99, 61], None), (100, 60, [101, 90], None), (300, 90, 64, 64), (90, 300, 64, 64),
]:
    out = np.asarray(transform(resize, crop)(Image.fromarray(picture(h, w))))
    assert out.dtype == np.uint8
    frames.append({"from": [h, w], "resize": resize, "crop": crop, "shape": list(out.shape), "sha256": sha(out)})


def png(name, w, h, depth, colour, rows, extra=b""):
    chunk = lambda t, d: struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
    head = struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, 0)
    raw = b"".join(b"\0" + r for r in rows)
    with open(os.path.join(O, name), "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def palette(colours, alpha=None):
    chunk = lambda t, d: struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
    return chunk(b"PLTE", bytes(sum(colours, []))) + (chunk(b"tRNS", bytes(alpha)) if alpha else b"")


a = picture(9, 8)
Image.fromarray(a).save(os.path.join(O, "colour.png"))
Image.fromarray(a[..., 0]).save(os.path.join(O, "grey.png"))
Image.fromarray(np.stack([a[..., 0], a[..., 1]], 2), "LA").save(os.path.join(O, "grey_alpha.png"))
Image.fromarray(np.concatenate([a, a[..., :1]], 2), "RGBA").save(os.path.join(O, "alpha.png"))
png("grey_1_bit.png", 8, 2, 1, 0, [b"\xb4", b"\x0f"])
png("grey_2_bit.png", 4, 2, 2, 0, [b"\xb4", b"\x1b"])
png("grey_4_bit.png", 2, 2, 4, 0, [b"\xb4", b"\x1f"])
colours = [[255, 0, 0], [0, 255, 0], [1, 2, 3], [90, 90, 91]]
png("palette.png", 4, 2, 8, 3, [bytes([0, 1, 2, 3]), bytes([3, 2, 1, 0])], palette(colours))
png("palette_2_bit_transparent.png", 4, 2, 2, 3, [b"\x1b", b"\xe4"], palette(colours, [0, 128, 255]))
deep = lambda n: np.random.default_rng(3).integers(0, 65536, n).astype(">u2").tobytes()
png("colour_16_bit.png", 3, 2, 16, 2, [deep(9), deep(9)])
png("alpha_16_bit.png", 3, 2, 16, 6, [deep(12), deep(12)])
png("grey_16_bit.png", 3, 2, 16, 0, [deep(3), deep(3)])
y, x = np.mgrid[0:24, 0:40]
smooth = np.stack([6 * x, 10 * y, 127 + 100 * np.sin(x / 5 + y / 7)], 2).clip(0, 255).astype(np.uint8)
for name, keywords in {
    "444": dict(subsampling=0), "420": dict(subsampling=2), "progressive": dict(progressive=True), "grey": {},
}.items():
    im = Image.fromarray(smooth)
    (im.convert("L") if name == "grey" else im).save(os.path.join(O, f"{name}.jpg"), quality=90, **keywords)
exif = Image.Exif()
exif[0x0112] = 6
Image.fromarray(smooth).save(os.path.join(O, "turned.jpg"), quality=90, exif=exif)
Image.fromarray(smooth).convert("CMYK").save(os.path.join(O, "cmyk.jpg"), quality=90)

files = {}
for name in sorted(n for n in os.listdir(O) if n.endswith((".png", ".jpg")) and n != "grey_16_bit.png"):
    rgb = np.asarray(Image.open(os.path.join(O, name)).convert("RGB"))
    files[name] = {"shape": list(rgb.shape)} | ({"sha256": sha(rgb)} if name.endswith(".png") else {"bytes": rgb.tobytes().hex()})
versions = {"pillow": PIL.__version__, "torchvision": torchvision.__version__, "numpy": np.__version__}
with open(os.path.join(O, "golden.json"), "w") as f:
    row = lambda v: json.dumps(v, separators=(", ", ": "))
    f.write('{\n"versions": ' + row(versions) + ',\n"frames": [\n' + ",\n".join(map(row, frames)) + '\n],\n"files": {\n')
    f.write(",\n".join(f"{json.dumps(k)}: {row(v)}" for k, v in files.items()) + "\n}\n}\n")
