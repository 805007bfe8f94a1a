"""Classifiers of images: training steps, gradients to the input."""
import torch
import torch.nn.functional as F
from common import parameters
from nets import mobilenet_v2, resnet, resnet50, small_cnn


def train(t, forward):
    x, y = t.pop("x"), t.pop("y")
    opt = torch.optim.SGD(parameters(t), lr=0.01, momentum=0.9)

    def step():
        opt.zero_grad(set_to_none=True)
        loss = F.cross_entropy(forward(t, x), y)
        loss.backward()
        opt.step()
        return loss

    return step


def input_gradient(t, forward):
    x, y = t.pop("x"), t.pop("y")

    def step():
        at = x.clone().requires_grad_()
        loss = F.cross_entropy(forward(t, at), y, reduction="sum")
        torch.autograd.grad(loss, at)
        return loss

    return step


def small_cnn_train(t):
    return train(t, small_cnn)


def small_cnn_input_gradient(t):
    return input_gradient(t, small_cnn)


def resnet_train(t):
    return train(t, lambda p, x: resnet(p, x, True))


def mobilenet_train(t):
    return train(t, mobilenet_v2)


def resnet50_input_gradient(t):
    return input_gradient(t, resnet50)
