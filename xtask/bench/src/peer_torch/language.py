"""The step of a language model."""
import torch
import torch.nn.functional as F
from common import DEVICE, parameters


def step(t, hidden=400, batch=20, steps=35):
    ids, after = t.pop("ids").reshape(steps, batch), t.pop("next")
    parameters(t)
    lstm = torch.nn.LSTM(hidden, hidden, 2).to(DEVICE)
    for i in range(2):
        for ours, theirs in (("input", "weight_ih"), ("recurrent", "weight_hh"), ("bias", "bias_ih")):
            getattr(lstm, f"{theirs}_l{i}").data.copy_(t.pop(f"lstm{i}.{ours}").data)
        second = getattr(lstm, f"bias_hh_l{i}")
        second.data.zero_()
        second.requires_grad_(False)  # ours has one bias
    lstm.flatten_parameters()
    opt = torch.optim.SGD([p for p in lstm.parameters() if p.requires_grad] + list(t.values()), lr=0.1)

    def step():
        opt.zero_grad(set_to_none=True)
        x, _ = lstm(F.embedding(ids, t["embedding"]))
        z = F.linear(x.reshape(-1, hidden), t["decoder.weight"], t["decoder.bias"])
        loss = F.cross_entropy(z, after)
        loss.backward()
        opt.step()
        return loss

    return step
