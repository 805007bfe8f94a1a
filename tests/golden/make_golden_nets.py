"""Makes nets/*.pth, nets/*.safetensors and nets.safetensors: small networks of every family that the loader knows, with the names that published code
gives their weights, and for each an input, its logits and the gradient of sum(u * logits) to the input, and the same in training mode, by PyTorch in f64.

Run once, by hand; the tests read the files and never Python:
    pip install torch torchvision numpy safetensors
    python tests/golden/make_golden_nets.py            # writes beside itself
    python tests/golden/make_golden_nets.py --full DIR # networks of full size, for a comparison by hand (not committed)
"""
import json, os, re, sys
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
META = {"versions": f"torch {torch.__version__}, torchvision {torchvision.__version__}"}


def conv3(i, o, s=1, p=1):
    return nn.Conv2d(i, o, 3, s, p, bias=False)


def conv1(i, o, s=1):
    return nn.Conv2d(i, o, 1, s, bias=False)


class WideBlock(nn.Module):
    def __init__(self, i, o, s):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(i), conv3(i, o, s)
        self.bn2, self.conv2 = nn.BatchNorm2d(o), conv3(o, o)
        if i != o:
            self.convShortcut = conv1(i, o, s)

    def forward(self, x):
        a = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(a))))
        return y + (self.convShortcut(a) if hasattr(self, "convShortcut") else x)


class WideGroup(nn.Module):
    def __init__(self, n, i, o, s):
        super().__init__()
        self.layer = nn.Sequential(*[WideBlock(i if k == 0 else o, o, s if k == 0 else 1) for k in range(n)])

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    """The names of Zagoruyko's port, TRADES (which has a group that it does not use) and RobustBench."""

    def __init__(self, depth, widen, classes=10, base=16, unused=False):
        super().__init__()
        w, n = [base, base * widen, 2 * base * widen, 4 * base * widen], (depth - 4) // 6
        self.conv1 = conv3(3, w[0])
        self.block1 = WideGroup(n, w[0], w[1], 1)
        if unused:
            self.sub_block1 = WideGroup(n, w[0], w[1], 1)
        self.block2, self.block3 = WideGroup(n, w[1], w[2], 2), WideGroup(n, w[2], w[3], 2)
        self.bn1, self.fc = nn.BatchNorm2d(w[3]), nn.Linear(w[3], classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.block3(self.block2(self.block1(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))


def same(x, s):
    """What a 3x3 kernel of stride s is padded by in JAX."""
    return F.pad(x, (1, 1, 1, 1) if s == 1 else (0, 1, 0, 1))


class DeepMindBlock(nn.Module):
    def __init__(self, i, o, s):
        super().__init__()
        self.s = s
        self.batchnorm_0, self.conv_0 = nn.BatchNorm2d(i), conv3(i, o, s, 0)
        self.batchnorm_1, self.conv_1 = nn.BatchNorm2d(o), conv3(o, o)
        if i != o:
            self.shortcut = conv1(i, o, s)

    def forward(self, x):
        a = F.silu(self.batchnorm_0(x))
        y = self.conv_1(F.silu(self.batchnorm_1(self.conv_0(same(a, self.s)))))
        return y + (self.shortcut(a) if hasattr(self, "shortcut") else x)


class DeepMindGroup(nn.Module):
    def __init__(self, n, i, o, s):
        super().__init__()
        self.block = nn.Sequential(*[DeepMindBlock(i if k == 0 else o, o, s if k == 0 else 1) for k in range(n)])

    def forward(self, x):
        return self.block(x)


class Normalised(nn.Module):
    """Mean and deviation as DeepMind's networks keep them."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1))
        self.register_buffer("std", torch.tensor([0.2471, 0.2435, 0.2616]).view(3, 1, 1))

    def norm(self, x):
        return (x - self.mean) / self.std


class DeepMindWide(Normalised):
    def __init__(self, depth, widen, classes=10, base=16):
        super().__init__()
        w, n = [base, base * widen, 2 * base * widen, 4 * base * widen], (depth - 4) // 6
        self.init_conv = conv3(3, w[0])
        self.layer = nn.Sequential(*[DeepMindGroup(n, w[k], w[k + 1], 1 if k == 0 else 2) for k in range(3)])
        self.batchnorm, self.logits = nn.BatchNorm2d(w[3]), nn.Linear(w[3], classes)

    def forward(self, x):
        x = F.silu(self.batchnorm(self.layer(self.init_conv(self.norm(x)))))
        return self.logits(x.mean((2, 3)))


class PreActBlock(nn.Module):
    def __init__(self, i, o, s, raw=False):
        super().__init__()
        self.raw = raw
        self.bn1, self.conv1 = nn.BatchNorm2d(i), conv3(i, o, s)
        self.bn2, self.conv2 = nn.BatchNorm2d(o), conv3(o, o)
        if s != 1 or i != o:
            self.shortcut = nn.Sequential(conv1(i, o, s))

    def forward(self, x):
        a = F.relu(self.bn1(x))
        skip = self.shortcut(x if self.raw else a) if hasattr(self, "shortcut") else x
        return self.conv2(F.relu(self.bn2(self.conv1(a)))) + skip


class PreActBottleneck(nn.Module):
    def __init__(self, i, o, s, raw=False):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(i), conv1(i, o)
        self.bn2, self.conv2 = nn.BatchNorm2d(o), conv3(o, o, s)
        self.bn3, self.conv3 = nn.BatchNorm2d(o), conv1(o, 4 * o)
        if s != 1 or i != 4 * o:
            self.shortcut = nn.Sequential(conv1(i, 4 * o, s))

    def forward(self, x):
        a = F.relu(self.bn1(x))
        skip = self.shortcut(a) if hasattr(self, "shortcut") else x
        return self.conv3(F.relu(self.bn3(self.conv2(F.relu(self.bn2(self.conv1(a))))))) + skip


class PreActResNet(nn.Module):
    """The usual CIFAR form, with or without the last normalisation."""

    def __init__(self, blocks, width=64, classes=10, last=True, raw=False, bottleneck=False):
        super().__init__()
        block, more, i = (PreActBottleneck, 4, width) if bottleneck else (PreActBlock, 1, width)
        self.conv1 = conv3(3, width)
        for stage, n in enumerate(blocks):
            layers = []
            for k in range(n):
                layers.append(block(i, width << stage, 2 if stage > 0 and k == 0 else 1, raw))
                i = more * (width << stage)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        if last:
            self.bn = nn.BatchNorm2d(i)
        self.linear, self.stages = nn.Linear(i, classes), len(blocks)

    def forward(self, x):
        x = self.conv1(x)
        for k in range(self.stages):
            x = getattr(self, f"layer{k + 1}")(x)
        return self.linear((F.relu(self.bn(x)) if hasattr(self, "bn") else x).mean((2, 3)))


class DeepMindPreActBlock(nn.Module):
    def __init__(self, i, o, s):
        super().__init__()
        self.s = s
        self.batchnorm_0, self.conv_2d_1 = nn.BatchNorm2d(i), conv3(i, o, s, 0)
        self.batchnorm_1, self.conv_2d_2 = nn.BatchNorm2d(o), conv3(o, o)
        if s != 1 or i != o:
            self.shortcut = conv3(i, o, s, 0)

    def forward(self, x):
        a = self.conv_2d_1(same(F.silu(self.batchnorm_0(x)), self.s))
        skip = self.shortcut(same(x, self.s)) if hasattr(self, "shortcut") else x
        return self.conv_2d_2(F.silu(self.batchnorm_1(a))) + skip


class DeepMindPreAct(Normalised):
    def __init__(self, blocks, width=64, classes=10):
        super().__init__()
        self.conv_2d, i = conv3(3, width), width
        for stage, n in enumerate(blocks):
            layers = []
            for k in range(n):
                layers.append(DeepMindPreActBlock(i, width << stage, 2 if stage > 0 and k == 0 else 1))
                i = width << stage
            setattr(self, f"layer_{stage}", nn.Sequential(*layers))
        self.batchnorm, self.logits, self.stages = nn.BatchNorm2d(i), nn.Linear(i, classes), len(blocks)

    def forward(self, x):
        x = self.conv_2d(self.norm(x))
        for k in range(self.stages):
            x = getattr(self, f"layer_{k}")(x)
        return self.logits(F.silu(self.batchnorm(x)).mean((2, 3)))


class PadShortcut(nn.Module):
    """Option A."""

    def __init__(self, more):
        super().__init__()
        self.more = more

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more // 2))


class Basic(nn.Module):
    def __init__(self, i, o, s, a=False, name="shortcut"):
        super().__init__()
        self.conv1, self.bn1 = conv3(i, o, s), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = conv3(o, o), nn.BatchNorm2d(o)
        self.name = name
        if s != 1 or i != o:
            skip = PadShortcut(o - i) if a else nn.Sequential(conv1(i, o, s), nn.BatchNorm2d(o))
            setattr(self, name, skip)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (getattr(self, self.name)(x) if hasattr(self, self.name) else x))


class Bottleneck(nn.Module):
    def __init__(self, i, o, s, inner, groups, name):
        super().__init__()
        self.conv1, self.bn1 = conv1(i, inner), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, s, 1, groups=groups, bias=False), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = conv1(inner, 4 * o), nn.BatchNorm2d(4 * o)
        self.name = name
        if s != 1 or i != 4 * o:
            setattr(self, name, nn.Sequential(conv1(i, 4 * o, s), nn.BatchNorm2d(4 * o)))

    def forward(self, x):
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(y)) + (getattr(self, self.name)(x) if hasattr(self, self.name) else x))


class ResNet(nn.Module):
    """torchvision's names or those of the usual CIFAR form."""

    def __init__(self, blocks, width, classes=10, large=False, option_a=False, inner=0, groups=1, names=("shortcut", "linear")):
        super().__init__()
        self.large, self.stages, self.last, i = large, len(blocks), names[1], width
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False) if large else conv3(3, width)
        self.bn1 = nn.BatchNorm2d(width)
        for stage, n in enumerate(blocks):
            layers = []
            for k in range(n):
                o, s = width << stage, 2 if stage > 0 and k == 0 else 1
                layers.append(Bottleneck(i, o, s, inner << stage, groups, names[0]) if inner else Basic(i, o, s, option_a, names[0]))
                i = 4 * o if inner else o
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        setattr(self, names[1], nn.Linear(i, classes))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        if self.large:
            x = F.max_pool2d(x, 3, 2, 1)
        for k in range(self.stages):
            x = getattr(self, f"layer{k + 1}")(x)
        return getattr(self, self.last)(x.mean((2, 3)))


class Vgg(nn.Module):
    """torchvision's features, and a classifier of any width."""

    def __init__(self, layers, norm, side, classifier):
        super().__init__()
        self.features = torchvision.models.vgg.make_layers(layers, batch_norm=norm)
        self.side, self.classifier = side, classifier

    def forward(self, x):
        x = self.features(x)
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, self.side) if self.side else x, 1))


class SmallDense(nn.Module):
    """The usual CIFAR form."""

    class Layer(nn.Module):
        def __init__(self, i, growth, inner):
            super().__init__()
            self.bn1, self.conv1 = nn.BatchNorm2d(i), conv1(i, inner)
            self.bn2, self.conv2 = nn.BatchNorm2d(inner), conv3(inner, growth)

        def forward(self, x):
            return torch.cat([self.conv2(F.relu(self.bn2(self.conv1(F.relu(self.bn1(x)))))), x], 1)

    class Transition(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.bn, self.conv = nn.BatchNorm2d(i), conv1(i, o)

        def forward(self, x):
            return F.avg_pool2d(self.conv(F.relu(self.bn(x))), 2)

    def __init__(self, blocks, growth, classes=10):
        super().__init__()
        i = 2 * growth
        self.conv1, self.count = conv3(3, i), len(blocks)
        for b, n in enumerate(blocks):
            setattr(self, f"dense{b + 1}", nn.Sequential(*[self.Layer(i + k * growth, growth, 4 * growth) for k in range(n)]))
            i += n * growth
            if b + 1 < len(blocks):
                setattr(self, f"trans{b + 1}", self.Transition(i, i // 2))
                i //= 2
        self.bn, self.linear = nn.BatchNorm2d(i), nn.Linear(i, classes)

    def forward(self, x):
        x = self.conv1(x)
        for b in range(self.count):
            x = getattr(self, f"dense{b + 1}")(x)
            if b + 1 < self.count:
                x = getattr(self, f"trans{b + 1}")(x)
        return self.linear(F.relu(self.bn(x)).mean((2, 3)))


class SmallMobile(nn.Module):
    """The usual CIFAR form."""

    class Block(nn.Module):
        def __init__(self, i, o, t, s):
            super().__init__()
            self.s, w = s, i * t
            self.conv1, self.bn1 = conv1(i, w), nn.BatchNorm2d(w)
            self.conv2, self.bn2 = nn.Conv2d(w, w, 3, s, 1, groups=w, bias=False), nn.BatchNorm2d(w)
            self.conv3, self.bn3 = conv1(w, o), nn.BatchNorm2d(o)
            self.shortcut = nn.Sequential(conv1(i, o), nn.BatchNorm2d(o)) if s == 1 and i != o else nn.Sequential()

        def forward(self, x):
            y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
            y = self.bn3(self.conv3(y))
            return y + self.shortcut(x) if self.s == 1 else y

    def __init__(self, setting, stem, last, classes=10):
        super().__init__()
        self.conv1, self.bn1, i, layers = conv3(3, stem), nn.BatchNorm2d(stem), stem, []
        for t, o, n, s in setting:
            for k in range(n):
                layers.append(self.Block(i, o, t, s if k == 0 else 1))
                i = o
        self.layers = nn.Sequential(*layers)
        self.conv2, self.bn2, self.linear = conv1(i, last), nn.BatchNorm2d(last), nn.Linear(last, classes)

    def forward(self, x):
        x = self.layers(F.relu(self.bn1(self.conv1(x))))
        return self.linear(F.relu(self.bn2(self.conv2(x))).mean((2, 3)))


class TimmAttention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        a = (q @ k.transpose(-2, -1) * (d // self.heads) ** -0.5).softmax(-1)
        return self.proj((a @ v).transpose(1, 2).reshape(n, t, d))


class TimmBlock(nn.Module):
    def __init__(self, dim, heads, hidden):
        super().__init__()
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(dim, eps=1e-6), TimmAttention(dim, heads), nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x))))


class TimmViT(nn.Module):
    """timm's names: a class token, or the mean of the patches and a norm behind it."""

    def __init__(self, side, patch, dim, depth, heads, hidden, classes=10, token=True):
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, dim, patch, patch)
        if token:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, (side // patch) ** 2 + int(token), dim))
        self.blocks = nn.Sequential(*[TimmBlock(dim, heads, hidden) for _ in range(depth)])
        setattr(self, "norm" if token else "fc_norm", nn.LayerNorm(dim, eps=1e-6))
        self.head = nn.Linear(dim, classes)

    def forward(self, x):
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        if hasattr(self, "cls_token"):
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
        x = self.blocks(x + self.pos_embed)
        return self.head(self.norm(x)[:, 0] if hasattr(self, "norm") else self.fc_norm(x.mean(1)))


def mobile(setting, **more):
    return torchvision.models.MobileNetV2(inverted_residual_setting=setting, round_nearest=1, **more)


class Named(nn.Module):
    """Linear layers under names."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(48, 12), nn.Linear(12, 8), nn.Linear(8, 4)

    def forward(self, x):
        return self.fc3(F.leaky_relu(self.fc2(F.leaky_relu(self.fc1(x.flatten(1))))))


def classifier(*widths):
    layers = []
    for i, o in zip(widths, widths[1:]):
        layers += [nn.Linear(i, o), nn.ReLU(), nn.Dropout()]
    return nn.Sequential(*layers[:-2])


SEVEN = [[1, 4, 1, 1], [2, 6, 2, 2], [3, 8, 1, 2], [2, 10, 2, 2], [2, 12, 1, 1], [2, 14, 1, 2], [2, 16, 1, 1]]
TINY = dict(classes=4)
# name of the file, --arch, side of the images, network, more that the loader is told
SMALL = [
    ("wrn.pth", "wrn-10-2", 16, lambda: WideResNet(10, 2, base=4, **TINY), {}),
    ("wrn_trades.pth", "wrn-10-1", 16, lambda: nn.DataParallel(WideResNet(10, 1, base=4, unused=True, **TINY)), {}),
    ("wrn_deepmind.safetensors", "wideresnet-16-2", 16, lambda: DeepMindWide(16, 2, base=3, **TINY), {"activation": "silu"}),
    ("preact.pth", "preactresnet", 16, lambda: PreActResNet([1, 1, 1], 4, last=False, **TINY), {}),
    ("preact_raw.safetensors", "preactresnet18-raw", 16, lambda: PreActResNet([2] * 4, 2, raw=True, **TINY), {}),
    ("preact_bottleneck.safetensors", "preactresnet", 16, lambda: PreActResNet([2, 1], 3, bottleneck=True, **TINY), {}),
    ("preact_deepmind.safetensors", "preactresnet", 16, lambda: DeepMindPreAct([2, 1], 4, **TINY), {"activation": "silu"}),
    ("resnet20.safetensors", "resnet20", 16, lambda: ResNet([3] * 3, 4, option_a=True, **TINY), {}),
    ("resnet_b.safetensors", "resnet", 15, lambda: ResNet([1] * 3, 4, names=("downsample", "fc"), **TINY), {}),
    ("resnet_large.pth", "resnet", 40, lambda: ResNet([1, 2], 4, large=True, names=("downsample", "fc"), **TINY), {}),
    ("resnext.safetensors", "resnet", 40, lambda: ResNet([2, 1], 4, large=True, inner=6, groups=3, names=("downsample", "fc"), **TINY), {}),
    ("resnet_bottleneck.safetensors", "resnet", 16, lambda: ResNet([1, 2], 3, inner=3, **TINY), {}),
    ("vgg_bn.safetensors", "vgg", 19, lambda: Vgg([4, "M", 6, 8, "M"], True, 3, classifier(72, 16, 12, 4)), {}),
    ("vgg.safetensors", "vgg", 16, lambda: Vgg([4, 4, "M", 6, "M", 8, "M"], False, 3, classifier(72, 16, 12, 4)), {}),
    ("vgg_cifar.pth", "vgg11", 32, lambda: Vgg([3, "M", 4, "M", 5, 5, "M", 6, 6, "M", 6, 6, "M"], True, 0, nn.Linear(6, 4)), {}),
    ("densenet.safetensors", "densenet", 40, lambda: torchvision.models.DenseNet(4, (2, 3), 6, 2, num_classes=4), {}),
    ("densenet_cifar.safetensors", "densenet", 16, lambda: SmallDense([2, 1, 2], 3, 4), {}),
    ("mobilenet.safetensors", "mobilenet_v2", 40, lambda: mobile(SEVEN, num_classes=4), {}),
    ("mobilenet_cifar.safetensors", "mobilenetv2", 32, lambda: SmallMobile([[t, c, n, s if k != 1 else 1] for k, (t, c, n, s) in enumerate(SEVEN)], 4, 24, 4), {}),
    ("vit_timm.safetensors", "vit", 16, lambda: TimmViT(16, 4, 12, 2, 3, 20, 4), {"heads": 3}),
    ("vit_mean.pth", "vit", 12, lambda: TimmViT(12, 4, 12, 1, 2, 24, 4, token=False), {"heads": 2}),
    ("vit_torchvision.pth", "vit", 16, lambda: torchvision.models.VisionTransformer(16, 8, 1, 2, 128, 40, num_classes=4), {}),
    ("mlp.pth", "mlp", 4, lambda: nn.Sequential(nn.Flatten(), nn.Linear(48, 12), nn.GELU(), nn.Linear(12, 4)), {"activation": "gelu"}),
    ("mlp_named.safetensors", "mlp", 4, Named, {"activation": "leaky-relu"}),
]


def densenet_old(net):
    """The names of torchvision's first files."""
    state = net.state_dict()
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", k): v for k, v in state.items()}


# Networks of full size.
FULL = [
    ("wrn-28-10.pth", "wrn-28-10", 32, 16, lambda: WideResNet(28, 10), {}),
    ("preactresnet18.pth", "preactresnet18", 32, 16, lambda: PreActResNet([2] * 4), {}),
    ("resnet50.pth", "resnet50", 224, 2, torchvision.models.resnet50, {}),
    ("wide_resnet50_2.pth", "wide_resnet50_2", 64, 2, torchvision.models.wide_resnet50_2, {}),
    ("resnext50.pth", "resnext50_32x4d", 64, 2, torchvision.models.resnext50_32x4d, {}),
    ("resnet18.pth", "resnet18", 64, 2, torchvision.models.resnet18, {}),
    ("vgg16_bn.pth", "vgg16_bn", 224, 2, torchvision.models.vgg16_bn, {}),
    ("densenet121.pth", "densenet121", 224, 2, torchvision.models.densenet121, {}),
    ("mobilenet_v2.pth", "mobilenet_v2", 224, 2, torchvision.models.mobilenet_v2, {}),
    ("vit_b_16.pth", "vit_b_16", 224, 2, torchvision.models.vit_b_16, {}),
]


def fill(net, g):
    """Statistics and scales that matter; weights that keep the size of activations."""
    for name, p in net.named_parameters():
        with torch.no_grad():
            if p.dim() <= 1 and "weight" in name:
                p.uniform_(0.5, 1.5, generator=g)
            elif p.dim() <= 1:
                p.normal_(0, 0.2, generator=g)
            elif "token" in name or "pos" in name:
                p.normal_(0, 0.5, generator=g)
            else:
                p.normal_(0, (1.4 / (p[0].numel())) ** 0.5, generator=g)
    for name, b in net.named_buffers():
        if "running_mean" in name:
            b.normal_(0, 0.3, generator=g)
        elif "running_var" in name:
            b.uniform_(0.5, 1.5, generator=g)
        elif "num_batches" in name:
            b.fill_(1234)
    return net.eval()


def reference(net, x, u):
    x = x.clone().requires_grad_()
    y = net(x)
    (y * u).sum().backward()
    return y.detach(), x.grad


def training(net, x, u):
    """One pass in training mode: the logits, the squared norm of the gradient to all weights, and the sums of the running statistics behind it."""
    net.train()
    for m in net.modules():
        if isinstance(m, nn.Dropout):
            m.p = 0.0
    net.zero_grad()
    y = net(x)
    (y * u).sum().backward()
    squared = sum((p.grad**2).sum() for p in net.parameters() if p.grad is not None)
    used = [(k, b) for k, b in net.named_buffers() if "sub_block1" not in k]
    mean, var = (sum((b.sum() for k, b in used if end in k), torch.zeros((), dtype=x.dtype)) for end in ("running_mean", "running_var"))
    return y.detach(), torch.stack([squared, mean, var])


def write(state, path):
    if path.endswith(".pth"):
        torch.save(state, path)
    else:
        save_file({k: v.contiguous() for k, v in state.items()}, path)


def small():
    out, cases = {}, []
    os.makedirs(f"{HERE}/nets", exist_ok=True)
    for seed, (file, arch, side, make, more) in enumerate(SMALL):
        g = torch.Generator().manual_seed(seed)
        net = fill(make(), g)
        state = densenet_old(net) if file == "densenet.safetensors" else net.state_dict()
        write(state, f"{HERE}/nets/{file}")
        net = getattr(net, "module", net).double()
        x, u = torch.rand(3, 3, side, side, generator=g).double(), torch.randn(3, 4, generator=g).double()
        y, gx = reference(net, x, u)
        yt, sums = training(net, x, u)
        name = file.split(".")[0]
        # Inputs are exact in f32.
        out |= {f"{name}.x": x.float(), f"{name}.u": u.float(), f"{name}.y": y, f"{name}.gx": gx.float()}
        out |= {f"{name}.yt": yt, f"{name}.sums": sums}
        cases.append({"file": file, "name": name, "arch": arch, "side": side, **more})
        print(f"{file:32} {sum(p.numel() for p in net.parameters()):8} y {y.abs().max():.3f} gx {gx.abs().max():.2e}")
    save_file({k: v.contiguous() for k, v in out.items()}, f"{HERE}/nets.safetensors", META)
    with open(f"{HERE}/nets.json", "w") as f:
        json.dump({"meta": META, "cases": cases}, f, indent=1)
        f.write("\n")


def full(folder):
    os.makedirs(folder, exist_ok=True)
    out, cases = {}, []
    for seed, (file, arch, side, n, make, more) in enumerate(FULL):
        g = torch.Generator().manual_seed(seed)
        net = fill(make(), g)
        write(net.state_dict(), f"{folder}/{file}")
        classes = [m for m in net.modules() if isinstance(m, nn.Linear)][-1].out_features
        x, u = torch.rand(n, 3, side, side, generator=g), torch.randn(n, classes, generator=g)
        narrow = reference(net, x, u)
        y, gx = reference(net.double(), x.double(), u.double())
        name = file.split(".")[0]
        out |= {f"{name}.x": x, f"{name}.u": u, f"{name}.y": y, f"{name}.gx": gx}
        cases.append({"file": file, "name": name, "arch": arch, "side": side, **more})
        # How far PyTorch in f32 is from itself in f64: a ReLU whose input is near 0 is on in one and off in the other.
        off = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(narrow, (y, gx))]
        print(f"{file:24} {sum(p.numel() for p in net.parameters()):10} f32 off by {off[0]:.1e} and {off[1]:.1e}", flush=True)
    save_file({k: v.contiguous() for k, v in out.items()}, f"{folder}/nets.safetensors")
    with open(f"{folder}/nets.json", "w") as f:
        json.dump({"meta": META, "cases": cases}, f)


torch.set_num_threads(1)
if sys.argv[1:2] == ["--full"]:
    full(sys.argv[2])
else:
    small()
