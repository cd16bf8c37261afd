#!/usr/bin/env python3
"""Writes `optimizer_groups.json`: 50 updates of two groups of parameters by every optimizer, with what stands around them.

    pip install torch numpy
    python tests/golden/make_optimizers.py

Two parameters, `a` [4, 3] and `b` [5], in a group each with a learning rate and a weight decay of its own. Gradients are given in the file: step
`t` has the gradients `gradients[t % len]`. PyTorch computes in float64 where it has the rule; Lion and LAMB are written out below from their papers.
Float32 rounding of what gradus reads (parameters, gradients) is done here, so that both begin with the same numbers.

Each case: `kwargs` of gradus' optimizer, `groups` (multiplier of the learning rate, weight decay) of `a` and `b`, `clip_norm`, `clip_value`, `ema`,
and after the 1st, 10th, 25th and 50th update: parameters, the average (where there is one) and the norm of the gradients before clipping.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch

STEPS = 50
GIVEN = 25
SEEN = (1, 10, 25, 50)


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, algorithm 2."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                u = torch.sign(b1 * m + (1 - b1) * p.grad)
                m.copy_(b2 * m + (1 - b2) * p.grad)
                p.sub_(group["lr"] * (u + group["weight_decay"] * p))


class Lamb(torch.optim.Optimizer):
    """You et al. 2020, algorithm 2, with phi the identity; a ratio of 1 where a norm is 0."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                s = self.state[p]
                t = s["t"] = s.get("t", 0) + 1
                m = s.setdefault("m", torch.zeros_like(p))
                v = s.setdefault("v", torch.zeros_like(p))
                m.copy_(b1 * m + (1 - b1) * p.grad)
                v.copy_(b2 * v + (1 - b2) * p.grad**2)
                r = m / (1 - b1**t) / (torch.sqrt(v / (1 - b2**t)) + group["eps"])
                u = r + group["weight_decay"] * p
                of_p, of_u = p.norm().item(), u.norm().item()
                ratio = of_p / of_u if of_p > 0 and of_u > 0 else 1.0
                p.sub_(group["lr"] * ratio * u)


CLASSES = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "lion": Lion,
    "lamb": Lamb,
}

# name, kwargs of all, (multiplier, decay) of `b`, what stands around
CASES = [
    ("sgd", dict(lr=0.05, weight_decay=0.01), (0.5, 0.0), {}),
    ("sgd", dict(lr=0.05, momentum=0.9, dampening=0.1, weight_decay=0.01), (0.5, 0.1), {}),
    ("sgd", dict(lr=0.05, momentum=0.9, nesterov=True), (2.0, 0.1), {}),
    ("adam", dict(lr=0.01, weight_decay=0.1), (0.5, 0.0), {}),
    ("adam", dict(lr=0.01, amsgrad=True), (0.5, 0.3), {}),
    ("adamw", dict(lr=0.01, betas=(0.8, 0.99), weight_decay=0.1), (0.1, 0.0), {}),
    ("adamw", dict(lr=0.01, amsgrad=True), (0.5, 0.3), {}),
    ("rmsprop", dict(lr=0.01), (0.5, 0.1), {}),
    ("rmsprop", dict(lr=0.01, alpha=0.9, momentum=0.8, centered=True, weight_decay=0.1), (0.5, 0.0), {}),
    ("adagrad", dict(lr=0.1), (0.5, 0.1), {}),
    ("adagrad", dict(lr=0.1, lr_decay=0.1, initial_accumulator_value=0.3, weight_decay=0.1), (0.5, 0.0), {}),
    ("lion", dict(lr=0.01, weight_decay=0.1), (0.5, 0.3), {}),
    ("lamb", dict(lr=0.01), (0.5, 0.0), {}),
    ("sgd", dict(lr=0.05, momentum=0.9), (0.5, 0.1), dict(clip_norm=1.0)),
    ("adam", dict(lr=0.01), (0.5, 0.1), dict(clip_norm=2.5)),
    ("sgd", dict(lr=0.05, momentum=0.9), (0.5, 0.1), dict(clip_value=0.4)),
    ("adamw", dict(lr=0.01), (0.5, 0.0), dict(ema=0.9)),
    ("adam", dict(lr=0.01, amsgrad=True), (0.5, 0.1), dict(ema=0.95)),
    ("lamb", dict(lr=0.01), (0.5, 0.0), dict(ema=0.9, clip_norm=1.0)),
]


def f32(x):
    return np.asarray(x, np.float32).astype(np.float64)


def run(name, kwargs, other, around, start, gradients):
    params = {k: torch.nn.Parameter(torch.tensor(v)) for k, v in start.items()}
    decay = CLASSES[name](params.values(), **kwargs).defaults["weight_decay"]
    groups = [
        dict(params=[params["a"]]),
        dict(params=[params["b"]], lr=kwargs["lr"] * other[0], weight_decay=other[1]),
    ]
    optimizer = CLASSES[name](groups, **kwargs)
    update = torch.optim.swa_utils.get_ema_multi_avg_fn(around["ema"]) if "ema" in around else None
    seen = []
    for step in range(STEPS):
        for k, p in params.items():
            p.grad = torch.tensor(gradients[step % GIVEN][k])
        norm = math.sqrt(sum(p.grad.square().sum().item() for p in params.values()))
        if "clip_norm" in around:
            torch.nn.utils.clip_grad_norm_(params.values(), around["clip_norm"])
        if "clip_value" in around:
            torch.nn.utils.clip_grad_value_(params.values(), around["clip_value"])
        optimizer.step()
        if update and step == 0:  # as AveragedModel.update_parameters
            average = {k: p.detach().clone() for k, p in params.items()}
        elif update:
            update(list(average.values()), [p.detach() for p in params.values()], step + 1)
        if step + 1 in SEEN:
            flat = {k: p.detach().flatten().tolist() for k, p in params.items()}
            averages = {k: p.flatten().tolist() for k, p in average.items()} if update else None
            seen.append(dict(step=step + 1, params=flat, average=averages, norm=norm))
    return dict(
        name=name, kwargs=kwargs, groups=dict(a=[1.0, decay], b=list(other)), seen=seen, **around
    )


def main():
    rng = np.random.default_rng(11)
    shapes = dict(a=(4, 3), b=(5,))
    start = {k: f32(rng.normal(size=s)) for k, s in shapes.items()}
    scale = lambda t: 1.0 + 0.8 * math.sin(t)
    gradients = [{k: f32(rng.normal(size=s) * scale(t) * 0.5) for k, s in shapes.items()} for t in range(GIVEN)]
    cases = [run(*case, start, gradients) for case in CASES]
    flat = lambda d: {k: v.flatten().tolist() for k, v in d.items()}
    value = dict(torch=torch.__version__, start=flat(start), gradients=[flat(g) for g in gradients], cases=cases)
    path = Path(__file__).parent / "optimizer_groups.json"
    path.write_text(json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n")
    print(path, path.stat().st_size)


main()
