"""Makes the files of this folder from good.safetensors and good.npz: what PyTorch and numpy write in the ways that people use them.

Python 3.11, torch 2.15, numpy 2.4, safetensors 0.6: `python make.py`, in this folder. The tests read the files; they run no Python.
"""
import argparse, collections, copy, pickle, sys
import numpy as np, torch
from safetensors.torch import load_file
from torch import nn


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(8, 4), nn.Linear(4, 4)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


class Normalize(nn.Module):
    def __init__(self, mean, std):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x):
        return (x - self.mean) / self.std


class Both(nn.Module):
    def __init__(self, normalize, model):
        super().__init__()
        self.normalize, self.model = normalize, model


sd = collections.OrderedDict(load_file("good.safetensors"))
order = ["conv1", "conv2", "fc1", "fc2"]
sd = collections.OrderedDict((f"{n}.{k}", sd[f"{n}.{k}"]) for n in order for k in ["weight", "bias"])
net = Small()
net.load_state_dict(sd)
# Trained without it, the network is right on 9 of 12 images behind a normalising layer, and on 12 without.
worse = collections.OrderedDict((k, -v) for k, v in sd.items())


def under(prefix, d=sd):
    return collections.OrderedDict((prefix + k, v) for k, v in d.items())


adam = torch.optim.Adam(net.parameters())
loss = net(torch.rand(2, 1, 8, 8)).sum()
loss.backward()
adam.step()
net.load_state_dict(sd)

save = torch.save
save({"epoch": 7, "state_dict": under("module."), "best_acc1": torch.tensor(88.5)}, "tensor_beside_state_dict.pth")
save({"state_dict": sd}, "model_best.pth.tar")
save(sd, "weights.pkl")
save(sd, "weights_without_ending")
save(sd, "legacy.pth", _use_new_zipfile_serialization=False)
save(copy.deepcopy(net).to(memory_format=torch.channels_last).state_dict(), "channels_last.pth")
save(under("_orig_mod."), "compiled.pth")
save(under("module._orig_mod."), "compiled_ddp.pth")
save(torch.optim.swa_utils.AveragedModel(net).state_dict(), "averaged.pth")
save(Both(Normalize([0.5], [0.25]), net).state_dict(), "normalize_and_model.pth")
save(nn.Sequential(Normalize([127.5], [63.75]), net).state_dict(), "sequential_255.pth")
save({"state_dict": under("model."), "pytorch-lightning_version": "2.0"}, "lightning.ckpt")
save({"ema_state_dict": sd}, "ema_only.pth")
save(net, "whole_module.pth")
save({"model": net, "epoch": 3}, "module_inside.pth")
torch.jit.script(net).save("scripted.pt")
everything = {"epoch": 3, "args": argparse.Namespace(lr=0.1), "optimizer": adam.state_dict(), "model_ema": worse, "model": sd, "best": np.float64(0.5)}
save(everything, "ema_beside.pth")
save(everything, "legacy_everything.pth", _use_new_zipfile_serialization=False)
save({**under("model."), **under("model_ema.", worse)}, "ema_in_one.pth")
save([{"checkpoint": {"state": {"net": under("0.")}}}], "nested.pth")
save({k: v.half() for k, v in sd.items()}, "half.pth")
save({k: v.bfloat16() for k, v in sd.items()}, "bfloat16.pth")
save({k: v.double() for k, v in sd.items()}, "double.pth")
save({k: nn.Parameter(v) for k, v in sd.items()}, "parameters.pth")
save(sd, "protocol4.pth", pickle_protocol=4)
flat = torch.cat([v.flatten() for v in sd.values()])
sizes = [v.numel() for v in sd.values()]
save({k: f.view_as(v) for (k, v), f in zip(sd.items(), flat.split(sizes))}, "views.pth")
with open("python.pkl", "wb") as f:
    pickle.dump(sd, f)

data = np.load("good.npz")
x, y = data["x"], data["y"]
np.savez_compressed("compressed.npz", x=x, y=y)
np.savez("fortran.npz", x=np.asfortranarray(x), y=y)
np.savez("bigendian.npz", x=x.astype(">f4"), y=y)
np.savez("labels_i8.npz", x=x, y=y.astype("i1"))
np.savez("strings_beside.npz", x=x, y=y, names=np.array(list("abcdefghijkl")))
np.savez("x_test_y_test.npz", x_test=x, y_test=y)
np.savez("images_labels.npz", images=x, labels=y)
np.savez("labels_n1.npz", x=x, y=y[:, None])
ulp = x.copy()
ulp[0, 0, 0, 0] = np.nextafter(np.float32(1), np.float32(2))
np.savez("ulp_above_1.npz", x=ulp, y=y)
np.savez("float_0_255.npz", x=x * 255, y=y)
np.savez("hwc.npz", x=x.transpose(0, 2, 3, 1), y=y)
np.savez("all_labels_wrong.npz", x=x, y=(y + 1) % 4)
np.savez_compressed("bytes.npz", x=(x * 255).round().astype("u1"), y=y.astype("f4"))
np.savez_compressed("everything.npz", Images=np.asfortranarray(x.astype(">f8")), TARGETS=y.astype(">u2")[:, None], meta=np.array([{"a": 1}], dtype=object))
np.savez_compressed("half.npz", x=x.astype("f2"), y=y.astype("u8"))
np.savez_compressed("integers.npz", x=(x * 255).round().astype("i8"), y=y.astype("i2"))
np.savez_compressed("one_hot.npz", x=x, y=np.eye(4, dtype="f4")[y])
np.savez_compressed("standardised.npz", x=(x - 0.5) / 0.25, y=y)
np.savez_compressed("minus_1_to_1.npz", x=x * 2 - 1, y=y)
np.savez_compressed("u16.npz", x=(x * 65535).astype("u2"), y=y)
np.savez_compressed("binary.npz", x=(x > 0.5).astype("u1"), y=y)
np.savez_compressed("flat.npz", x=x.reshape(12, 64), y=y)
np.savez_compressed("no_channel.npz", x=x[:, 0], y=y)
np.savez_compressed("train_and_test.npz", x_train=x[:2], y_train=y[:2], x_test=x, y_test=y)
np.save("x_test.npy", x)
np.save("y_test.npy", y)
