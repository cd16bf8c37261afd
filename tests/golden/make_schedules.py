#!/usr/bin/env python3
"""Writes schedules.json: the learning rates of PyTorch's schedulers over 200 updates.

    pip install torch
    python tests/golden/make_schedules.py

Each case holds the schedule as gradus' recipes do, and what the optimizer's rate is after 0, 1, 2, .. calls of
`scheduler.step()`: the rate of update 0, 1, 2, ..
"""

import json
import warnings
from pathlib import Path

import torch
from torch.optim import lr_scheduler as s

UPDATES = 200
LR = 0.1


def rates(make, lr=LR):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr, momentum=0.9)
    scheduler = make(optimizer)
    out = []
    for t in range(UPDATES):
        out.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if t + 1 < UPDATES:
            scheduler.step()
    return out


def one_cycle(lr=LR, total=UPDATES, **kw):
    make = lambda o: s.OneCycleLR(o, max_lr=lr, total_steps=total, cycle_momentum=False, **kw)
    return {"schedule": "one_cycle", "max_lr": lr, "total": total, **kw}, make


def warmup(n, factor, then, make_then):
    def make(o):
        up = s.LinearLR(o, start_factor=factor, end_factor=1.0, total_iters=n)
        return s.SequentialLR(o, [up, make_then(o)], milestones=[n])

    return {"schedule": "warmup", "updates": n, "start_factor": factor, "then": then}, make


def plain(name, make, **kw):
    return {"schedule": name, "lr": LR, **kw}, lambda o: make(o, **kw)


cases = [
    (LR, lambda o: s.ConstantLR(o, factor=1.0)),
    plain("step", s.StepLR, step_size=30),
    plain("step", s.StepLR, step_size=7, gamma=0.8),
    plain("multi_step", s.MultiStepLR, milestones=[20, 90, 91, 160, 160], gamma=0.5),
    plain("exponential", s.ExponentialLR, gamma=0.97),
    ({"schedule": "polynomial", "lr": LR, "total": 150}, lambda o: s.PolynomialLR(o, total_iters=150)),
    ({"schedule": "polynomial", "lr": LR, "total": 200, "power": 2.5}, lambda o: s.PolynomialLR(o, total_iters=200, power=2.5)),
    ({"schedule": "cosine", "lr": LR, "t_max": 199}, lambda o: s.CosineAnnealingLR(o, T_max=199)),
    ({"schedule": "cosine", "lr": LR, "t_max": 250, "eta_min": 0.003}, lambda o: s.CosineAnnealingLR(o, T_max=250, eta_min=0.003)),
    ({"schedule": "cosine_restarts", "lr": LR, "t_0": 23}, lambda o: s.CosineAnnealingWarmRestarts(o, T_0=23)),
    (
        {"schedule": "cosine_restarts", "lr": LR, "t_0": 10, "t_mult": 3, "eta_min": 0.01},
        lambda o: s.CosineAnnealingWarmRestarts(o, T_0=10, T_mult=3, eta_min=0.01),
    ),
    one_cycle(),
    one_cycle(anneal_strategy="linear", pct_start=0.41, div_factor=10.0, final_div_factor=100.0),
    one_cycle(three_phase=True),
    one_cycle(three_phase=True, anneal_strategy="linear", pct_start=0.23, total=211),
    warmup(20, 0.25, LR, lambda o: s.ConstantLR(o, factor=1.0)),
    warmup(37, 1 / 38, {"schedule": "cosine", "lr": LR, "t_max": 163}, lambda o: s.CosineAnnealingLR(o, T_max=163)),
    warmup(5, 0.1, {"schedule": "step", "lr": LR, "step_size": 40}, lambda o: s.StepLR(o, step_size=40)),
]

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    out = [{"schedule": schedule, "rates": rates(make)} for schedule, make in cases]
    path = Path(__file__).parent / "schedules.json"
    path.write_text("[\n" + ",\n".join(json.dumps(c) for c in out) + "\n]\n")
    print(f"{path}: {len(out)} schedules")
