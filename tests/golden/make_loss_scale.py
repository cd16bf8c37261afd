"""Golden traces of torch.amp.GradScaler: scale, growth tracker and the parameter after each step, with gradients that are not finite at
known steps. Run with the Python of a PyTorch: `python tests/golden/make_loss_scale.py`."""

import json
import math
import os
import random

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = 200


def trace(seed, share, init_scale, growth_factor, backoff_factor, growth_interval):
    rng = random.Random(seed)
    # multiples of 1/8, so that every sum is exact; what is not finite is written as text
    rows = [rng.randrange(-16, 17) / 8 for _ in range(STEPS)]
    for i in range(STEPS):
        if rng.random() < share:
            rows[i] = rng.choice([math.inf, -math.inf, math.nan])
    w = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([w], lr=0.125, momentum=0.5)
    scaler = torch.amp.GradScaler(
        "cpu", init_scale=init_scale, growth_factor=growth_factor, backoff_factor=backoff_factor, growth_interval=growth_interval
    )
    scales, trackers, weights = [], [], []
    for x in rows:
        optimizer.zero_grad()
        loss = (w * torch.tensor([x])).mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
        trackers.append(scaler._get_growth_tracker())
        weights.append(w.item())
    return {
        "init_scale": init_scale,
        "growth_factor": growth_factor,
        "backoff_factor": backoff_factor,
        "growth_interval": growth_interval,
        "x": [x if math.isfinite(x) else str(x) for x in rows],
        "scale": scales,
        "growth_tracker": trackers,
        "w": weights,
    }


traces = [
    trace(1, 0.1, 65536.0, 2.0, 0.5, 7),
    trace(2, 0.1, 1024.0, 4.0, 0.25, 5),
    trace(3, 0.45, 2.0**40, 2.0, 0.5, 1),
    trace(4, 0.3, 2.0**30, 8.0, 0.5, 3),
]
with open(os.path.join(HERE, "loss_scale.json"), "w") as f:
    json.dump({"torch": torch.__version__, "traces": traces}, f)
for t in traces:
    print(min(t["scale"]), max(t["scale"]), t["w"][-1])
