#!/usr/bin/env python3
"""Writes what PyTorch makes of whole networks, in float64: `models.json`, for tests/golden/models.rs.

    pip install torch torchvision numpy
    python tests/golden/make_models.py          # a minute; `check` behind it also trains in float32 and tells how far apart the two are

Weights and data are no file: `values` below and `Hashed` in tests/golden/hashed.rs make the same bits of a name and a place. Stored is

| key        | holds                                                                                                              |
| ---------- | ------------------------------------------------------------------------------------------------------------------ |
| `resnet18` | torchvision's names and shapes; outputs in evaluation; of one training step the loss, and of every gradient and     |
|            | every running mean and variance after it a norm and `SIGNS` inner products with hashed vectors of +1 and -1         |
| `cnn`, `resnet20` | the losses of 100 steps                                                                                     |
| `long`     | by channels of the images the loss and the gradients of a convolution whose weights' gradient sums 131,072 positions |
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvision.models import resnet18
from torchvision.models.resnet import BasicBlock

HERE = Path(__file__).parent
SIGNS = 8
STEPS = 100


def hashed(name, size):
    """A word of 32 bits for each place: FNV-1a of the name, and Chris Wellons' lowbias32 of the place."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 & 0xFFFFFFFF
    x = np.arange(size, dtype=np.uint32) * np.uint32(0x9E3779B9) + np.uint32(seed)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def uniform(name, size):
    """From -1 to 1, float32: no operation on the way rounds."""
    return (hashed(name, size) >> np.uint32(8)).astype(np.float32) * np.float32(2**-23) - np.float32(1)


def values(name, shape):
    """A tensor of a state dict. Signals keep their size: weights have the variance 2 / fan in."""
    u = uniform(name, math.prod(shape))
    if len(shape) > 1:
        v = u * np.float32(math.sqrt(6 / math.prod(shape[1:])))
    elif name.endswith(".weight") or name.endswith("running_var"):
        v = np.float32(1) + u * np.float32(0.25)
    else:
        v = u * np.float32(0.125)
    return torch.from_numpy(v.reshape(shape))


def load(model, dtype=torch.float64):
    state = model.state_dict()
    counters = {n: t for n, t in state.items() if n.endswith("num_batches_tracked")}
    model.load_state_dict({n: values(n, tuple(t.shape)) for n, t in state.items() if n not in counters} | counters)
    return model.to(dtype)


def images(rows, shape, classes=10):
    """A pattern for each class, half as strong as the noise upon it, and labels in turn."""
    size = math.prod(shape)
    noise = uniform("noise", rows * size).reshape(rows, size)
    pattern = uniform("pattern", classes * size).reshape(classes, size) * np.float32(0.5)
    labels = np.arange(rows) % classes
    return torch.from_numpy((noise + pattern[labels]).reshape(rows, *shape)), torch.from_numpy(labels)


def short(v, digits=9):
    return float(f"{float(v):.{digits}g}")


def sketch(name, tensor):
    """Its norm, and its inner products with vectors of signs."""
    t = tensor.detach().double().flatten().numpy()
    bits = hashed("signs." + name, t.size)
    products = [np.dot(np.where(bits >> np.uint32(k) & np.uint32(1), 1.0, -1.0), t) for k in range(SIGNS)]
    return [short(np.linalg.norm(t))] + [short(p) for p in products]


def of_resnet18(dtype=torch.float64):
    torch.manual_seed(0)
    model = load(resnet18(), dtype)
    x, y = images(4, (3, 64, 64))
    x = x.to(dtype)
    names = [[n, list(t.shape)] for n, t in model.state_dict().items()]
    with torch.no_grad():
        outputs = model.eval()(x[:2])
    loss = nn.functional.cross_entropy(model.train()(x), y)
    loss.backward()
    state = {n: t for n, t in model.state_dict().items() if "running" in n}
    return {
        "names": names,
        "outputs": [short(v) for v in outputs.flatten()],
        "loss": short(loss.item(), 12),
        "gradients": {n: sketch(n, p.grad) for n, p in model.named_parameters()},
        "buffers": {n: sketch(n, t) for n, t in state.items()},
    }


def of_long_sums(channels, dtype=torch.float64):
    """A convolution of 128 images of 32 x 32, hyperbolic tangents and means over places."""
    model = load(nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1)), dtype)
    x, y = images(128, (channels, 32, 32))
    loss = nn.functional.cross_entropy(model(x.to(dtype)).tanh().mean((2, 3)), y % 4)
    loss.backward()
    return {"loss": short(loss.item(), 12), "gradients": {n: [short(v, 12) for v in p.grad.flatten()] for n, p in model.named_parameters()}}


def cnn():
    """The network of `mnist --model cnn` without its dropout, under the names that it has there."""
    net = nn.Sequential()
    for name, layer in {
        "1": nn.Conv2d(1, 32, 3),
        "2": nn.ReLU(),
        "3": nn.Conv2d(32, 64, 3),
        "4": nn.ReLU(),
        "5": nn.MaxPool2d(2),
        "6": nn.Flatten(),
        "7": nn.Linear(9216, 128),
        "8": nn.ReLU(),
        "9": nn.Linear(128, 10),
    }.items():
        net.add_module(name, layer)
    return net


class ResNet20(nn.Module):
    """Three stages of three of torchvision's blocks, which project where a stage halves."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1, self.layer2, self.layer3 = (self.stage(*s) for s in [(16, 16, 1), (16, 32, 2), (32, 64, 2)])
        self.fc = nn.Linear(64, 10)

    @staticmethod
    def stage(own, channels, stride):
        down = nn.Sequential(nn.Conv2d(own, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
        first = BasicBlock(own, channels, stride, down if stride > 1 else None)
        return nn.Sequential(first, BasicBlock(channels, channels), BasicBlock(channels, channels))

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def train(make, optimizer, shape, batch, dtype=torch.float64):
    """The losses of 100 steps over rows in order, each seen once."""
    model = load(make(), dtype).train()
    x, y = images(STEPS * batch, shape)
    x, optimizer, losses = x.to(dtype), optimizer(model.parameters()), []
    for at in range(0, len(x), batch):
        loss = nn.functional.cross_entropy(model(x[at : at + batch]), y[at : at + batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(short(loss.item()))
    return losses


def sgd(lr):
    """Rates so small that a rounding error stays one for 100 steps. Adam would not let it: a unit that comes alive moves at the full rate, however small its gradient."""
    return lambda parameters: torch.optim.SGD(parameters, lr=lr, momentum=0.9)


RUNS = {"cnn": (cnn, sgd(3e-4), (1, 28, 28), 8), "resnet20": (ResNet20, sgd(5e-5), (3, 32, 32), 4)}


def check(golden):
    """How far float32 is from float64 in PyTorch itself: what the tests' bounds must leave room for."""
    single = of_resnet18(torch.float32)
    a, b = (np.array(g["outputs"]) for g in (single, golden["resnet18"]))
    print(f"outputs: {abs(a - b).max() / abs(b).max():.1e}")
    for key in ("gradients", "buffers"):
        pairs = [(np.array(single[key][n]), np.array(v)) for n, v in golden["resnet18"][key].items()]
        print(f"{key}: {max(np.sqrt(((a - b)[1:] ** 2).mean()) / b[0] for a, b in pairs):.1e}")
    for channels, long in golden["long"].items():
        a, b = (np.array(g["gradients"]["0.weight"]) for g in (of_long_sums(int(channels), torch.float32), long))
        print(f"long sums, {channels} channels: {abs(a - b).max() / abs(b).max():.1e}")
    for name, run in RUNS.items():
        a, b = np.array(train(*run, dtype=torch.float32)), np.array(golden[name])
        print(f"{name}: {abs(a / b - 1).max():.1e}, loss {b[0]:.3f} -> {b[-1]:.3f}")


if __name__ == "__main__":
    golden = {"torch": torch.__version__, "resnet18": of_resnet18()}
    golden["long"] = {str(channels): of_long_sums(channels) for channels in (2, 16)}
    golden |= {name: train(*run) for name, run in RUNS.items()}
    if "check" in sys.argv:
        check(golden)
    (HERE / "models.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
