#!/usr/bin/env python3
"""Times PyTorch's matrix products in float32, TF32 and float16, in the layouts of a training step.

    python benches/peers/pytorch_gemm.py --device cuda --sizes 512,1024,2048

The rows are those of `cargo bench --bench gemm -- --coop`: `nt` forward, `nn` the gradient of the input, `tn` that of the weights.
Each time is the median over the repeats; a repeat is long enough to last some milliseconds. float16 sums in float32, as
cuBLAS does by default when its reduced-precision reductions are off (they are, here).
"""

import argparse
import statistics
import time

import torch

LAYOUTS = ["nn", "nt", "tn"]
STEPS = [("nt", 512, 1024, 784), ("nn", 512, 1024, 1024), ("tn", 1024, 784, 512)]


def seconds(run, device, repeat):
    wait = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    for _ in range(3):
        run()
    wait()
    began = time.perf_counter()
    run()
    wait()
    count = max(1, int(0.01 / max(time.perf_counter() - began, 1e-6)))
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        for _ in range(count):
            run()
        wait()
        times.append((time.perf_counter() - began) / count)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description="Times PyTorch's matrix products.")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--sizes", default="512,1024")
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    device = torch.device(args.device)
    name = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    print(f"PyTorch {torch.__version__} on {name}")
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    kinds = [("float32", torch.float32, False), ("TF32", torch.float32, True), ("float16", torch.float16, False)]
    if args.device == "cpu":
        kinds = kinds[:1]
    print(f"{'':<24}" + "".join(f"{k + ' GFLOP/s':>18}" for k, _, _ in kinds))
    sizes = [int(s) for s in args.sizes.split(",") if s]
    for layout, m, n, k in [(lay, s, s, s) for s in sizes for lay in LAYOUTS] + STEPS:
        line = f"{layout + f' {m} x {n} x {k}':<24}"
        for _, dtype, tf32 in kinds:
            torch.backends.cuda.matmul.allow_tf32 = tf32
            a = torch.rand(*((k, m) if layout[0] == "t" else (m, k)), device=device).to(dtype)
            b = torch.rand(*((n, k) if layout[1] == "t" else (k, n)), device=device).to(dtype)
            a, b = (a.T if layout[0] == "t" else a), (b.T if layout[1] == "t" else b)
            out = torch.empty(m, n, dtype=dtype, device=device)
            t = seconds(lambda: torch.mm(a, b, out=out), device, args.repeat)
            line += f"{2e-9 * m * n * k / t:>18.1f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
