#!/usr/bin/env python3
"""Times PyTorch's training step on the article's network: 784-64-32-10, Adam, cross entropy.

    python benches/peers/pytorch_step.py --threads 2
    python benches/peers/pytorch_step.py --device cuda --batch 512

The data is random, of MNIST's shape, and already on the device. One step is what a careful
user writes: index a shuffled batch, forward, loss, backward, update, and no copy of the
loss to the host. Prints one JSON object. Times are milliseconds per step; each repeat is
the mean over its steps, `ms_per_step` the median over the repeats.
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn

ROWS, PIXELS, CLASSES = 60_000, 28 * 28, 10


def batches(x, y, size):
    """Shuffled batches for ever, reshuffled at every epoch; the last short one is dropped."""
    while True:
        order = torch.randperm(len(x), device=x.device)
        for at in range(0, len(x) - size + 1, size):
            rows = order[at : at + size]
            yield x[rows], y[rows]


def main():
    parser = argparse.ArgumentParser(description="Times PyTorch's training step.")
    parser.add_argument("--hidden", default="64,32", help="widths of the hidden layers")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=500, help="steps in a repeat")
    parser.add_argument("--warmup", type=int, default=50, help="steps before the first repeat")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--fused", action="store_true", help="Adam(fused=True)")
    parser.add_argument("--compile", action="store_true", help="torch.compile over forward and loss; needs a C++ compiler")
    parser.add_argument("--amp", action="store_true", help="float16 autocast and GradScaler; for cuda")
    parser.add_argument("--graph", action="store_true", help="the whole step as one CUDA graph; implies Adam(capturable=True)")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = torch.device(args.device)

    x = torch.rand(ROWS, PIXELS, device=device)
    y = torch.randint(CLASSES, (ROWS,), device=device)
    widths = [PIXELS, *(int(w) for w in args.hidden.split(",") if w), CLASSES]
    layers = []
    for fan_in, fan_out in zip(widths, widths[1:]):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    model = nn.Sequential(*layers[:-1]).to(device)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=args.fused or None, capturable=args.graph)
    feed = batches(x, y, args.batch)
    forward = lambda inputs, labels: loss_fn(model(inputs), labels)  # noqa: E731
    if args.compile:
        forward = torch.compile(forward)

    scaler = torch.amp.GradScaler(args.device, enabled=args.amp)

    def one(inputs, labels):
        with torch.autocast(args.device, torch.float16, enabled=args.amp):
            loss = forward(inputs, labels)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    if args.graph:
        # a batch is copied to where the graph reads it; some steps on a side stream first, as PyTorch's manual has it
        held = [t.clone() for t in next(feed)]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                one(*held)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            one(*held)

    def run(steps):
        """Milliseconds per step."""
        if args.device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(steps):
            inputs, labels = next(feed)
            if args.graph:
                held[0].copy_(inputs)
                held[1].copy_(labels)
                graph.replay()
            else:
                one(inputs, labels)
        if args.device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) * 1e3 / steps

    if args.warmup:
        run(args.warmup)
    times = [run(args.steps) for _ in range(args.repeat)]
    print(
        json.dumps(
            {
                "peer": "pytorch",
                "torch": torch.__version__,
                "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
                "threads": args.threads,
                "layers": widths,
                "batch": args.batch,
                "fused": args.fused,
                "compile": args.compile,
                "graph": args.graph,
                "amp": args.amp,
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
