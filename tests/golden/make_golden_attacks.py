"""Makes the oracle values of sconce-attacks: an adversarially trained small network, and what the field's libraries reach on it.

Run once, by hand; the tests and `cargo xtask oracle` read the files and never Python:
    pip install torch numpy safetensors torchattacks foolbox pyautoattack adversarial-robustness-toolbox
    python tests/golden/make_golden_attacks.py     # writes beside itself; about half an hour on two cores
pyautoattack 0.2.0 is the authors' AutoAttack as it is packaged on PyPI. Versions are written into the file.
A row has the attack's settings, its robust accuracy over the first `examples` test images that ship (those classified
wrong count as not robust), and the mean norm of the perturbation over the images that were classified right and fooled.
"""
import importlib.metadata, json, os, time
import foolbox, numpy as np, torch, torchattacks
import torch.nn.functional as F
from pyautoattack import AutoAttack
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
from make_golden import SmallCnn, idx

VERSIONS = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in
                     ("torch", "torchattacks", "foolbox", "pyautoattack", "adversarial-robustness-toolbox", "numpy"))
torch.set_num_threads(2)
x, y = idx("train-images-idx3-ubyte.gz").float()[:, None] / 255, idx("train-labels-idx1-ubyte.gz").long()
xt, yt = (idx("t10k-images-idx3-ubyte.gz").float()[:, None] / 255).contiguous(), idx("t10k-labels-idx1-ubyte.gz").long()
# The test images ship class by class: a fixed stride of 37 mixes them (1,000 and 37 have no common divisor).
order = torch.arange(1000) * 37 % 1000
xt, yt = xt[order].contiguous(), yt[order]


def network(path, eps):
    """An adversarially trained network; the file is kept, so that rows can be added later on the same weights."""
    torch.manual_seed(11)
    net = SmallCnn((8, 16), 5, 64, False)
    if os.path.exists(path):
        net.load_state_dict({k[4:]: v for k, v in load_file(path).items()})
    else:
        opt = torch.optim.Adam(net.parameters(), 2e-3)
        epochs = 14
        for epoch in range(epochs):
            for group in opt.param_groups:
                group["lr"] = 2e-3 * (1 - epoch / epochs)
            radius = eps * min(1, (epoch + 1) / 4)
            for part in torch.randperm(len(x)).split(100):
                a, b = x[part], y[part]
                adv = a + radius * (2 * torch.rand_like(a) - 1)
                for _ in range(7):
                    adv = adv.clamp(0, 1).detach().requires_grad_()
                    g, = torch.autograd.grad(F.cross_entropy(net(adv), b), adv)
                    adv = a + (adv.detach() + radius / 3 * g.sign() - a).clamp(-radius, radius)
                opt.zero_grad()
                F.cross_entropy(net(adv.clamp(0, 1).detach()), b).backward()
                opt.step()
        save_file({f"net.{k}": v.contiguous().clone() for k, v in net.named().items()}, path, metadata={"versions": VERSIONS})
    for p in net.parameters():
        p.requires_grad_(False)
    return net.eval()


net = network(os.path.join(HERE, "attack_oracle.safetensors"), 0.1)
bounds = foolbox.PyTorchModel(net, bounds=(0, 1))
rows = []
DIST = {"linf": lambda d: d.abs().amax(1), "l2": lambda d: d.norm(dim=1), "l1": lambda d: d.abs().sum(1)}


def row(library, attack, norm, eps, n, f, min_norm=False, **settings):
    a, b = xt[:n], yt[:n]
    start = time.time()
    torch.manual_seed(0); np.random.seed(0)
    adv = f(a, b).detach()
    with torch.no_grad():
        right, fooled = net(a).argmax(1) == b, net(adv).argmax(1) != b
    d = DIST[norm]((adv - a).flatten(1))
    within = fooled & (d <= eps * (1 + 1e-5) + 1e-6)
    r = dict(library=library, attack=attack, norm=norm, eps=eps, examples=n, settings=settings, clean=right.float().mean().item(),
             robust=(right & ~within).float().mean().item(), min_norm=min_norm,
             mean=d[right & fooled].mean().item(), fooled=fooled[right].float().mean().item(), seconds=round(time.time() - start, 1))
    rows.append(r)
    print(json.dumps(r), flush=True)
    with open(os.path.join(HERE, "attack_oracle.json"), "w") as out:
        json.dump({"versions": VERSIONS, "order": "test image i of the table is image 37 i mod 1000 of those that ship", "rows": rows}, out, indent=1)


fb = lambda a, eps: lambda x, y: a(bounds, x, y, epsilons=eps)[1]
A = foolbox.attacks
N = 200
E, E2, E1 = 0.1, 1.0, 10.0
row("foolbox", "fgsm", "linf", E, N, fb(A.LinfFastGradientAttack(random_start=False), E))
row("foolbox", "fgsm", "l2", E2, N, fb(A.L2FastGradientAttack(random_start=False), E2))
row("foolbox", "pgd", "linf", E, N, fb(A.LinfProjectedGradientDescentAttack(abs_stepsize=0.01, steps=40, random_start=False), E), steps=40, step=0.01)
row("foolbox", "pgd", "l2", E2, N, fb(A.L2ProjectedGradientDescentAttack(abs_stepsize=0.1, steps=40, random_start=False), E2), steps=40, step=0.1)
row("torchattacks", "mi-fgsm", "linf", E, N, torchattacks.MIFGSM(net, eps=E, alpha=0.02, steps=10, decay=1.0), steps=10, step=0.02, decay=1.0)
row("torchattacks", "ni-fgsm", "linf", E, N, torchattacks.NIFGSM(net, eps=E, alpha=0.02, steps=10, decay=1.0), steps=10, step=0.02, decay=1.0)
row("torchattacks", "di-fgsm", "linf", E, N, torchattacks.DIFGSM(net, eps=E, alpha=0.02, steps=10, decay=1.0, resize_rate=0.9, diversity_prob=0.5), steps=10, step=0.02, decay=1.0, resize=0.9, probability=0.5)
# Its TI-FGSM is written for three channels: the network sees the first of three copies.
class First(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net
    def forward(self, a):
        return self.net(a[:, :1])
ti = torchattacks.TIFGSM(First().eval(), eps=E, alpha=0.02, steps=10, decay=1.0, kernel_name="gaussian", len_kernel=15, nsig=3, resize_rate=0.9, diversity_prob=0.0)
row("torchattacks", "ti-fgsm", "linf", E, N, lambda a, b: ti(a.repeat(1, 3, 1, 1), b)[:, :1], steps=10, step=0.02, decay=1.0, kernel=15, sigma=3)
row("torchattacks", "spsa", "linf", E, N, torchattacks.SPSA(net, eps=E, delta=0.01, lr=0.01, nb_iter=20, nb_sample=128, max_batch_size=64), delta=0.01, lr=0.01, iterations=20, samples=128)
row("foolbox", "deepfool", "l2", E2, N, fb(A.L2DeepFoolAttack(steps=50, candidates=10, overshoot=0.02, loss="logits"), None), True, steps=50, overshoot=0.02)
row("foolbox", "deepfool", "linf", E, N, fb(A.LinfDeepFoolAttack(steps=50, candidates=10, overshoot=0.02, loss="logits"), None), True, steps=50, overshoot=0.02)
row("foolbox", "ddn", "l2", E2, N, fb(A.DDNAttack(init_epsilon=1.0, steps=100, gamma=0.05), None), True, steps=100, gamma=0.05)
# Foolbox 3.3.4 leaves out its L2FMNAttack's projection (factor = norms / norms): no oracle. DDN, above, is its ancestor.
row("foolbox", "fmn", "linf", E, N, fb(A.LInfFMNAttack(steps=100), None), True, steps=100)
row("foolbox", "fmn", "l1", E1, N, fb(A.L1FMNAttack(steps=100), None), True, steps=100)
row("foolbox", "cw", "l2", E2, N, fb(A.L2CarliniWagnerAttack(binary_search_steps=6, steps=200, stepsize=0.02, confidence=0, initial_const=0.1, abort_early=True), None), True, searches=6, steps=200, step=0.02, constant=0.1)
from art.attacks.evasion import CarliniL2Method, DeepFool
from art.estimators.classification import PyTorchClassifier
art = PyTorchClassifier(net, torch.nn.CrossEntropyLoss(), (1, 28, 28), 10, clip_values=(0, 1), device_type="cpu")
row("art", "deepfool", "l2", E2, N, lambda a, b: torch.from_numpy(DeepFool(art, max_iter=50, epsilon=0.02, nb_grads=10, batch_size=N, verbose=False).generate(a.numpy())), True, steps=50, overshoot=0.02)


def auto(norm, eps, only=None):
    def f(a, b):
        adversary = AutoAttack(net, norm={"linf": "Linf", "l2": "L2", "l1": "L1"}[norm], eps=eps, version="standard", seed=0)
        adversary.verbose = False
        if only:
            adversary.attacks_to_run = [only]
        return adversary.run_standard_evaluation(a, b, batch_size=250)[0]
    return f


for norm, eps in (("linf", E), ("l2", E2), ("l1", E1)):
    for only in ("apgd-ce", "apgd-t", "fab-t", "square"):
        row("autoattack", only, norm, eps, N, auto(norm, eps, only))
row("torchattacks", "apgd-dlr", "linf", E, N, torchattacks.APGD(net, norm="Linf", eps=E, steps=100, n_restarts=1, seed=0, loss="dlr"))
row("torchattacks", "apgd-dlr", "l2", E2, N, torchattacks.APGD(net, norm="L2", eps=E2, steps=100, n_restarts=1, seed=0, loss="dlr"))
row("autoattack", "standard", "linf", E, 1000, auto("linf", E))
row("autoattack", "standard", "l2", E2, N, auto("l2", E2))
row("torchattacks", "autoattack standard", "linf", E, N, torchattacks.AutoAttack(net, norm="Linf", eps=E, version="standard", n_classes=10, seed=0))
