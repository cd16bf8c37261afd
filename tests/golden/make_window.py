#!/usr/bin/env python3
"""Writes what PyTorch makes of pools and of changes of size, in float64: `window.json`, for tests/golden/window.rs.

    python tests/golden/make_window.py

Every layer and option, odd shapes, batch 1: output and gradient of the input. The loss is `sum(g * y)` for a given `g`. Values are of few steps, so
that several of a window are the largest.
"""

import json
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).parent


def numbers(t):
    return [round(float(v), 12) for v in t.detach().double().flatten()]


def case(rng, name, layer, config, shape):
    draw = lambda s, steps: (torch.randn(s, generator=rng, dtype=torch.float32) * steps).round().div(steps).double()
    x = draw(shape, 2).requires_grad_()
    y = layer(x)
    g = draw(y.shape, 64)
    (y * g).sum().backward()
    return {
        "name": name,
        "config": config,
        "shape": list(shape),
        "x": numbers(x),
        "g": numbers(g),
        "weights": {},
        "start": {},
        "train": {"y": numbers(y), "grad_x": numbers(x.grad)},
        "steps": [{}, {}, {}],
    }


def row(word, layer, shape, **config):
    """The layer, and how a recipe has it."""
    return layer, {"layer": word, **config}, shape


def pool(word, kind, size, shape, **more):
    plain = lambda v: list(v) if isinstance(v, tuple) else v
    return row(word, kind(size, **more), shape, kernel_size=plain(size), **{k: plain(v) for k, v in more.items()})


def cases():
    rng = torch.Generator().manual_seed(18)
    m2, a2, m1, a1, up = "max_pool_2d", "avg_pool_2d", "max_pool_1d", "avg_pool_1d", "upsample"
    M, A, U = nn.MaxPool2d, nn.AvgPool2d, nn.Upsample
    table = {
        "max": pool(m2, M, 2, (2, 3, 6, 8)),
        "max, odd, batch 1": pool(m2, M, 2, (1, 3, 7, 5)),
        "max, overlapping": pool(m2, M, 3, (2, 4, 9, 7), stride=2, padding=1),
        "max, to the end": pool(m2, M, 3, (1, 2, 8, 7), stride=2, ceil_mode=True),
        "max, all options": pool(m2, M, (3, 2), (2, 5, 9, 10), stride=(1, 3), padding=(1, 0), dilation=(1, 2), ceil_mode=True),
        "mean": pool(a2, A, 2, (2, 3, 6, 8)),
        "mean, overlapping": pool(a2, A, 3, (1, 4, 7, 6), stride=2, padding=1),
        "mean, to the end": pool(a2, A, 3, (2, 2, 8, 7), stride=2, padding=1, ceil_mode=True),
        "mean of what is there": pool(a2, A, (3, 2), (1, 3, 8, 7), stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        "max along one axis": pool(m1, nn.MaxPool1d, 3, (2, 3, 11), stride=2, padding=1),
        "max along one axis, dilated": pool(m1, nn.MaxPool1d, 2, (1, 2, 9), dilation=3, ceil_mode=True),
        "mean along one axis": pool(a1, nn.AvgPool1d, 3, (2, 3, 11), stride=2, padding=1),
        "bins": row("adaptive_avg_pool_2d", nn.AdaptiveAvgPool2d((3, 4)), (2, 3, 7, 10), output_size=[3, 4]),
        "more bins than places": row("adaptive_avg_pool_2d", nn.AdaptiveAvgPool2d((5, 7)), (1, 2, 3, 4), output_size=[5, 7]),
        "one bin": row("adaptive_avg_pool_2d", nn.AdaptiveAvgPool2d(1), (2, 3, 5, 4), output_size=1),
        "global": row("global_avg_pool_2d", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), (2, 3, 5, 4)),
        "nearest": row(up, U(scale_factor=2), (2, 3, 4, 3), scale_factor=2, mode="nearest"),
        "nearest, each its own": row(up, U(scale_factor=(3, 2)), (1, 2, 3, 4), scale_factor=[3, 2], mode="nearest"),
        "nearest to a size": row(up, U(size=(5, 9)), (1, 3, 7, 4), size=[5, 9], mode="nearest"),
        "bilinear": row(up, U(scale_factor=2, mode="bilinear"), (2, 3, 4, 3), scale_factor=2, mode="bilinear"),
        "bilinear to a size": row(up, U(size=(5, 9), mode="bilinear"), (1, 3, 7, 4), size=[5, 9], mode="bilinear"),
        "bilinear by corners": row(
            up, U(size=(7, 9), mode="bilinear", align_corners=True), (1, 3, 4, 5), size=[7, 9], mode="bilinear", align_corners=True
        ),
    }
    return [case(rng, name, layer, config, shape) for name, (layer, config, shape) in table.items()]


if __name__ == "__main__":
    (HERE / "window.json").write_text(json.dumps(cases()) + "\n")
