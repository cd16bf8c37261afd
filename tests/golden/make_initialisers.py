#!/usr/bin/env python3
"""Writes initialisers.json: moments of the values that PyTorch's initialisers draw.

    pip install torch
    python tests/golden/make_initialisers.py

Each case holds the initialiser as gradus' recipes do, a shape, and over 400,000 elements or more, drawn in float64:
mean, standard deviation, fourth moment over the square of the second (3 for a normal, 1.8 for a uniform distribution), greatest
magnitude. PyTorch has no LeCun initialiser: there the file holds `trunc_normal_` and `uniform_` with the deviation of Keras'
documentation. Orthogonal matrices also hold their greatest difference from `W W^T = gain^2`.
"""

import json
import math
from pathlib import Path

import torch
from torch.nn import init

SHAPE = [60, 40, 3, 5]
LEAST = 400_000
CUT = 0.87962566103423978


def lecun_normal(w):
    std = 1 / math.sqrt(w[0].numel()) / CUT
    return init.trunc_normal_(w, 0, std, -2 * std, 2 * std)


def lecun_uniform(w):
    bound = math.sqrt(3 / w[0].numel())
    return init.uniform_(w, -bound, bound)


def linear(which):
    def make(w):
        layer = torch.nn.Linear(w.shape[1], w.shape[0], dtype=torch.float64)
        return getattr(layer, which).detach()

    return make


tanh, relu = init.calculate_gain("tanh"), init.calculate_gain("relu")
cases = [
    ({"uniform": 0.3}, SHAPE, lambda w: init.uniform_(w, -0.3, 0.3)),
    ({"normal": 0.7}, SHAPE, lambda w: init.normal_(w, 0, 0.7)),
    ({"normal_around": {"mean": 1.5, "std": 0.2}}, SHAPE, lambda w: init.normal_(w, 1.5, 0.2)),
    ({"truncated_normal": {"mean": 0.0, "std": 1.0, "low": -2.0, "high": 2.0}}, SHAPE, init.trunc_normal_),
    (
        {"truncated_normal": {"mean": 0.5, "std": 1.0, "low": 0.0, "high": 0.75}},
        SHAPE,
        lambda w: init.trunc_normal_(w, 0.5, 1.0, 0.0, 0.75),
    ),
    ({"xavier_uniform": "tanh"}, SHAPE, lambda w: init.xavier_uniform_(w, tanh)),
    ({"xavier_normal": "linear"}, SHAPE, init.xavier_normal_),
    ({"kaiming_uniform": {"fan": "in", "gain": "relu"}}, SHAPE, lambda w: init.kaiming_uniform_(w, nonlinearity="relu")),
    (
        {"kaiming_normal": {"fan": "out", "gain": {"leaky_relu": 0.2}}},
        SHAPE,
        lambda w: init.kaiming_normal_(w, 0.2, "fan_out", "leaky_relu"),
    ),
    ("lecun_uniform", SHAPE, lecun_uniform),
    ("lecun_normal", SHAPE, lecun_normal),
    ({"orthogonal": "relu"}, [60, 600], lambda w: init.orthogonal_(w, relu)),
    ({"orthogonal": "linear"}, [64, 64], init.orthogonal_),
    ({"orthogonal": "tanh"}, [90, 5, 3], lambda w: init.orthogonal_(w, tanh)),
    ("pytorch linear weight", [70, 90], linear("weight")),
    ("pytorch linear bias", [70, 90], linear("bias")),
]


def row(what, shape, make):
    drawn, off, count = [], 0.0, 0
    while count < LEAST:
        w = make(torch.empty(shape, dtype=torch.float64))
        if "orthogonal" in what:
            m = w.flatten(1)
            m = m if m.shape[0] <= m.shape[1] else m.T
            square = m @ m.T
            off = max(off, (square - square[0, 0] * torch.eye(len(m), dtype=torch.float64)).abs().max().item())
        drawn.append(w.flatten())
        count += w.numel()
    x = torch.cat(drawn)
    c = x - x.mean()
    var = (c**2).mean().item()
    kurtosis = (c**4).mean().item() / var**2
    out = {"init": what, "shape": shape, "mean": x.mean().item(), "std": math.sqrt(var), "kurtosis": kurtosis, "reach": x.abs().max().item()}
    return out | ({"off": off, "square": square[0, 0].item()} if "orthogonal" in what else {})


if __name__ == "__main__":
    torch.manual_seed(1)
    rows = [row(*c) for c in cases]
    path = Path(__file__).parent / "initialisers.json"
    path.write_text("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")
    print(f"{path}: {len(rows)} initialisers")
