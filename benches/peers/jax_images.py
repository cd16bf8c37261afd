"""The networks for images of `pytorch_step.py` in JAX: parameters, and logits in training. Channels last, as its users write them."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

ROWS = {"cnn": (60 * 128, (28, 28, 1)), "resnet20": (20 * 128, (32, 32, 3))}


def conv(x, w, stride=1, padding="SAME"):
    return lax.conv_general_dilated(x, w, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def cnn(draw, classes):
    params = {
        "c1": (draw(3, 3, 1, 32), jnp.zeros(32)),
        "c2": (draw(3, 3, 32, 64), jnp.zeros(64)),
        "d1": (draw(9216, 128), jnp.zeros(128)),
        "d2": (draw(128, classes), jnp.zeros(classes)),
    }

    def forward(p, running, x):
        x = jax.nn.relu(conv(x, p["c1"][0], padding="VALID") + p["c1"][1])
        x = jax.nn.relu(conv(x, p["c2"][0], padding="VALID") + p["c2"][1])
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x = jax.nn.relu(x.reshape(x.shape[0], -1) @ p["d1"][0] + p["d1"][1])
        return x @ p["d2"][0] + p["d2"][1], running

    return params, {}, forward


def resnet20(draw, classes):
    params, running = {}, {}

    def layer(name, i, o, kernel=3):
        params[name] = {"w": draw(kernel, kernel, i, o), "scale": jnp.ones(o), "shift": jnp.zeros(o)}
        running[name] = (jnp.zeros(o), jnp.ones(o))

    blocks, inside = [], 16
    layer("first", 3, 16)
    for stage, out in enumerate([16, 32, 64]):
        for block in range(3):
            name, stride = f"{stage}.{block}", 2 if stage and not block else 1
            layer(name + "a", inside, out)
            layer(name + "b", out, out)
            if inside != out:
                layer(name + "rest", inside, out, 1)
            blocks.append((name, stride, inside != out))
            inside = out
    params["fc"] = (draw(64, classes), jnp.zeros(classes))

    def forward(p, running, x):
        now = {}

        def normed(name, x, stride=1):
            x = conv(x, p[name]["w"], stride)
            mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
            n = x.size // x.shape[-1]
            old = running[name]
            now[name] = (0.9 * old[0] + 0.1 * mean, 0.9 * old[1] + 0.1 * var * n / (n - 1))
            return (x - mean) * (p[name]["scale"] * lax.rsqrt(var + 1e-5)) + p[name]["shift"]

        x = jax.nn.relu(normed("first", x))
        for name, stride, rest in blocks:
            h = jax.nn.relu(normed(name + "a", x, stride))
            x = jax.nn.relu(normed(name + "b", h) + (normed(name + "rest", x, stride) if rest else x))
        x = x.mean((1, 2))
        return x @ p["fc"][0] + p["fc"][1], now

    return params, running, forward


def build(net, seed, classes):
    """Parameters, running statistics, and the function of both and images."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(rng.uniform(-1, 1, shape).astype(np.float32) / np.sqrt(np.prod(shape[:-1])))  # noqa: E731
    return {"cnn": cnn, "resnet20": resnet20}[net](draw, classes)
