"""Writes augment.json: what torchvision makes of small images, by stated parameters.

    pip install torch torchvision
    python tests/golden/make_augment.py > tests/golden/augment.json

Images are float64 in [0, 1]; places outside are 0. gradus' `corner` is where the shown image begins in the stored one, so that a shift to the
right by 2 begins at -2.
"""

import json
import math
import sys

import torch
import torchvision
import torchvision.transforms.functional as F
from torchvision.transforms import InterpolationMode

torch.manual_seed(7)
HIGH, WIDE = 9, 12


def image(channels):
    return torch.rand(channels, HIGH, WIDE, dtype=torch.float64).mul(255).round() / 255


# without `fill`, which would take the border's share of black twice: torchvision multiplies by a mask that is sampled as well
def affine(x, angle=0.0, translate=(0, 0), scale=1.0, shear=0.0):
    return F.affine(x, angle, list(translate), scale, [shear, 0.0], interpolation=InterpolationMode.BILINEAR)


def shifted(x, right, down):
    padded = F.pad(x, [20, 20, 20, 20], fill=0)
    return F.crop(padded, 20 - down, 20 - right, HIGH, WIDE)


cases = []


def case(name, x, y, **drawn):
    cases.append({"name": name, "channels": x.shape[0], "x": x.flatten().tolist(), "shown": list(y.shape[1:]), "y": y.flatten().tolist(), **drawn})


for right, down in [(2, 0), (-3, 1), (0, -8), (12, 0)]:
    x = image(1)
    case("shift", x, shifted(x, right, down), corner=[-right, -down])
x = image(3)
case("crop", x, F.crop(F.pad(x, [2, 2, 2, 2]), 1, 3, 8, 10), corner=[1, -1])
x = image(2)
case("horizontal flip", x, F.hflip(x), mirrored=[True, False])
case("vertical flip", x, F.vflip(x), mirrored=[False, True])
for angle in [0.0, 10.0, -37.5, 90.0, 180.0, -179.0]:
    x = image(1)
    case("rotate", x, affine(x, angle=angle), degrees=angle)
for t in [(3, 0), (0, -2), (-4, 5)]:
    x = image(1)
    case("translate", x, affine(x, translate=t), moved=list(t))
for s in [0.5, 0.9, 1.7]:
    x = image(1)
    case("scale", x, affine(x, scale=s), scale=s)
for s in [8.0, -30.0]:
    x = image(1)
    case("shear", x, affine(x, shear=s), shear=s)
for _ in range(6):
    x = image(3)
    p = torch.rand(4, dtype=torch.float64).tolist()
    d = {"degrees": 80 * p[0] - 40, "moved": [round(6 * p[1] - 3), round(4 * p[2] - 2)], "scale": 0.7 + 0.6 * p[3], "shear": 20 * p[0] - 10}
    case("affine", x, affine(x, d["degrees"], d["moved"], d["scale"], d["shear"]), **d)
for f in [0.3, 1.0, 1.8]:
    x = image(3)
    case("brightness", x, F.adjust_brightness(x, f), brightness=f)
    case("saturation", x, F.adjust_saturation(x, f), saturation=f)
x = image(2)
case("erase", x, F.erase(x, 2, 3, 4, 5, torch.zeros(1, dtype=torch.float64)), hole=[3, 2, 8, 6])

assert all(math.isfinite(v) for c in cases for v in c["y"])
json.dump({"torch": torch.__version__, "torchvision": torchvision.__version__, "high": HIGH, "wide": WIDE, "cases": cases}, sys.stdout)
