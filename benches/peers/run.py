#!/usr/bin/env python3
"""gradus and its peers on the same training steps, taking turns, in one table of ratios.

    python3 benches/peers/run.py --rounds 3 --threads 2
    python3 benches/peers/run.py --device software       # lavapipe: Burn on wgpu; LP_NUM_THREADS as it is set, else 0, for both
    python3 benches/peers/run.py --device gpu            # PyTorch on CUDA, eager, compiled and as a CUDA graph; Burn on wgpu

Runs what is there: gradus by `cargo bench --bench step`; PyTorch where $PYTORCH (else /opt/torchvenv/bin/python, else python3)
imports torch; JAX where $JAX (else /opt/jaxvenv/bin/python, else python3) imports jax; Keras, on TensorFlow, where $KERAS
(else python3) imports tensorflow; Burn (flex on the CPU, else wgpu) where $BURN, else target/peers/release/gradus-peer-burn, is
there. That is made, in a quarter of an hour, by

    cargo build --release --locked --manifest-path benches/peers/burn/Cargo.toml --target-dir target/peers

A peer that is missing or fails is named and left out. Cases: the article's 784-64-32-10 at batch 32 and the wide
784-1024-1024-10 at batch 512, beside all but Keras; Keras' network for digits (`cnn`) and ResNet-20 (`resnet20`) at batch 128,
beside all. All train with Adam on random data of MNIST's shape (ResNet-20: CIFAR's) that lies on the device (Burn on wgpu with
40,000 rows, of ResNet-20 10,000 everywhere: more of its f32 images do not fit in a binding of lavapipe). Burn on wgpu keeps
what it tuned in target/environment: without that its first run of a network of images takes some ten minutes of lavapipe, near
the quarter of an hour that a run may take. Every round runs each peer once; a figure is the median over the rounds, with the
least and the most. Ratios are the peer's time over gradus': above 1 gradus is faster; of the medians, and the least and most
within a round. `control` is fixed arithmetic inside the gradus runs: where it moved, others used the machine, and the ratios
are worth less.
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
ROOT = HERE.parent.parent
CASES = {
    "article": ["--hidden", "64,32", "--batch", "32"],
    "wide": ["--hidden", "1024,1024", "--batch", "512"],
    "cnn": ["--net", "cnn", "--batch", "128"],
    "resnet20": ["--net", "resnet20", "--batch", "128"],
}
LENGTH = {
    "article": ["--steps", "500", "--warmup", "50"],
    "wide": ["--steps", "20", "--warmup", "5"],
    "cnn": ["--steps", "10", "--warmup", "4", "--repeat", "3"],
    "resnet20": ["--steps", "3", "--warmup", "2", "--repeat", "3"],
}
IMAGES = {"cnn", "resnet20"}
# lavapipe takes its time; what is tuned or compiled on the way must have ended before the first repeat
SLOW = {
    "article": ["--steps", "60", "--warmup", "40", "--repeat", "3"],
    "wide": ["--steps", "4", "--warmup", "4", "--repeat", "3"],
    "cnn": ["--steps", "2", "--warmup", "2", "--repeat", "3"],
    "resnet20": ["--steps", "1", "--warmup", "2", "--repeat", "3"],
}


def python_with(module, variable, usual):
    for candidate in (os.environ.get(variable), usual, shutil.which("python3")):
        if candidate and pathlib.Path(candidate).exists():
            if subprocess.run([candidate, "-c", f"import {module}"], capture_output=True).returncode == 0:
                return candidate
    return None


def last_json(command, case, environment):
    """The object that the command printed for this case, or the reason why there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=900, env=environment)
    except subprocess.TimeoutExpired:
        return None, "took more than 15 minutes"
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    found = [f for f in found if f.get("case", case) == case]
    if done.returncode or not found:
        return None, (done.stderr.strip().splitlines() or ["no output"])[-1]
    return found[-1], None


def the_peers(args):
    """Each peer's name with its command for a case, and the names of those that are not here with the reason."""
    threads = ["--threads", str(args.threads)]
    bench = [args.program] if args.program else ["cargo", "bench", "-q", "--bench", "step", "--"]
    gradus = [*bench, "--device", args.device, *threads, "--seconds", args.seconds]
    peers, absent = {"gradus": lambda case: [*gradus, "--only", case]}, {}
    if args.device != "software":
        script = str(HERE / "pytorch_step.py")
        on = ["--device", "cuda"] if args.device == "gpu" else threads
        flags = {"PyTorch eager": [], "PyTorch eager, fused Adam": ["--fused"], "PyTorch compiled, fused Adam": ["--compile", "--fused"]}
        flags |= {f"{name}, channels last": [*extra, "--channels-last"] for name, extra in list(flags.items())[1:]}
        if args.device == "gpu":
            flags["PyTorch CUDA graph"] = ["--graph"]
        if torch := python_with("torch", "PYTORCH", "/opt/torchvenv/bin/python"):
            for name, extra in flags.items():
                peers[name] = lambda case, extra=extra: [torch, script, *on, *CASES[case], *LENGTH[case], *extra]
        else:
            absent["PyTorch"] = "no Python here imports torch: set PYTORCH to one that does"
        if jax := python_with("jax", "JAX", "/opt/jaxvenv/bin/python"):
            peers["JAX jit"] = lambda case: [jax, str(HERE / "jax_step.py"), *threads, *CASES[case], *LENGTH[case]]
        else:
            absent["JAX"] = "no Python here imports jax: set JAX to one that does"
        if args.device == "cpu":
            script_keras = str(HERE / "keras_step.py")
            if keras := python_with("tensorflow", "KERAS", None):
                for name, extra in {"Keras": [], "Keras, XLA": ["--jit"]}.items():
                    peers[name] = lambda case, extra=extra: [keras, script_keras, *threads, *CASES[case], *LENGTH[case], *extra]
            else:
                absent["Keras"] = "no Python here imports tensorflow: set KERAS to one that does"
    burn = pathlib.Path(os.environ.get("BURN") or ROOT / "target/peers/release/gradus-peer-burn")
    name, kind = ("Burn flex", "flex") if args.device == "cpu" else ("Burn wgpu", args.device)
    if burn.exists():
        length = SLOW if args.device == "software" else LENGTH
        peers[name] = lambda case: [str(burn), "--device", kind, *threads, *CASES[case], *length[case]]
    else:
        absent[name] = f"{burn} is not built: see the head of this script"
    return peers, absent


def knows(peer, case):
    """Keras' program here has images alone; only images have channels to put last."""
    return case in IMAGES or not peer.startswith("Keras") and "last" not in peer


def main():
    parser = argparse.ArgumentParser(description="gradus beside its peers.")
    parser.add_argument("--device", choices=["cpu", "gpu", "software"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", default="2", help="of gradus, a round")
    parser.add_argument("--cases", default="article,wide")
    parser.add_argument("--program", help="the bench `step` as it was built, instead of cargo's own")
    args = parser.parse_args()

    if not args.program:
        subprocess.run(["cargo", "bench", "-q", "--bench", "step", "--no-run"], cwd=ROOT, check=True)
    peers, absent = the_peers(args)
    environment = dict(os.environ)
    if args.device == "software":
        environment.setdefault("LP_NUM_THREADS", "0")

    results, gone = {}, {}
    for round in range(args.rounds):
        for case in args.cases.split(","):
            for name, command in peers.items():
                if (name, case) in gone or not knows(name, case):
                    continue
                print(f"round {round + 1} of {args.rounds}: {case}, {name}", file=sys.stderr)
                found, why = last_json(command(case), case, environment)
                if found:
                    results.setdefault((name, case), []).append(found)
                else:
                    gone[(name, case)] = why

    print("| case | peer | version | median ms a step | least | most | its time over gradus' | of a round | first step s | warm-up s |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    median = statistics.median
    for case in args.cases.split(","):
        ours = [r["ms_per_step"] for r in results.get(("gradus", case), [])]
        for name in peers:
            runs = results.get((name, case))
            if not runs:
                continue
            times = [r["ms_per_step"] for r in runs]
            version = runs[0].get("torch") or runs[0].get("version")
            ratio, within = "", ""
            if ours:
                rounds = [t / o for t, o in zip(times, ours)]
                ratio, within = f"{median(times) / median(ours):.2f}", f"{min(rounds):.2f} to {max(rounds):.2f}"
            seconds = [f"{median([r[key] for r in runs]):.2f}" if key in runs[0] else "" for key in ("first_step_s", "warm_up_s")]
            figures = [f"{t:.3f}" for t in (median(times), min(times), max(times))]
            print("| " + " | ".join([case, name, version, *figures, ratio, within, *seconds]) + " |")
        controls = [r["control_ms"] for r in results.get(("gradus", case), [])]
        if controls:
            figures = [f"{t:.3f}" for t in (median(controls), min(controls), max(controls))]
            moved = max(r["control_moved"] for r in results[("gradus", case)])
            print("| " + " | ".join([case, "control", f"moved by up to {moved:.0%} within a round", *figures, "", "", "", ""]) + " |")
    if args.device == "software":
        adapters = sorted({f"{r['device']} {r.get('driver', '')}".strip() for runs in results.values() for r in runs})
        print(f"\nLP_NUM_THREADS={environment['LP_NUM_THREADS']}; devices: {', '.join(adapters)}")
    for name, why in absent.items():
        print(f"\n{name}: left out, {why}")
    for (name, case), why in gone.items():
        print(f"\n{case}, {name}: left out, {why}")


if __name__ == "__main__":
    main()
