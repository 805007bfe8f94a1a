"""Single operations, and a small autoencoder."""
import torch
import torch.nn.functional as F
from common import parameters


def matmul(t):
    return lambda: (t["a"] @ t["b"])[0, 0]


def conv(t, kind):
    x, w, g = t["x"], t["w"], t["g"]
    p = w.shape[2] // 2
    back = lambda mask: torch.ops.aten.convolution_backward(g, x, w, None, [1, 1], [p, p], [1, 1], False, [0, 0], 1, mask)
    run = {"fwd": lambda: F.conv2d(x, w, None, 1, p), "in": lambda: back([True, False, False])[0],
           "weight": lambda: back([False, True, False])[1]}[kind]
    return lambda: run().flatten()[0]


def conv_fwd(t):
    return conv(t, "fwd")


def conv_in(t):
    return conv(t, "in")


def conv_weight(t):
    return conv(t, "weight")


def nll(t):
    z, y = t["z"].requires_grad_(), t["y"]

    def step():
        z.grad = None
        loss = F.nll_loss(F.log_softmax(z, 1), y)
        loss.backward()
        return loss

    return step


def sigsoftmax_nll(t):
    z, y = t["z"].requires_grad_(), t["y"]

    def step():
        z.grad = None
        loss = F.nll_loss(F.log_softmax(z + F.logsigmoid(z), 1), y)
        loss.backward()
        return loss

    return step


def autoencoder(t):
    x = t.pop("x")
    opt = torch.optim.Adam(parameters(t), lr=1e-3)

    def step():
        opt.zero_grad(set_to_none=True)
        h = x
        for i in range(6):
            h = F.linear(h, t[f"l{i}.weight"], t[f"l{i}.bias"])
            h = F.relu(h) if i < 5 else torch.sigmoid(h)
        loss = F.mse_loss(h, x)
        loss.backward()
        opt.step()
        return loss

    return step
