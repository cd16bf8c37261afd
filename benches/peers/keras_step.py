#!/usr/bin/env python3
"""Times Keras' training step on TensorFlow's CPU (oneDNN), compiled into one function, on the networks for images of `pytorch_step.py`.

    python benches/peers/keras_step.py --threads 2 --net cnn --batch 128

One step is a `tf.function`: the batch's rows are taken by a shuffled order, then forward, loss, gradients and Adam. It is what
`fit` runs for a batch, without its loop over Python. Prints one JSON object with the keys of `pytorch_step.py`.
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

CLASSES = 10
ROWS = {"cnn": (60 * 128, (28, 28, 1)), "resnet20": (20 * 128, (32, 32, 3))}


def cnn():
    return keras.Sequential(
        [
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(CLASSES),
        ]
    )


def resnet20():
    image = keras.Input((32, 32, 3))
    conv = lambda x, out, size, stride: layers.Conv2D(out, size, stride, padding="same", use_bias=False)(x)  # noqa: E731
    norm = lambda: layers.BatchNormalization(epsilon=1e-5, momentum=0.9)  # noqa: E731, PyTorch's settings
    x = layers.ReLU()(norm()(conv(image, 16, 3, 1)))
    for stage, out in enumerate([16, 32, 64]):
        for block in range(3):
            stride = 2 if stage and not block else 1
            rest = x if x.shape[-1] == out else norm()(conv(x, out, 1, stride))
            h = layers.ReLU()(norm()(conv(x, out, 3, stride)))
            x = layers.ReLU()(layers.Add()([norm()(conv(h, out, 3, 1)), rest]))
    return keras.Model(image, layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(x)))


def main():
    parser = argparse.ArgumentParser(description="Times Keras' training step.")
    parser.add_argument("--net", choices=["cnn", "resnet20"], default="cnn")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10, help="steps in a repeat")
    parser.add_argument("--warmup", type=int, default=4, help="steps before the first repeat")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--jit", action="store_true", help="compile by XLA")
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(0)

    count, row = ROWS[args.net]
    rng = np.random.default_rng(0)
    x = tf.constant(rng.random((count, *row), dtype=np.float32))
    y = tf.constant(rng.integers(CLASSES, size=count))
    model = {"cnn": cnn, "resnet20": resnet20}[args.net]()
    model(x[:1])
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(jit_compile=args.jit)
    def step(rows):
        inputs, labels = tf.gather(x, rows), tf.gather(y, rows)
        with tf.GradientTape() as tape:
            loss = loss_fn(labels, model(inputs, training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    def batches():
        while True:
            order = rng.permutation(count).astype(np.int32)
            for at in range(0, count - args.batch + 1, args.batch):
                yield tf.constant(order[at : at + args.batch])

    feed = batches()

    def run(steps):
        """Milliseconds per step."""
        start = time.perf_counter()
        for _ in range(steps):
            loss = step(next(feed))
        loss.numpy()
        return (time.perf_counter() - start) * 1e3 / steps

    run(max(args.warmup, 1))
    times = [run(args.steps) for _ in range(args.repeat)]
    print(
        json.dumps(
            {
                "peer": "keras",
                "version": f"{keras.__version__}, TensorFlow {tf.__version__}",
                "device": "cpu",
                "threads": args.threads,
                "layers": args.net,
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
