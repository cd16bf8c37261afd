#!/usr/bin/env python3
"""Times PyTorch's training step on the article's network: 784-64-32-10, Adam, cross entropy; or on others (`--net`).

    python benches/peers/pytorch_step.py --threads 2
    python benches/peers/pytorch_step.py --device cuda --batch 512

The data is random, of MNIST's shape, and already on the device. One step is what a careful
user writes: index a shuffled batch, forward, loss, backward, update, and no copy of the
loss to the host. Prints one JSON object. Times are milliseconds per step; each repeat is
the mean over its steps, `ms_per_step` the median over the repeats.

`--memory` (CPU) adds `peak_bytes`: the most that tensors took within a step, as PyTorch's
allocator reports it to the profiler, with parameters, buffers and moments and without the
data; and `resident_bytes`: what the process' largest resident size grew by since the data
was made.
"""

import argparse
import json
import statistics
import tempfile
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


class Block(nn.Module):
    """torchvision's BasicBlock."""

    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        same = stride == 1 and channels == out
        self.downsample = None if same else nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        rest = x if self.downsample is None else self.downsample(x)
        h = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(h)) + rest)


class ResNet20(nn.Module):
    """gradus' models::resnet20."""

    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        stage = lambda i, o, s: nn.Sequential(Block(i, o, s), Block(o, o, 1), Block(o, o, 1))  # noqa: E731
        self.layer1, self.layer2, self.layer3 = stage(16, 16, 1), stage(16, 32, 2), stage(32, 64, 2)
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


def resident(key):
    """Bytes of this process: VmRSS now, VmHWM at most."""
    line = next(line for line in open("/proc/self/status") if line.startswith(key))
    return 1024 * int(line.split()[1])


def peak_bytes(model, optimizer, step):
    """The most that tensors take within a step, the data not counted."""
    state = [t for of in optimizer.state.values() for t in of.values() if torch.is_tensor(t)]
    lasting = sum(t.nbytes for t in [*model.parameters(), *model.buffers(), *state])
    old = sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        profile.export_chrome_trace(file.name)
        events = json.load(open(file.name))["traceEvents"]
    # the profiler counts from its start: what was there before is ours to add
    return lasting + old + max(e["args"]["Total Allocated"] for e in events if e.get("name") == "[memory]")


def network(args):
    """The network, and its name or widths for the listing."""
    if args.net == "resnet20":
        return ResNet20(CLASSES), "ResNet-20"
    if args.net == "cnn":
        convolutions = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
        return nn.Sequential(*convolutions, nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, CLASSES)), "conv 32, conv 64, pool, 128, 10"
    widths = [PIXELS, *(int(w) for w in args.hidden.split(",") if w), CLASSES]
    layers = []
    for fan_in, fan_out in zip(widths, widths[1:]):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1]), widths


def main():
    parser = argparse.ArgumentParser(description="Times PyTorch's training step.")
    parser.add_argument("--net", choices=["dense", "cnn", "resnet20"], default="dense")
    parser.add_argument("--hidden", default="64,32", help="widths of the hidden layers of a dense network")
    parser.add_argument("--channels-last", action="store_true", help="memory_format=torch.channels_last, for images")
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
    parser.add_argument("--memory", action="store_true", help="what a step takes, too; on the CPU")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = torch.device(args.device)

    rows, row = {"dense": (ROWS, (PIXELS,)), "cnn": (60 * 128, (1, 28, 28)), "resnet20": (20 * 128, (3, 32, 32))}[args.net]
    x = torch.rand(rows, *row, device=device)
    y = torch.randint(CLASSES, (rows,), device=device)
    before = resident("VmRSS") if args.memory else 0
    model, widths = network(args)
    model = model.to(device)
    if args.channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
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
    memory = {}
    if args.memory:
        memory["resident_bytes"] = resident("VmHWM") - before
        memory["peak_bytes"] = peak_bytes(model, optimizer, lambda: one(*next(feed)))
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
                **memory,
            }
        )
    )


if __name__ == "__main__":
    main()
