#!/usr/bin/env python3
"""gradus on Spark beside Elephas and Spark's own TorchDistributor: MNIST, the article's network, two workers of one thread.

    python3 benches/peers/spark.py --epochs 5 --rounds 1

Each is one process with a Spark of its own, `local[2]`, and takes its turn. Adam at 0.001, batches of 32 of each worker. Needs GRADUS_DATA,
GRADUS_PROGRAM (`cargo build --release --features cli,dist --bin gradus`), Java 17, and Pythons; whichever is not there is named and left out:

    $GRADUS_SPARK  pip install 'pyspark[connect]>=4,<5' pyarrow numpy 'pandas<3'; else /opt/sparkvenv/bin/python, else python3
    $ELEPHAS       pip install elephas==7.3.0 'tensorflow-cpu<2.20': it wants pyspark 4.0.0 or older and numpy 1, so an environment of its own
    $TORCH_SPARK   pip install torch 'pyspark>=4,<5' pyarrow numpy 'pandas<3'

What is timed: `session`, until Spark is there; `fit`, one whole call (Python workers, the rows' way to them, training); `epoch`, the median of those after
the first, as the system itself tells of their ends. Elephas tells nothing where it is asynchronous: there it is what a fit of all epochs takes longer than one of a single
epoch, after one that has warmed up. Test accuracy is that of the trained network on the 10,000 test images.

They do not do the same in an epoch. gradus `sync` and TorchDistributor join gradients in every step; gradus `async` sends every step's gradients when they
come; gradus `local` averages parameters, here once an epoch; Elephas `sync` averages once an epoch, and begins its optimizer anew then; Elephas `async` exchanges
weights once an epoch, `async batch` in every step.
"""

import argparse
import gzip
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve()
ROOT = HERE.parent.parent.parent
LAYERS, BATCH, RATE = (64, 32, 10), 32, 0.001
STEPS_AN_EPOCH = {workers: -(-60_000 // (workers * BATCH)) for workers in (1, 2, 3, 4)}
#: name: the variable of its Python, and what that must import
SYSTEMS = {
    "gradus sync": ("GRADUS_SPARK", "pyspark, pyarrow"),
    "gradus async": ("GRADUS_SPARK", "pyspark, pyarrow"),
    "gradus local": ("GRADUS_SPARK", "pyspark, pyarrow"),
    "elephas sync": ("ELEPHAS", "elephas"),
    "elephas async": ("ELEPHAS", "elephas"),
    "elephas async batch": ("ELEPHAS", "elephas"),
    "torch sync": ("TORCH_SPARK", "torch, pyspark"),
}


def mnist(part):
    """Images `[rows, 784]` from 0 to 1, and labels."""
    import numpy as np

    folder = pathlib.Path(os.environ["GRADUS_DATA"]) / "mnist"
    found = []
    for name, head in ((f"{part}-images-idx3-ubyte", 16), (f"{part}-labels-idx1-ubyte", 8)):
        path = folder / name
        data = path.read_bytes() if path.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())
        found.append(np.frombuffer(data, np.uint8, offset=head))
    return found[0].reshape(-1, 784).astype(np.float32) / 255, found[1].astype(np.int32)


def spark_session(workers):
    from pyspark.sql import SparkSession

    began = time.time()
    builder = SparkSession.builder.master(f"local[{workers}]").config("spark.ui.enabled", "false").config("spark.driver.memory", "4g")
    spark = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark, time.time() - began


def between(times):
    """Seconds from each moment to the next."""
    return [b - a for a, b in zip(times, times[1:])]


# --- one process each -------------------------------------------------------------------------------------------------------------------


def gradus(mode, epochs, workers):
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    sys.path.insert(0, str(ROOT / "python/gradus_spark"))
    os.environ["PYTHONPATH"] = str(ROOT / "python/gradus_spark")
    from gradus_spark import GradusEstimator
    from gradus_spark import history

    spark, session = spark_session(workers)
    layers = []
    for width in LAYERS[:-1]:
        layers += [{"layer": "linear", "out_features": width}, {"layer": "activation", "function": "relu"}]
    recipe = {
        "version": 2,
        "data": {"source": "here"},
        "model": {"layers": [*layers, {"layer": "linear", "out_features": LAYERS[-1]}, {"layer": "softmax"}]},
        "compile": {"input": [784], "optimizer": {"name": "adam", "lr": RATE}, "loss": {"name": "cross_entropy"}, "metrics": [{"name": "accuracy"}]},
        "fit": {"epochs": epochs, "batch_size": BATCH},
    }
    ends, heard = [], history.heard
    history.heard = lambda line, losses: heard(line, losses) and not ends.append(time.time())
    with tempfile.TemporaryDirectory() as folder:
        frames = []
        for part in ("train", "t10k"):
            images, labels = mnist(part)
            rows = pa.FixedSizeListArray.from_arrays(pa.array(images.reshape(-1)), 784).cast(pa.list_(pa.float32()))
            pq.write_table(pa.table({"features": rows, "label": labels}), f"{folder}/{part}.parquet", row_group_size=10_000)
            frames.append(spark.read.parquet(f"{folder}/{part}.parquet"))
        estimator = GradusEstimator(recipe=json.dumps(recipe), workers=workers, mode=mode, every=STEPS_AN_EPOCH[workers])
        began = time.time()
        model = estimator.fit(frames[0])
        fit = time.time() - began
        found = model.transform(frames[1]).select("label", "prediction").collect()
        right = np.mean([int(np.argmax(row.prediction)) == row.label for row in found])
    return {"session": session, "fit": fit, "epoch": between(ends), "accuracy": float(right)}


def elephas(mode, epochs, workers):
    import numpy as np
    import tensorflow as tf
    from elephas.spark_model import AsynchronousSparkModel, SparkModel
    from elephas.utils.rdd_utils import to_simple_rdd
    from tensorflow import keras

    spark, session = spark_session(workers)
    (images, labels), (test_images, test_labels) = mnist("train"), mnist("t10k")
    rows = to_simple_rdd(spark.sparkContext, images, np.eye(10, dtype=np.float32)[labels])

    def network():
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(width, activation="relu") for width in LAYERS[:-1]] + [keras.layers.Dense(LAYERS[-1], activation="softmax")]
        net = keras.Sequential([keras.Input((784,)), *layers])
        net.compile(optimizer=keras.optimizers.Adam(RATE), loss="categorical_crossentropy", metrics=["accuracy"])
        return net

    class Times(list):
        """The moments at which histories come in: each worker's, after its epoch."""

        def append(self, _):
            super().append(time.time())

    def trained(epochs, port):
        """Seconds of a fit, moments of the ends of epochs, the network."""
        if mode == "sync":
            model = SparkModel(network(), num_workers=workers, batch_size=BATCH)
        else:
            frequency = "batch" if mode == "async batch" else "epoch"
            model = AsynchronousSparkModel(network(), num_workers=workers, batch_size=BATCH, frequency=frequency, port=port)
        model._training_histories = Times()
        began = time.time()
        model.fit(rows, epochs=epochs, batch_size=BATCH, verbose=0, validation_split=0.0)
        return time.time() - began, list(model._training_histories)[workers - 1 :: workers], model.master_network

    if mode == "sync":
        fit, ends, net = trained(epochs, None)
        epoch = between(ends)
    else:
        # the first warms up what later ones find there
        (fit, _, _), single = trained(1, 4001), trained(1, 4002)[0]
        again, _, net = trained(epochs, 4003)
        epoch = [(again - single) / (epochs - 1)]
        fit += again - single
    right = float(np.mean(net.predict(test_images, verbose=0).argmax(1) == test_labels))
    return {"session": session, "fit": fit, "epoch": epoch, "accuracy": right, "version": tf.__version__}


def torch_part(epochs, batch, rate, widths):
    """What each process of TorchDistributor does: distributed data parallel over its part of the rows. It stands alone, since it is pickled."""
    import importlib.util
    import os
    import time

    import torch
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    spec = importlib.util.spec_from_file_location("peer", os.environ["PEER"])
    peer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peer)
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images, labels = (torch.from_numpy(a) for a in peer.mnist("train"))
    images, labels = images[rank::world], labels[rank::world].long()
    layers, of = [], 784
    for width in widths:
        layers, of = layers + [torch.nn.Linear(of, width), torch.nn.ReLU()], width
    net = torch.nn.Sequential(*layers[:-1])
    joined = DistributedDataParallel(net)
    optimizer, loss_of = torch.optim.Adam(net.parameters(), rate), torch.nn.CrossEntropyLoss()
    ends = []
    for _ in range(epochs):
        for part in torch.randperm(len(images)).split(batch):
            optimizer.zero_grad()
            loss_of(joined(images[part]), labels[part]).backward()
            optimizer.step()
        dist.barrier()
        ends.append(time.time())
    test_images, test_labels = (torch.from_numpy(a) for a in peer.mnist("t10k"))
    with torch.no_grad():
        right = (net(test_images).argmax(1) == test_labels).float().mean().item()
    dist.destroy_process_group()
    return ends, right


def torch(mode, epochs, workers):
    import torch as pytorch
    from pyspark.ml.torch.distributor import TorchDistributor

    _, session = spark_session(workers)
    os.environ["PEER"] = str(HERE)
    began = time.time()
    ends, right = TorchDistributor(num_processes=workers, local_mode=True, use_gpu=False).run(torch_part, epochs, BATCH, RATE, LAYERS)
    return {"session": session, "fit": time.time() - began, "epoch": between(ends), "accuracy": right, "version": pytorch.__version__}


# --- all of them ------------------------------------------------------------------------------------------------------------------------


def python_of(variable, imports):
    for candidate in (os.environ.get(variable), "/opt/sparkvenv/bin/python", shutil.which("python3")):
        if candidate and pathlib.Path(candidate).exists():
            if subprocess.run([candidate, "-c", f"import {imports}"], capture_output=True).returncode == 0:
                return candidate
    return None


def turn(name, python, args):
    """What one process says, or why it has failed."""
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python}
    # one thread a worker, for all of them
    environment.update({n: "1" for n in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")} | {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"})
    command = [python, str(HERE), "--one", name, "--epochs", str(args.epochs), "--workers", str(args.workers)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=args.limit)
    except subprocess.TimeoutExpired:
        return None, f"took more than {args.limit} s"
    found = [line for line in done.stdout.splitlines() if line.startswith('{"session"')]
    if done.returncode or not found:
        return None, (done.stderr.strip().splitlines() or ["no output"])[-1]
    return json.loads(found[-1]), None


def main():
    parser = argparse.ArgumentParser(description="gradus on Spark beside its peers.")
    parser.add_argument("--epochs", type=int, default=5, help="at least 2")
    parser.add_argument("--workers", type=int, default=2, choices=sorted(STEPS_AN_EPOCH))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default="", help="those whose names begin so, comma-separated")
    parser.add_argument("--limit", type=int, default=1800, help="seconds for each")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        system, mode = args.one.split(" ", 1)
        print(json.dumps(globals()[system](mode, args.epochs, args.workers)))
        return
    only = tuple(o for o in args.only.split(",") if o) or ("",)
    results, gone = {}, {}
    for _ in range(args.rounds):
        for name in (n for n in SYSTEMS if n.startswith(only) and n not in gone):
            python = python_of(*SYSTEMS[name])
            found, why = turn(name, python, args) if python else (None, f"no Python here imports {SYSTEMS[name][1]}: set {SYSTEMS[name][0]}")
            if found:
                found["load"] = os.getloadavg()[0]
                results.setdefault(name, []).append(found)
                print(f"{name}: {found}", file=sys.stderr, flush=True)
            else:
                gone[name] = why
    print("| system | seconds an epoch | least | most | whole fit, s | Spark's start, s | test accuracy | load |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, runs in results.items():
        epochs = [e for r in runs for e in r["epoch"]] or [float("nan")]
        median = {key: statistics.median(r[key] for r in runs) for key in ("fit", "session", "accuracy", "load")}
        figures = [f"{statistics.median(epochs):.2f}", f"{min(epochs):.2f}", f"{max(epochs):.2f}", f"{median['fit']:.1f}", f"{median['session']:.1f}"]
        print("| " + " | ".join([name, *figures, f"{100 * median['accuracy']:.2f} %", f"{median['load']:.1f}"]) + " |")
    for name, why in gone.items():
        print(f"\n{name}: left out, {why}")


if __name__ == "__main__":
    main()
