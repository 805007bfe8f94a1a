#!/usr/bin/env python3
"""64 rendered text lines for the text-angle classifier of rapidocr-onnxruntime 1.4.4 (Apache-2.0).
textline/{0,180}/NNN.png (192 x 48, RGB; resized keeping the ratio, padded at the right with grey 128) so that
input = (png/255 - 0.5)/0.5, NCHW; textline.npz: x (in [0,1], png/255), labels (0 upright, 1 turned), probs (onnxruntime), accuracy."""
import os, glob, math, json, random
import numpy as np, onnxruntime as ort
from PIL import Image, ImageDraw, ImageFont
H = os.path.dirname(os.path.abspath(__file__)); rng = random.Random(20261127)
FD = "/usr/share/fonts/truetype/dejavu/"
FONTS = [FD + f for f in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf", "DejaVuSansMono.ttf", "DejaVuSansCondensed.ttf", "DejaVuSans-Oblique.ttf")]
WORDS = """invoice total amount shipping address payment order number delivery receipt customer service telephone street garden river mountain
window library article chapter printed yesterday morning evening station platform ticket departure arrival boarding gate flight balance account
holder signature date return policy warranty product quantity price discount market fresh bread cheese butter coffee sugar water kitchen
The quick brown fox jumps over lazy dog Please keep this side Thank you for your visit Open daily Closed Sunday Exit Entrance Push Pull""".split()
def text():
    s = []
    while len(" ".join(s)) < rng.randint(3, 14): s.append(rng.choice(WORDS) if rng.random() < .85 else str(rng.randint(12, 9999)))
    t = " ".join(s)
    return rng.choice([t, t, t.upper(), t.title()])
def line(turned):
    f = ImageFont.truetype(rng.choice(FONTS), rng.randint(26, 44)); t = text()
    l, top, r, b = f.getbbox(t); m = rng.randint(3, 8)
    light = rng.random() < .8
    bg = tuple(rng.randint(215, 255) for _ in range(3)) if light else tuple(rng.randint(0, 60) for _ in range(3))
    fg = tuple(rng.randint(0, 70) for _ in range(3)) if light else tuple(rng.randint(200, 255) for _ in range(3))
    im = Image.new("RGB", (r - l + 2 * m, b - top + 2 * m), bg); ImageDraw.Draw(im).text((m - l, m - top), t, fill=fg, font=f)
    if turned: im = im.transpose(Image.Transpose.ROTATE_180)
    w = min(192, math.ceil(48 * im.width / im.height)); im = im.resize((w, 48), Image.Resampling.BILINEAR)
    a = np.asarray(im).astype(np.float32) + np.random.default_rng(rng.randint(0, 1 << 30)).normal(0, 4, (48, w, 3))
    out = np.full((48, 192, 3), 128, np.uint8); out[:, :w] = np.clip(np.rint(a), 0, 255).astype(np.uint8)
    return out, t, w
xs, labels, meta, exact = [], [], [], []
for k in range(64):
    turned = k % 2
    a, t, w = line(turned); d = os.path.join(H, "textline", "180" if turned else "0"); os.makedirs(d, exist_ok=True)
    Image.fromarray(a).save(os.path.join(d, f"{k // 2:03}.png")); xs.append(a); labels.append(turned); meta.append({"file": f"{'180' if turned else '0'}/{k // 2:03}.png", "text": t, "width": w})
order = sorted(range(64), key=lambda i: (labels[i], i))            # the order of a folder walk: 0/000 .. 0/031, 180/000 .. 180/031
x = np.stack([xs[i] for i in order]).astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255); labels = np.array([labels[i] for i in order], np.int64); meta = [meta[i] for i in order]
s = ort.InferenceSession(os.path.join(H, "rapidocr_onnxruntime", "ch_ppocr_mobile_v2.0_cls_infer.onnx"), providers=["CPUExecutionProvider"])
n = s.get_inputs()[0].name; run = lambda z: s.run(None, {n: np.ascontiguousarray(z.astype(np.float32))})[0]
z = (x - np.float32(.5)) / np.float32(.5); p = run(z); acc = float((p.argmax(1) == labels).mean())
bgr = run(z[:, ::-1]); zz = z.copy()
for i, m in enumerate(meta): zz[i, :, :, m["width"]:] = 0
print("accuracy", acc, "bgr", float((bgr.argmax(1) == labels).mean()), "pad exactly 0", float((run(zz).argmax(1) == labels).mean()), "one by one vs batch", float(np.abs(np.concatenate([run(z[i:i+1]) for i in range(64)]) - p).max()))
print("wrong:", [(meta[i], p[i].tolist()) for i in range(64) if p[i].argmax() != labels[i]]); print("mean confidence", float(p.max(1).mean()), "saturated (>0.9999)", int((p.max(1) > .9999).sum()), "padded", sum(m["width"] < 192 for m in meta))
np.savez(os.path.join(H, "textline.npz"), x=x, labels=labels, probs=p, accuracy=np.float32(acc)); json.dump({"accuracy": acc, "order": meta}, open(os.path.join(H, "textline.json"), "w"), indent=0)
sheet = Image.new("RGB", (8 * 200, 8 * 56), (90, 90, 90))
for i in range(64): sheet.paste(Image.fromarray((x[i].transpose(1, 2, 0) * 255 + .5).astype(np.uint8)), (i % 8 * 200 + 4, i // 8 * 56 + 4))
sheet.save(os.path.join(H, "textline_sheet.png"))
