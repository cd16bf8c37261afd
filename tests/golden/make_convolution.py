#!/usr/bin/env python3
"""Writes what PyTorch makes of convolutional layers, in float64: `convolution.json`, for tests/golden/convolution.rs.

    python tests/golden/make_convolution.py

Every layer and option, odd shapes, batch 1: output, gradients of input, weight and bias. The loss is `sum(g * y)` for a given `g`.
"""

import json
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).parent


def numbers(t):
    return [round(float(v), 12) for v in t.detach().double().flatten()]


def case(rng, name, layer, config, shape):
    layer = layer.double()
    draw = lambda s: (torch.randn(s, generator=rng, dtype=torch.float32) * 64).round().div(64).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(draw(p.shape))
    x = draw(shape).requires_grad_()
    y = layer(x)
    g = draw(y.shape)
    (y * g).sum().backward()
    trained = {"y": numbers(y), "grad_x": numbers(x.grad)}
    for n, p in layer.named_parameters():
        trained[f"grad_{n}"] = numbers(p.grad)
    return {
        "name": name,
        "config": config,
        "shape": list(shape),
        "x": numbers(x),
        "g": numbers(g),
        "weights": {n: numbers(p) for n, p in layer.named_parameters()},
        "start": {},
        "train": trained,
        "steps": [{}, {}, {}],
    }


def conv(word, kind, channels, out, size, shape, **more):
    """The layer, and how a recipe has it."""
    named = {k: list(v) if isinstance(v, tuple) else v for k, v in more.items()}
    config = {"layer": word, "out_channels": out, "kernel_size": list(size) if isinstance(size, tuple) else size, **named}
    return kind(channels, out, size, **more), config, shape


def cases():
    rng = torch.Generator().manual_seed(18)
    c2, c1, ct = "conv_2d", "conv_1d", "conv_transpose_2d"
    table = {
        "plain": conv(c2, nn.Conv2d, 3, 4, 3, (2, 3, 6, 5)),
        "of one place, batch 1": conv(c2, nn.Conv2d, 5, 3, 1, (1, 5, 3, 4)),
        "without a bias": conv(c2, nn.Conv2d, 2, 3, (2, 3), (2, 2, 4, 5), bias=False),
        "padded and strided": conv(c2, nn.Conv2d, 4, 5, 3, (1, 4, 7, 8), stride=2, padding=1),
        "each its own": conv(c2, nn.Conv2d, 2, 3, (3, 2), (2, 2, 9, 7), stride=(2, 3), padding=(1, 0), dilation=(2, 1)),
        "same": conv(c2, nn.Conv2d, 3, 2, (4, 3), (1, 3, 5, 6), padding="same", dilation=(1, 2)),
        "in groups": conv(c2, nn.Conv2d, 6, 9, 3, (2, 6, 4, 5), padding=1, groups=3),
        "depthwise": conv(c2, nn.Conv2d, 4, 8, 3, (2, 4, 5, 6), padding=1, groups=4, stride=2),
        "strided past its kernel": conv(c2, nn.Conv2d, 3, 4, 1, (2, 3, 5, 5), stride=3),
        "of 7 x 7": conv(c2, nn.Conv2d, 3, 4, 7, (1, 3, 11, 10), stride=2, padding=3),
        "along one axis": conv(c1, nn.Conv1d, 3, 4, 5, (2, 3, 11), stride=2, padding=2),
        "along one axis, dilated": conv(c1, nn.Conv1d, 4, 4, 3, (1, 4, 9), dilation=2, groups=2),
        "transposed": conv(ct, nn.ConvTranspose2d, 3, 4, 2, (2, 3, 4, 3), stride=2),
        "transposed, all options": conv(
            ct, nn.ConvTranspose2d, 4, 6, 3, (1, 4, 3, 4), stride=2, padding=1, output_padding=1, groups=2, dilation=2
        ),
    }
    return [case(rng, name, layer, config, shape) for name, (layer, config, shape) in table.items()]


if __name__ == "__main__":
    (HERE / "convolution.json").write_text(json.dumps(cases()) + "\n")
