#!/usr/bin/env python3
"""Writes what PyTorch makes of the normalisation layers, for tests/golden_normalisation.rs.

    python tests/golden/make_normalisation.py

| File                        | What is in it                                                                       |
|-----------------------------|-------------------------------------------------------------------------------------|
| `normalisation.json`        | every layer: output and gradients in both modes, running statistics after each step |
| `normalisation.safetensors` | a network with BatchNorm1d after three batches of training mode, the last ragged    |

All in float64, but for the safetensors file, which is float32 as users save it. The loss is `sum(g * y)` for a given `g`.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).parent


def numbers(t):
    return [float(v) for v in t.detach().double().flatten()]


def run(layer, x, g):
    """Output, and gradients of all parameters and of the input."""
    x = x.clone().requires_grad_()
    for p in layer.parameters():
        p.grad = None
    y = layer(x)
    (y * g).sum().backward()
    out = {"y": numbers(y), "grad_x": numbers(x.grad)}
    for name, p in layer.named_parameters():
        out[f"grad_{name}"] = numbers(p.grad)
    return out


def case(layer, name, config, shape, rng):
    layer = layer.double()
    draw = lambda s: torch.randn(s, generator=rng, dtype=torch.float32).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(draw(p.shape))
        for n, b in layer.named_buffers():
            if n == "running_mean":
                b.copy_(draw(b.shape))
            if n == "running_var":
                b.copy_(draw(b.shape).square() + 0.5)
    # away from mean 0 and variance 1
    x, g = draw(shape) * 3 + 1.5, draw(shape)
    x = x.float().double()
    start = {n: numbers(b) for n, b in layer.named_buffers()}
    weights = {n: numbers(p) for n, p in layer.named_parameters()}
    layer.eval()
    evaluated = run(layer, x, g)
    layer.train()
    steps = []
    for step in range(3):
        trained = run(layer, x, g)
        steps.append({n: numbers(b) for n, b in layer.named_buffers()})
    return {
        "name": name,
        "config": config,
        "shape": list(shape),
        "x": numbers(x),
        "g": numbers(g),
        "weights": weights,
        "start": start,
        "eval": evaluated,
        "train": trained,
        "steps": steps,
    }


def cases():
    rng = torch.Generator().manual_seed(4)
    bn = {"layer": "batch_norm_1d"}
    out = [
        case(nn.BatchNorm1d(5), "BatchNorm1d", bn, (6, 5), rng),
        case(nn.BatchNorm1d(3), "BatchNorm1d of sequences", bn, (4, 3, 7), rng),
        case(nn.BatchNorm1d(4, eps=1e-2, momentum=0.3), "BatchNorm1d, eps and momentum", {**bn, "eps": 1e-2, "momentum": 0.3}, (2, 4), rng),
        case(nn.BatchNorm1d(4, momentum=None), "BatchNorm1d, plain average", {**bn, "momentum": None}, (5, 4), rng),
        case(nn.BatchNorm1d(3, affine=False), "BatchNorm1d without parameters", {**bn, "affine": False}, (5, 3), rng),
        case(
            nn.BatchNorm1d(3, track_running_stats=False),
            "BatchNorm1d without running averages",
            {**bn, "track_running_stats": False},
            (5, 3),
            rng,
        ),
        case(nn.LayerNorm(7), "LayerNorm", {"layer": "layer_norm"}, (4, 7), rng),
        case(nn.LayerNorm((3, 5)), "LayerNorm of two axes", {"layer": "layer_norm", "axes": 2}, (4, 3, 5), rng),
        case(nn.LayerNorm(6, eps=1e-3, bias=False), "LayerNorm without bias", {"layer": "layer_norm", "eps": 1e-3, "bias": False}, (2, 3, 6), rng),
        case(nn.LayerNorm(6, elementwise_affine=False), "LayerNorm without parameters", {"layer": "layer_norm", "elementwise_affine": False}, (3, 6), rng),
        case(nn.RMSNorm(7, eps=torch.finfo(torch.float32).eps), "RMSNorm", {"layer": "rms_norm"}, (4, 7), rng),
        case(nn.RMSNorm((3, 5), eps=1e-2), "RMSNorm of two axes", {"layer": "rms_norm", "axes": 2, "eps": 1e-2}, (4, 3, 5), rng),
        case(nn.GroupNorm(2, 6), "GroupNorm", {"layer": "group_norm", "num_groups": 2}, (4, 6), rng),
        case(nn.GroupNorm(3, 6), "GroupNorm of sequences", {"layer": "group_norm", "num_groups": 3}, (2, 6, 5), rng),
        case(nn.GroupNorm(1, 4, eps=1e-2, affine=False), "GroupNorm of one group", {"layer": "group_norm", "num_groups": 1, "eps": 1e-2, "affine": False}, (3, 4, 2), rng),
    ]
    return out


def network():
    """Linear, BatchNorm1d, ReLU, Linear: three batches of 20 rows by 8 in training mode, without updates; then evaluation."""
    torch.manual_seed(5)
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
    x = torch.randn(20, 4) * 2 + 1
    before = {n: numbers(t) for n, t in net.state_dict().items()}
    start = {n: t.clone() for n, t in net.state_dict().items()}
    net.train()
    for rows in x.split(8):
        net(rows)
    save_file({n: t.contiguous() for n, t in net.state_dict().items()}, HERE / "normalisation.safetensors")
    after = {n: numbers(t) for n, t in net.named_buffers()}
    double = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2)).double()
    double.load_state_dict({n: (t.double() if t.is_floating_point() else t) for n, t in net.state_dict().items()})
    double.eval()
    return {"x": numbers(x), "start": before, "buffers": after, "y": numbers(double(x.double()))}


if __name__ == "__main__":
    with open(HERE / "normalisation.json", "w") as f:
        json.dump({"layers": cases(), "network": network()}, f)
        f.write("\n")
