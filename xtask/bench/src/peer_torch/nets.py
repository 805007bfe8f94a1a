"""Networks as functions of named values."""
import torch.nn.functional as F


def small_cnn(p, x):
    for name in ("conv1", "conv2"):
        x = F.relu(F.max_pool2d(F.conv2d(x, p[name + ".weight"], p[name + ".bias"], padding=2), 2))
    x = F.relu(F.linear(x.flatten(1), p["fc1.weight"], p["fc1.bias"]))
    return F.linear(x, p["fc2.weight"], p["fc2.bias"])


def unit(p, name, x, padding, stride, training):
    x = F.conv2d(x, p[name + ".conv.weight"], None, stride, padding)
    bn = name + ".bn."
    stats = p[bn + "running_mean"], p[bn + "running_var"]
    return F.batch_norm(x, *stats, p[bn + "weight"], p[bn + "bias"], training, 0.1, 1e-5)


def resnet(p, x, training):
    x = F.relu(unit(p, "stem", x, 1, 1, training))
    for stage in range(1, 5):
        for i in range(2):
            name, stride = f"stage{stage}.{i}", 2 if stage > 1 and i == 0 else 1
            h = F.relu(unit(p, name + ".1", x, 1, stride, training))
            h = unit(p, name + ".2", h, 1, 1, training)
            x = F.relu(h + (unit(p, name + ".shortcut", x, 0, 2, training) if stride == 2 else x))
    return F.linear(x.mean((2, 3)), p["fc.weight"], p["fc.bias"])


def mobilenet_v2(p, x):
    """The form for 32x32 images, in training mode; what the layers are is read off the values' names and shapes."""
    def of(name, norm, x, stride=1, groups=1):
        w = p[name + ".weight"]
        x = F.conv2d(x, w, None, stride, w.shape[2] // 2, 1, groups)
        stats = p[norm + ".running_mean"], p[norm + ".running_var"]
        return F.batch_norm(x, *stats, p[norm + ".weight"], p[norm + ".bias"], True, 0.1, 1e-5)

    x = F.relu6(of("features.0.0", "features.0.1", x))
    # (blocks, stride of the first)
    at = 0
    for blocks, stride in [(1, 1), (2, 1), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1)]:
        for i in range(blocks):
            at += 1
            n, s, skip = f"features.{at}.", stride if i == 0 else 1, x
            h = F.relu6(of(n + "conv.0.0", n + "conv.0.1", x))
            h = F.relu6(of(n + "conv.1.0", n + "conv.1.1", h, s, h.shape[1]))
            h = of(n + "conv.2", n + "conv.3", h)
            if s == 2:
                x = h
            elif n + "shortcut.0.weight" in p:
                x = h + of(n + "shortcut.0", n + "shortcut.1", skip)
            else:
                x = h + skip
    x = F.relu6(of(f"features.{at + 1}.0", f"features.{at + 1}.1", x)).mean((2, 3))
    return F.linear(x, p["classifier.1.weight"], p["classifier.1.bias"])


def resnet50(p, x):
    """Batch norm is in the convolutions, as in an exported file."""
    def of(name, x, stride=1):
        w = p[name + ".weight"]
        return F.conv2d(x, w, p[name + ".bias"], stride, w.shape[2] // 2)

    x = F.max_pool2d(F.relu(of("conv1", x, 2)), 3, 2, 1)
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        for i in range(blocks):
            n, stride = f"layer{stage}.{i}.", 2 if stage > 1 and i == 0 else 1
            h = F.relu(of(n + "conv1", x))
            h = of(n + "conv3", F.relu(of(n + "conv2", h, stride)))
            x = F.relu(h + (of(n + "downsample", x, stride) if i == 0 else x))
    return F.linear(x.mean((2, 3)), p["fc.weight"], p["fc.bias"])
