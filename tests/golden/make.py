#!/usr/bin/env python3
"""Writes the golden files of this folder: what PyTorch computes, for gradus to be compared with.

    pip install torch numpy safetensors
    python tests/golden/make.py --data DIR      # DIR holds mnist/train-*-ubyte.gz

| file                          | holds                                                          |
| ----------------------------- | -------------------------------------------------------------- |
| `NAME.safetensors`            | a network's weights before training, in PyTorch's names/layout |
| `NAME.json`                   | the 200 training steps that follow from them                   |
| `regression_data.safetensors` | the data `regression` trains on: `x` [512, 8], `y` [512, 3]    |
| `optimizers.json`             | 50 updates of one parameter vector by every optimizer          |
| `activations.json`            | values and derivatives of the activations                      |
| `formulas.json`               | values and gradients of functions of two, ties too             |
| `classifiers.json`            | log-softmax, cross-entropy with smoothed labels                |

NAME is `article` (MNIST classifier, Adam) or `regression` (Tanh and GELU, Nesterov SGD).
Both read their data in order, unshuffled, and start over at its end. Training is float32
on the CPU. A float32 number is written as the float64 of the same value, so nothing is
lost in the decimal text. Norms are summed in float64.
"""

import argparse
import gzip
import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

STEPS = 200


def idx(path):
    """Reads a gzipped idx file of unsigned bytes."""
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = np.frombuffer(raw, ">i4", count=rank, offset=4)
    pixels = np.frombuffer(raw, np.uint8, offset=4 + 4 * rank)
    return torch.from_numpy(pixels.reshape(shape).copy())


def mnist(data):
    """MNIST's training set: pixels/255 as [60000, 784] and integer labels."""
    images = idx(data / "mnist" / "train-images-idx3-ubyte.gz")
    labels = idx(data / "mnist" / "train-labels-idx1-ubyte.gz")
    return images.flatten(1).float() / 255, labels.long()


def synthetic():
    """512 rows of 8 normal features; 3 smooth targets with a little noise."""
    rng = torch.Generator().manual_seed(7)
    x = torch.randn(512, 8, generator=rng)
    a, b, c, d, e, f, g, h = x.unbind(1)
    y = torch.stack(
        [
            torch.sin(a) + 0.5 * b * c,
            torch.tanh(d - e) + 0.3 * f,
            torch.exp(-0.5 * g * g) - 0.4 * h + 0.2 * torch.cos(a + d),
        ],
        dim=1,
    )
    return x, y + 0.01 * torch.randn(y.shape, generator=rng)


def norm(tensors):
    """The L2 norm over all of the tensors' elements."""
    return math.sqrt(sum(t.detach().double().square().sum().item() for t in tensors))


def describe(optimizer):
    """Its class and all the settings that enter the update rule, defaults too."""
    names = ("lr", "momentum", "dampening", "nesterov", "betas", "eps", "weight_decay")
    kwargs = {k: optimizer.defaults[k] for k in names if k in optimizer.defaults}
    return type(optimizer).__name__, kwargs


def write_json(path, value):
    path.write_text(json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n")


def train(out, name, model, loss_fn, optimizer, x, y, batch):
    """Saves the weights, takes STEPS training steps and writes down what happened."""
    start = {k: v.clone() for k, v in model.state_dict().items()}
    save_file(start, out / f"{name}.safetensors")

    losses, grad_norms = [], []
    for step in range(STEPS):
        at = step % (len(x) // batch) * batch
        loss = loss_fn(model(x[at : at + batch]), y[at : at + batch])
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        grad_norms.append(norm(p.grad for p in model.parameters()))
        optimizer.step()

    final = {
        k: {
            "norm": norm([v]),
            # How far training moved it. (`first` of a layer that reads MNIST's ever black
            # corner is still what it was.)
            "moved": norm([v - start[k]]),
            "first": v.flatten()[:4].tolist(),
        }
        for k, v in model.state_dict().items()
    }
    rule, kwargs = describe(optimizer)
    write_json(
        out / f"{name}.json",
        {
            "torch": torch.__version__,
            "network": [str(layer) for layer in model],
            "loss": str(loss_fn),
            "optimizer": f"{rule}({', '.join(f'{k}={v}' for k, v in kwargs.items())})",
            "batch_size": batch,
            "losses": losses,
            "grad_norms": grad_norms,
            "final": final,
        },
    )
    print(f"{name}: loss {losses[0]:.6f} -> {losses[-1]:.6f}")


def article(out, data):
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    train(out, "article", model, nn.CrossEntropyLoss(), optimizer, *mnist(data), batch=32)


def regression(out):
    x, y = synthetic()
    save_file({"x": x, "y": y}, out / "regression_data.safetensors")
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 16), nn.GELU(), nn.Linear(16, 3)
    )
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4
    )
    train(out, "regression", model, nn.MSELoss(), optimizer, x, y, batch=16)


def optimizers(out):
    """Every rule on the same 5 parameters and 50 gradients.

    The gradients of element i are of size 10^-i, so that Adam's epsilon shows; the very
    first one is exactly zero.
    """
    start = [1.0, -0.5, 0.25, 2.0, -3.0]
    gradients = torch.tensor(
        [[math.sin(0.37 * t + 1.1 * i * (t + 1)) * 10**-i for i in range(5)] for t in range(50)]
    )
    rules = [
        (torch.optim.SGD, dict(lr=0.1)),
        (torch.optim.SGD, dict(lr=0.1, momentum=0.9)),
        (torch.optim.SGD, dict(lr=0.1, momentum=0.9, nesterov=True)),
        (torch.optim.SGD, dict(lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01)),
        (torch.optim.Adam, dict(lr=1e-2)),
        (torch.optim.Adam, dict(lr=1e-2, weight_decay=0.1)),
        (torch.optim.AdamW, dict(lr=1e-2)),
        (torch.optim.AdamW, dict(lr=1e-2, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1)),
    ]
    cases = []
    for rule, settings in rules:
        w = nn.Parameter(torch.tensor(start))
        optimizer = rule([w], **settings)
        params = []
        for w.grad in gradients:
            optimizer.step()
            params.append(w.tolist())
        name, kwargs = describe(optimizer)
        cases.append(
            {
                "name": name,
                "kwargs": kwargs,
                "start": start,
                "gradients": gradients.tolist(),
                "params": params,
            }
        )
    write_json(out / "optimizers.json", cases)


def activations(out):
    """Float64 values and derivatives from -6 to 6, at points that float32 can hold."""
    functions = {
        "relu": torch.relu,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "silu": nn.functional.silu,
        "gelu": nn.functional.gelu,
        "gelu_tanh": lambda x: nn.functional.gelu(x, approximate="tanh"),
        "leaky_relu": nn.functional.leaky_relu,
        "elu": nn.functional.elu,
        "selu": nn.functional.selu,
        "softplus": nn.functional.softplus,
        "mish": nn.functional.mish,
        "hardswish": nn.functional.hardswish,
        "hardsigmoid": nn.functional.hardsigmoid,
        "relu6": nn.functional.relu6,
        "softsign": nn.functional.softsign,
        "log_sigmoid": nn.functional.logsigmoid,
        # not defaults
        "leaky_relu 0.2": lambda x: nn.functional.leaky_relu(x, 0.2),
        "elu 0.5": lambda x: nn.functional.elu(x, 0.5),
        "clamp -1.5 3": lambda x: torch.clamp(x, -1.5, 3.0),
        "pow 3": lambda x: x.pow(3),
        "pow -2": lambda x: (x + 0.1).pow(-2),
        "sin": torch.sin,
        "cos": torch.cos,
        "expm1": torch.expm1,
    }
    x = (torch.arange(-20, 21).double() * 0.3).float().double().requires_grad_()
    table = {"x": x.tolist()}
    for name, function in functions.items():
        value = function(x)
        (derivative,) = torch.autograd.grad(value.sum(), x)
        table[name] = {"value": value.tolist(), "derivative": derivative.tolist()}
    write_json(out / "activations.json", table)


def formulas(out):
    """Float64 values and gradients over a grid with ties; the base of `pow` is above 0."""
    functions = {
        "maximum": torch.maximum,
        "minimum": torch.minimum,
        "pow": lambda x, y: (x.abs() + 0.5).pow(y),
        "where": lambda x, y: torch.where(x < y, x * y, x.exp() + y),
    }
    grid = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 1.5, 3.0]).double()
    x = grid.repeat_interleave(len(grid)).requires_grad_()
    y = grid.repeat(len(grid)).requires_grad_()
    table = {"x": x.tolist(), "y": y.tolist()}
    for name, function in functions.items():
        value = function(x, y)
        dx, dy = torch.autograd.grad(value.sum(), (x, y))
        table[name] = {"value": value.tolist(), "dx": dx.tolist(), "dy": dy.tolist()}
    write_json(out / "formulas.json", table)


def classifiers(out):
    """Float64: log-softmax with the gradient of a weighted sum, and smoothed cross-entropy."""
    rng = torch.Generator().manual_seed(5)
    rows, classes = 6, 5
    draw = lambda: torch.randn(rows, classes, generator=rng).mul(3).float().double()
    x, weights = draw().requires_grad_(), draw()
    labels = torch.randint(classes, (rows,), generator=rng)
    probabilities = draw().softmax(1).float().double()
    y = x.log_softmax(1)
    (gradient,) = torch.autograd.grad((y * weights).sum(), x)
    cases = []
    for smoothing in (0.0, 0.1, 0.5):
        for kind, target in (("classes", labels), ("probabilities", probabilities)):
            loss = nn.functional.cross_entropy(x, target, label_smoothing=smoothing)
            (slope,) = torch.autograd.grad(loss, x)
            cases.append(
                {
                    "labels": kind,
                    "smoothing": smoothing,
                    "loss": loss.item(),
                    "gradient": slope.flatten().tolist(),
                }
            )
    write_json(
        out / "classifiers.json",
        {
            "torch": torch.__version__,
            "shape": [rows, classes],
            "x": x.flatten().tolist(),
            "classes": labels.tolist(),
            "probabilities": probabilities.flatten().tolist(),
            "weights": weights.flatten().tolist(),
            "log_softmax": {"value": y.flatten().tolist(), "gradient": gradient.flatten().tolist()},
            "cross_entropy": cases,
        },
    )


def main():
    parser = argparse.ArgumentParser(description="Writes gradus's golden files with PyTorch.")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds mnist/")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    args = parser.parse_args()

    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    args.out.mkdir(parents=True, exist_ok=True)
    article(args.out, args.data)
    regression(args.out)
    optimizers(args.out)
    activations(args.out)
    formulas(args.out)
    classifiers(args.out)


if __name__ == "__main__":
    main()
