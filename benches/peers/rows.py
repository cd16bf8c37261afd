#!/usr/bin/env python3
"""Times work along rows in PyTorch on the CPU, in turns with a built `benches/rows.rs`.

    python benches/peers/rows.py target/release/deps/rows-... --rounds 5 --threads 2

Ratios are of the medians of all rounds; each round runs PyTorch and then gradus, task by task.
"""

import argparse
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F

ROWS, WIDTH, CLASSES, VOCABULARY = 4096, 768, 1000, [1024, 50257]


def tasks():
    x = torch.randn(ROWS, WIDTH, requires_grad=True)
    weight = torch.ones(WIDTH, requires_grad=True)
    bias = torch.zeros(WIDTH, requires_grad=True)
    g = torch.randn(ROWS, WIDTH)
    s = torch.randn(ROWS, CLASSES, requires_grad=True)
    gs = torch.randn(ROWS, CLASSES)
    v = torch.randn(*VOCABULARY, requires_grad=True)
    label = torch.randint(3, VOCABULARY[:1])

    def backward(of, grad, *leaves):
        def run():
            for leaf in leaves:
                leaf.grad = None
            of().backward(grad)

        return run

    def forward(of):
        def run():
            with torch.no_grad():
                of()

        return run

    def norm():
        return F.layer_norm(x, [WIDTH], weight, bias)

    def rms():
        return F.rms_norm(x, [WIDTH], weight)

    return {
        "layer_norm": forward(norm),
        "layer_norm_backward": backward(norm, g, x, weight, bias),
        "rms_norm_backward": backward(rms, g, x, weight),
        "softmax": forward(lambda: s.softmax(-1)),
        "softmax_backward": backward(lambda: s.softmax(-1), gs, s),
        "log_softmax": forward(lambda: s.log_softmax(-1)),
        "cross_entropy_backward": backward(lambda: F.cross_entropy(v, label), torch.tensor(1.0), v),
    }


def peer(run, repeats):
    times = []
    for _ in range(repeats + 2):
        began = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - began))
    return times[2:]


def own(binary, name, repeats, threads):
    command = [binary, "--only", name, "--repeats", str(repeats), "--threads", str(threads)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [float(line.split("]")[1].split()[0]) for line in lines if line.split()[0] == name]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("binary")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--repeats", type=int, default=10)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    for name, run in tasks().items():
        theirs, ours = [], []
        for _ in range(a.rounds):
            theirs.append(statistics.median(peer(run, a.repeats)))
            ours.extend(own(a.binary, name, a.repeats, a.threads))
        t, o = statistics.median(theirs), statistics.median(ours)
        print(f"{name:22} PyTorch {t:8.3f} ms, gradus {o:8.3f} ms, its time over gradus' {t / o:.2f}")


if __name__ == "__main__":
    main()
