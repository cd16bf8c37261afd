#!/usr/bin/env python3
"""gradus and its peers on the same training steps, taking turns, in one table of ratios.

    python3 benches/peers/run.py --rounds 3 --threads 2
    python3 benches/peers/run.py --device gpu            # PyTorch on CUDA, eager, compiled and as a CUDA graph

Runs what is there: gradus by `cargo bench --bench step`; PyTorch where $PYTORCH (else /opt/torchvenv/bin/python, else python3)
imports torch; JAX where $JAX (else /opt/jaxvenv/bin/python, else python3) imports jax. A peer that fails is named and left
out. Cases: the article's 784-64-32-10 at batch 32 and the wide 784-1024-1024-10 at batch 512; all train with Adam on
random data of MNIST's shape that lies on the device. Every round runs each peer once; a figure is the median over the
rounds, with the least and the most. Ratios are the peer's time over gradus': above 1 gradus is faster. `control` is fixed
arithmetic inside the gradus runs: where it moved, others used the machine, and the ratios are worth less.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
CASES = {"article": ["--hidden", "64,32", "--batch", "32"], "wide": ["--hidden", "1024,1024", "--batch", "512"]}
LENGTH = {"article": ["--steps", "500", "--warmup", "50"], "wide": ["--steps", "20", "--warmup", "5"]}


def python_with(module, variable, usual):
    for candidate in (os.environ.get(variable), usual, shutil.which("python3")):
        if candidate and pathlib.Path(candidate).exists():
            if subprocess.run([candidate, "-c", f"import {module}"], capture_output=True).returncode == 0:
                return candidate
    return None


def last_json(command, case):
    """The object that the command printed for this case, or the reason why there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent.parent, timeout=900)
    except subprocess.TimeoutExpired:
        return None, "took more than 15 minutes"
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    found = [f for f in found if f.get("case", case) == case]
    if done.returncode or not found:
        return None, (done.stderr.strip().splitlines() or ["no output"])[-1]
    return found[-1], None


def main():
    parser = argparse.ArgumentParser(description="gradus beside its peers.")
    parser.add_argument("--device", choices=["cpu", "gpu", "software"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", default="2", help="of gradus, a round")
    parser.add_argument("--cases", default="article,wide")
    args = parser.parse_args()

    torch = python_with("torch", "PYTORCH", "/opt/torchvenv/bin/python")
    jax = python_with("jax", "JAX", "/opt/jaxvenv/bin/python")
    threads = ["--threads", str(args.threads)]
    subprocess.run(["cargo", "bench", "-q", "--bench", "step", "--no-run"], cwd=HERE.parent.parent, check=True)

    def gradus(case):
        return ["cargo", "bench", "-q", "--bench", "step", "--", "--device", args.device, *threads, "--seconds", args.seconds, "--only", case]

    peers = {"gradus": gradus}
    script = [str(HERE / "pytorch_step.py")]
    on = ["--device", "cuda"] if args.device == "gpu" else threads
    if torch:
        flags = {"PyTorch eager": [], "PyTorch eager, fused Adam": ["--fused"], "PyTorch compiled, fused Adam": ["--compile", "--fused"]}
        if args.device == "gpu":
            flags["PyTorch CUDA graph"] = ["--graph"]
        for name, extra in flags.items():
            peers[name] = lambda case, extra=extra: [torch, *script, *on, *CASES[case], *LENGTH[case], *extra]
    if jax:
        peers["JAX jit"] = lambda case: [jax, str(HERE / "jax_step.py"), *threads, *CASES[case], *LENGTH[case]]

    results, gone = {}, {}
    for round in range(args.rounds):
        for case in args.cases.split(","):
            for name, command in peers.items():
                if (name, case) in gone:
                    continue
                print(f"round {round + 1} of {args.rounds}: {case}, {name}", file=sys.stderr)
                found, why = last_json(command(case), case)
                if found:
                    results.setdefault((name, case), []).append(found)
                else:
                    gone[(name, case)] = why

    print("| case | peer | version | median ms a step | least | most | its time over gradus' |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    for case in args.cases.split(","):
        ours = [r["ms_per_step"] for r in results.get(("gradus", case), [])]
        for name in peers:
            runs = results.get((name, case))
            if not runs:
                continue
            times = [r["ms_per_step"] for r in runs]
            version = runs[0].get("torch") or runs[0].get("version")
            ratio = f"{statistics.median(times) / statistics.median(ours):.2f}" if ours else ""
            print(f"| {case} | {name} | {version} | {statistics.median(times):.3f} | {min(times):.3f} | {max(times):.3f} | {ratio} |")
    for (name, case), why in gone.items():
        print(f"\n{case}, {name}: left out, {why}")
    controls = [r["control_ms"] for runs in results.values() for r in runs if "control_ms" in r]
    within = [r["control_moved"] for runs in results.values() for r in runs if "control_moved" in r]
    if controls:
        print(f"\ncontrol: {min(controls):.2f} to {max(controls):.2f} ms between rounds, moved by up to {max(within):.0%} within one")


if __name__ == "__main__":
    main()
