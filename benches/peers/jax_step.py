#!/usr/bin/env python3
"""Times JAX's training step, jitted, on the networks of `pytorch_step.py`: same widths, batch, Adam and random data.

    python benches/peers/jax_step.py --threads 2 --hidden 1024,1024 --batch 512

One step is one jitted call: the batch's rows are taken on the device by a shuffled order, then forward, loss, gradient and
Adam as optax has it, parameters and moments donated. Nothing comes back to the host. Prints one JSON object with the
keys of `pytorch_step.py`.
"""

import argparse
import functools
import json
import os
import statistics
import time

parser = argparse.ArgumentParser(description="Times JAX's training step.")
parser.add_argument("--net", choices=["dense", "cnn", "resnet20"], default="dense")
parser.add_argument("--hidden", default="64,32", help="widths of the hidden layers of a dense network")
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--steps", type=int, default=500, help="steps in a repeat")
parser.add_argument("--warmup", type=int, default=50, help="steps before the first repeat")
parser.add_argument("--repeat", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()
# before JAX starts its pool: it makes a thread for each core that the process may use
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import jax_images  # noqa: E402
import numpy as np  # noqa: E402

ROWS, PIXELS, CLASSES = 60_000, 28 * 28, 10
RATE, B1, B2, EPS = 1e-3, 0.9, 0.999, 1e-8


def dense(params, running, x):
    for w, b in params[:-1]:
        x = jax.nn.relu(x @ w + b)
    w, b = params[-1]
    return x @ w + b, running


def loss_of(params, running, forward, x, y):
    logits, running = forward(params, running, x)
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1).mean(), running


def step(forward, state, x, y, rows):
    params, m, v, t, running = state
    (loss, running), g = jax.value_and_grad(loss_of, has_aux=True)(params, running, forward, x[rows], y[rows])
    t = t + 1
    m = jax.tree.map(lambda m, g: B1 * m + (1 - B1) * g, m, g)
    v = jax.tree.map(lambda v, g: B2 * v + (1 - B2) * g * g, v, g)
    c1, c2 = 1 - B1**t, 1 - B2**t
    params = jax.tree.map(lambda p, m, v: p - RATE * (m / c1) / (jnp.sqrt(v / c2) + EPS), params, m, v)
    return (params, m, v, t, running), loss


def main():
    rng = np.random.default_rng(0)
    count, row = jax_images.ROWS.get(args.net, (ROWS, (PIXELS,)))
    x = jnp.asarray(rng.random((count, *row), dtype=np.float32))
    y = jnp.asarray(rng.integers(CLASSES, size=count))
    if args.net == "dense":
        widths = [PIXELS, *(int(w) for w in args.hidden.split(",") if w), CLASSES]
        draw = lambda i, o: jnp.asarray(rng.uniform(-1, 1, (i, o)).astype(np.float32) / np.sqrt(i))  # noqa: E731
        params, running, forward = [(draw(i, o), jnp.zeros(o)) for i, o in zip(widths, widths[1:])], {}, dense
    else:
        widths = args.net
        params, running, forward = jax_images.build(args.net, 1, CLASSES)
    zeros = lambda: jax.tree.map(jnp.zeros_like, params)  # noqa: E731
    state = (params, zeros(), zeros(), jnp.float32(0), running)
    run_step = jax.jit(functools.partial(step, forward), donate_argnums=0)

    def batches():
        while True:
            order = rng.permutation(count).astype(np.int32)
            for at in range(0, count - args.batch + 1, args.batch):
                yield order[at : at + args.batch]

    feed = batches()

    def run(steps):
        """Milliseconds per step."""
        nonlocal state
        start = time.perf_counter()
        for _ in range(steps):
            state, loss = run_step(state, x, y, next(feed))
        jax.block_until_ready(state)
        return (time.perf_counter() - start) * 1e3 / steps

    run(max(args.warmup, 1))
    times = [run(args.steps) for _ in range(args.repeat)]
    print(
        json.dumps(
            {
                "peer": "jax",
                "version": jax.__version__,
                "device": jax.devices()[0].device_kind,
                "threads": args.threads,
                "layers": widths,
                "batch": args.batch,
                "steps": args.steps,
                "repeat": args.repeat,
                "ms_per_step": round(statistics.median(times), 5),
                "min": round(min(times), 5),
                "max": round(max(times), 5),
            }
        )
    )


if __name__ == "__main__":
    main()
