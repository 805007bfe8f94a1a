"""Makes optim.safetensors: trajectories of optimizers, averages of weights and learning rates, with PyTorch in f64.

Run once, by hand; the tests read the file and never Python:
    pip install torch numpy safetensors
    python tests/golden/make_golden_optim.py           # writes beside itself

The problem. logits = tanh(x w1^T + b1) w2^T + b2 with w1 (4, 3), b1 (4,), w2 (2, 4), b2 (2,); the loss is the mean
cross-entropy over the six rows of `x` (6, 3) with labels `y` (6,) u32. `init.<param>` are the initial values and
`init.loss`, `init.g.<param>` the loss and its gradient there. Every batch is the whole data set.

The names. A step is: gradient at the current weights, (clipping), update; step k counts from 1 to 8.
    <case>.step<k>.<param>       a parameter after k updates
    <case>.loss                  (8,) the loss before each update: [k - 1] belongs to step k
    <case>.lr                    (8,) the learning rate that each update used (of the first group)
    sgd_clip[_some].norm         (8,) the gradient's L2 norm over all parameters, before clipping
    adam_ema.step<k>.ema.<param> the moving average after step k; the first call copies the weights (step 1: ema = w),
                                 afterwards ema <- 0.9 ema + 0.1 w
    sgd_swa.swa.<param>          the plain mean of the weights after steps 4, 5, 6, 7, 8
    mixup.*                      see `mixup` below

The cases (what is not named is PyTorch's default; every other value is spelled out here):
    sgd                 lr 0.1
    sgd_momentum        lr 0.1, momentum 0.9
    sgd_nesterov_wd     lr 0.1, momentum 0.9, nesterov, weight_decay 1e-2 (added to the gradient)
    adam                lr 0.05, betas (0.9, 0.999), eps 1e-8
    adam_l2             lr 0.05, betas (0.8, 0.95), eps 1e-6, weight_decay 0.1 (added to the gradient)
    adamw               lr 0.05, betas (0.9, 0.999), eps 1e-8, weight_decay 0.1 (decoupled: w <- (1 - lr wd) w before the step)
    rmsprop             lr 0.02, alpha 0.9, eps 1e-8 (outside the root)
    rmsprop_centered    lr 0.02, alpha 0.9, eps 1e-8, centered, momentum 0.9
    adamw_groups        w1, w2 as `adamw`; b1, b2 with weight_decay 0 and lr 0.1
    sgd_clip            lr 0.1, clip_grad_norm_(0.5): g <- g min(1, 0.5 / (norm + 1e-6)); every step is clipped
    sgd_clip_some       the same with 1.0: the first steps are clipped, the last are not
    adam_ema            as `adam`, with the average above
    sgd_swa             as `sgd`, with the mean above
    sgd_cosine          lr_k = 0.1 (1 + cos(pi (k - 1) / 8)) / 2       (CosineAnnealingLR, T_max = 8)
    sgd_linear          lr_k = 0.1 (1 - (k - 1) / 8)                   (LinearLR from 1 to 0 over 8)
    sgd_steps           lr_k = 0.1 0.5^floor((k - 1) / 3)              (StepLR(3, 0.5))
    sgd_warmup_cosine   lr_k = 0.1 k / 3 for k <= 3, then 0.1 (1 + cos(pi (k - 4) / 5)) / 2
"""
import math, os
import numpy as np, torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch.optim import SGD, Adam, AdamW, RMSprop, lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

HERE = os.path.dirname(os.path.abspath(__file__))
META = {"versions": f"torch {torch.__version__}, numpy {np.__version__}"}
STEPS, NAMES = 8, ["w1", "b1", "w2", "b2"]
torch.set_num_threads(1)
rng = np.random.default_rng(23)
X = torch.from_numpy(rng.standard_normal((6, 3)))
Y = torch.tensor([0, 1, 1, 0, 1, 0])
INIT = {n: torch.from_numpy(rng.standard_normal(s)) for n, s in zip(NAMES, [(4, 3), (4,), (2, 4), (2,)])}
OUT = {"x": X, "y": Y.to(torch.uint32)} | {f"init.{n}": t for n, t in INIT.items()}


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        for n in NAMES:
            setattr(self, n, torch.nn.Parameter(INIT[n].clone()))

    def forward(self, x):
        return F.linear(torch.tanh(F.linear(x, self.w1, self.b1)), self.w2, self.b2)


def params(net):
    return {n: getattr(net, n).detach().clone() for n in NAMES}


def case(name, optimizer, factor=None, reference=None, clip=None, after=None):
    """Trains; `factor(k)` with k from 0 multiplies the rate, and `reference(optimizer)` is torch's own schedule of that formula."""
    net = Net()
    opt = optimizer(net)
    sched = lr_scheduler.LambdaLR(opt, factor) if factor else None
    losses, rates, norms = [], [], []
    for k in range(1, STEPS + 1):
        opt.zero_grad()
        loss = F.cross_entropy(net(X), Y)
        loss.backward()
        if clip:
            norms.append(torch.nn.utils.clip_grad_norm_(net.parameters(), clip).item())
        losses.append(loss.item())
        rates.append(opt.param_groups[0]["lr"])
        opt.step()
        if sched:
            sched.step()
        OUT.update({f"{name}.step{k}.{n}": t for n, t in params(net).items()})
        if after:
            after(k, net)
    if reference:
        other = optimizer(Net())  # without gradients its steps do nothing
        own, by_torch = reference(other), []
        for _ in range(STEPS):
            by_torch.append(other.param_groups[0]["lr"])
            other.step()
            own.step()
        assert np.allclose(by_torch, rates, atol=1e-15, rtol=1e-12), (name, by_torch, rates)
    for what, values in (("loss", losses), ("lr", rates), ("norm", norms)):
        if values:
            OUT[f"{name}.{what}"] = torch.tensor(values, dtype=torch.float64)
    print(f"{name:20} loss {losses[0]:.4f} -> {losses[-1]:.4f}", [round(v, 3) for v in norms])


net = Net()
loss = F.cross_entropy(net(X), Y)
loss.backward()
OUT["init.loss"] = loss.reshape(1)
OUT.update({f"init.g.{n}": getattr(net, n).grad for n in NAMES})

sgd = lambda n: SGD(n.parameters(), lr=0.1)
adam = lambda n: Adam(n.parameters(), lr=0.05, betas=(0.9, 0.999), eps=1e-8)
case("sgd", sgd)
case("sgd_momentum", lambda n: SGD(n.parameters(), lr=0.1, momentum=0.9))
case("sgd_nesterov_wd", lambda n: SGD(n.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-2))
case("adam", adam)
case("adam_l2", lambda n: Adam(n.parameters(), lr=0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1))
case("adamw", lambda n: AdamW(n.parameters(), lr=0.05, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1))
case("rmsprop", lambda n: RMSprop(n.parameters(), lr=0.02, alpha=0.9, eps=1e-8))
case("rmsprop_centered", lambda n: RMSprop(n.parameters(), lr=0.02, alpha=0.9, eps=1e-8, centered=True, momentum=0.9))
case("adamw_groups", lambda n: AdamW([{"params": [n.w1, n.w2]}, {"params": [n.b1, n.b2], "weight_decay": 0.0, "lr": 0.1}],
                                     lr=0.05, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1))
case("sgd_clip", sgd, clip=0.5)
case("sgd_clip_some", sgd, clip=1.0)

ema = []


def keep_ema(k, net):
    if not ema:
        ema.append(AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9)))
    ema[0].update_parameters(net)
    OUT.update({f"adam_ema.step{k}.ema.{n}": t for n, t in params(ema[0].module).items()})


case("adam_ema", adam, after=keep_ema)
swa = []


def keep_swa(k, net):
    if k >= 4:
        if not swa:
            swa.append(AveragedModel(net))
        swa[0].update_parameters(net)


case("sgd_swa", sgd, after=keep_swa)
for n, t in params(swa[0].module).items():
    assert torch.allclose(t, sum(OUT[f"sgd_swa.step{k}.{n}"] for k in range(4, 9)) / 5, atol=1e-15)
    OUT[f"sgd_swa.swa.{n}"] = t

cosine = lambda k: 0.5 * (1 + math.cos(math.pi * k / STEPS))
case("sgd_cosine", sgd, cosine, lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=STEPS))
case("sgd_linear", sgd, lambda k: 1 - k / STEPS, lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=STEPS))
case("sgd_steps", sgd, lambda k: 0.5 ** (k // 3), lambda o: lr_scheduler.StepLR(o, 3, 0.5))
case("sgd_warmup_cosine", sgd, lambda k: (k + 1) / 3 if k < 3 else 0.5 * (1 + math.cos(math.pi * (k - 3) / (STEPS - 3))))

# mixup.lambda (6,), mixup.partner (6,) u32: row i is lambda_i x_i + (1 - lambda_i) x_partner(i), in mixup.x (6, 3), with
# the target lambda_i onehot(y_i) + (1 - lambda_i) onehot(y_partner(i)), in mixup.targets (6, 2). mixup.loss (1,) is the mean
# cross-entropy with these soft targets at the initial weights, mixup.g.<param> its gradient; mixup.logits (6, 2) and
# mixup.g.logits (6, 2) are the logits and the gradient of the loss to them.
lam = torch.tensor([1.0, 0.0, 0.5, 0.25, 0.9, 0.3], dtype=torch.float64)
partner = torch.tensor([3, 2, 0, 3, 1, 1])
hot = F.one_hot(Y, 2).double()
mix = lambda t: lam[:, None] * t + (1 - lam[:, None]) * t[partner]
net = Net()
logits = net(mix(X))
logits.retain_grad()
loss = F.cross_entropy(logits, mix(hot))
loss.backward()
OUT |= {"mixup.lambda": lam, "mixup.partner": partner.to(torch.uint32), "mixup.x": mix(X), "mixup.targets": mix(hot),
        "mixup.logits": logits, "mixup.loss": loss.reshape(1), "mixup.g.logits": logits.grad}
OUT.update({f"mixup.g.{n}": getattr(net, n).grad for n in NAMES})

tensors = {k: v.detach().contiguous().clone() for k, v in OUT.items()}
save_file(tensors, os.path.join(HERE, "optim.safetensors"), metadata=META)
print(len(tensors), "tensors", sum(t.numel() * t.element_size() for t in tensors.values()), "bytes")
