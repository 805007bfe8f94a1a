"""A pretraining step with several heads."""
import torch
import torch.nn.functional as F


def step(t):
    """A trunk with heads on its mean features: a pass through each head to the representation, their Gram matrix, one pass through the trunk."""
    p = {k: v for k, v in t.items() if k.startswith(("trunk", "head")) and "running" not in k}
    for v in p.values():
        v.requires_grad_()
    names = [k[2:] for k in t if k.startswith("y.")]

    def represent(x):
        x = (x - 0.5) / 0.5
        for i in (1, 2, 3):
            name = f"trunk.block{i}."
            x = F.conv2d(x, p[name + "conv1.weight"], None, 1, 1)
            stats = t[name + "bn1.running_mean"], t[name + "bn1.running_var"]
            x = F.relu(F.batch_norm(x, *stats, p[name + "bn1.weight"], p[name + "bn1.bias"], True, 0.1, 1e-5))
            if i < 3:
                x = F.avg_pool2d(x, 2)
        return x

    def step():
        z = represent(t["x"])
        cut = z.detach().requires_grad_()
        losses, gradients = [], []
        for n in names:
            own = [p[f"head.{n}.weight"], p[f"head.{n}.bias"]]
            loss = F.cross_entropy(F.linear(cut.mean((2, 3)), *own), t["y." + n])
            g, *of_head = torch.autograd.grad(loss, [cut, *own])
            for w, d in zip(own, of_head):
                w.grad = d
            losses.append(loss.item())
            gradients.append(g)
        flat = torch.stack([g.flatten() for g in gradients])
        (flat @ flat.T).tolist()
        z.backward(sum(gradients) / len(gradients))
        with torch.no_grad():
            for v in p.values():
                v -= 0.01 * v.grad
                v.grad = None
        return torch.tensor(sum(losses) / len(losses))

    return step
