#!/usr/bin/env python3
"""Accuracy on MNIST of several workers in each mode, beside one: the article's network, five seeds.

    cargo build --release --features cli --bin gradus
    python3 benches/workers.py target/release/gradus [--workers 4] [--seeds 5] [--epochs 5]

One worker takes batches of 32; four in step, and four that train on their own between averages, take 8 each: the same rows in a step of
all. In the modes in which each push is an update batches are of 32, too. Needs GRADUS_DATA.
"""

import argparse
import json
import re
import statistics
import subprocess
import tempfile
import time

a = argparse.ArgumentParser()
a.add_argument("program")
a.add_argument("--workers", type=int, default=4)
a.add_argument("--seeds", type=int, default=5)
a.add_argument("--epochs", type=int, default=5)
a.add_argument("--only", default="", help="modes that begin with one of these, comma-separated; one worker always")
a = a.parse_args()


def recipe(seed, batch):
    layers = [{"layer": "linear", "out_features": 64}, {"layer": "activation", "function": "relu"}, {"layer": "linear", "out_features": 32}]
    layers += [{"layer": "activation", "function": "relu"}, {"layer": "linear", "out_features": 10}, {"layer": "softmax"}]
    return {
        "version": 2,
        "seeds": {"all": seed},
        "data": {"source": "mnist", "test": "test", "pipeline": [{"op": "flatten"}, {"op": "scale", "factor": 1 / 255}]},
        "model": {"layers": layers},
        "compile": {"input": [784], "optimizer": {"name": "adam", "lr": 0.001}, "loss": {"name": "cross_entropy"}, "metrics": [{"name": "accuracy"}]},
        "fit": {"epochs": a.epochs, "batch_size": batch, "verbose": 0},
    }


def run(seed, workers, batch, mode):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(recipe(seed, batch), file)
        file.flush()
        began = time.time()
        flags = ["train", file.name, "--workers", str(workers), "--mode", *mode.split(), "--device", "cpu"]
        out = subprocess.run([a.program, *flags], capture_output=True, text=True, check=True).stdout
    accuracy = float(re.search(r"test .*accuracy ([0-9.]+)", out).group(1))
    ahead = int(re.search(r"more than (\d+) clocks ahead", out).group(1))
    return 100 * accuracy, time.time() - began, ahead


n = a.workers
a.only = [o for o in a.only.split(",") if o]
rows = [("one worker", 1, 32, "sync"), (f"sync, {n}", n, 32 // n, "sync")]
rows += [(f"{mode}, {n}", n, 32, mode) for mode in ("semi-async --staleness 2", "semi-async --staleness 2 --damped", "async")]
rows += [(f"{mode}, {n}", n, 32 // n, mode) for mode in ("local --every 16", "local --every 64", "local --every 64 --outer diloco")]
alone = None
print(f"{'mode':<40} {'test accuracy':>14} {'deviation':>9} {'to one':>7} {'ahead':>5} {'seconds':>8}")
for name, workers, batch, mode in rows:
    if a.only and workers > 1 and not any(name.startswith(o) for o in a.only):
        continue
    found = [run(seed, workers, batch, mode) for seed in range(a.seeds)]
    mean = statistics.mean(f[0] for f in found)
    alone = mean if alone is None else alone
    spread = statistics.stdev(f[0] for f in found) if len(found) > 1 else float("nan")
    print(f"{name:<40} {mean:>14.2f} {spread:>9.2f} {mean - alone:>+7.2f} {max(f[2] for f in found):>5} {statistics.median(f[1] for f in found):>8.1f}", flush=True)
