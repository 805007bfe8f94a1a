#!/usr/bin/env python3
"""Values of Pillow for tests/transforms.rs: `python3 make_pillow.py > pillow.txt` (pip install pillow==13.0.0).

Lines `case KIND MAGNITUDE C H W INPUT OUTPUT` have the bytes in hexadecimal, in planes (C, H, W).
Lines `digest KIND MAGNITUDE FNV` have the FNV-1a hash of the outputs for 1,000 images that `draw` makes here and in Rust.
"""
from PIL import Image, ImageEnhance, ImageOps
import PIL

BLEND = [0, 0.1, 0.4, 0.5, 0.7, 1, 1.2, 1.3, 1.9, 3.7]
GRID = {
    "brightness": BLEND, "color": BLEND, "contrast": BLEND, "sharpness": [0, 0.1, 0.5, 1, 1.9, 3, 6, 8],
    "solarize": [0, 64, 128, 179, 204, 230, 256], "posterize": [1, 2, 4, 6, 8], "equalize": [1], "autocontrast": [1],
}
M = (1 << 64) - 1


def apply(kind, a, im):
    if kind == "brightness": return ImageEnhance.Brightness(im).enhance(a)
    if kind == "color": return ImageEnhance.Color(im).enhance(a)
    if kind == "contrast": return ImageEnhance.Contrast(im).enhance(a)
    if kind == "sharpness": return ImageEnhance.Sharpness(im).enhance(a)
    if kind == "solarize": return ImageOps.solarize(im, a)
    if kind == "posterize": return ImageOps.posterize(im, a)
    if kind == "equalize": return ImageOps.equalize(im)
    return ImageOps.autocontrast(im)


def draw(i):
    """Image i: sizes and the number of levels vary; a linear congruential generator gives the bytes."""
    c, h, w = (3 if i % 2 else 1), 1 + i % 23, 1 + i * 7 % 29
    span = (256, 100, 17, 2, 1)[i // 2 % 5]
    base = (i * 37) % (257 - span)
    state, out = (i * 0x9E3779B97F4A7C15 + 1) & M, []
    for _ in range(c * h * w):
        state = (state * 6364136223846793005 + 1442695040888963407) & M
        out.append(base + (state >> 56) % span)
    return c, h, w, bytes(out)


def image(c, h, w, planes):
    bands = [Image.frombytes("L", (w, h), planes[k * h * w:(k + 1) * h * w]) for k in range(c)]
    return bands[0] if c == 1 else Image.merge("RGB", bands)


def planes(im):
    return b"".join(band.tobytes() for band in im.split())


print("# Pillow", PIL.__version__)
images = [draw(i) for i in range(1000)]
cases = [images[i] for i in (5, 26)]
cases += [(1, 16, 16, bytes(range(256))), (3, 1, 1, bytes([200, 100, 50])), (1, 2, 5, bytes([0, 255] * 5))]
for kind, magnitudes in GRID.items():
    for a in magnitudes:
        for c, h, w, b in cases:
            print("case", kind, a, c, h, w, b.hex(), planes(apply(kind, a, image(c, h, w, b))).hex())
        fnv = 0xCBF29CE484222325
        for c, h, w, b in images:
            for byte in planes(apply(kind, a, image(c, h, w, b))):
                fnv = ((fnv ^ byte) * 0x100000001B3) & M
        print("digest", kind, a, f"{fnv:016x}")
