"""A training step of gpu_peers.py's nets in JAX, jitted as a whole with its buffers given away:
gpu_jax.py NET DEVICE [STEPS] prints {"jax": seconds}. F32, highest precision, deterministic."""

import functools
import json
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "peers"))
import step_jax  # its nets

os.environ["XLA_FLAGS"] = "--xla_gpu_deterministic_ops=true"  # instead of what it sets for a CPU
os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
import jax
import jax.numpy as jnp
import numpy as np

LR, MOMENTUM, L2, WINDOWS = 0.01, 0.9, 1e-4, 7
MLPS = {"small": ([784, 50, 50, 50, 10], jnp.tanh, 50), "large": ([784, 800, 800, 10], None, 128)}


def mlp(name):
    sizes, act, batch = MLPS[name]
    pairs = list(zip(sizes[:-1], sizes[1:]))
    w = {f"w{i}": step_jax.weight(*p) for i, p in enumerate(pairs)}
    w |= {f"b{i}": jnp.zeros(p[1]) for i, p in enumerate(pairs)}

    def net(w, s, x):
        for i in range(len(pairs)):
            x = x @ w[f"w{i}"] + w[f"b{i}"]
            x = (act or jax.nn.relu)(x) if i + 1 < len(pairs) else x
        return x, s

    return net, w, batch, (784,)


def subject(name):
    if name in MLPS:
        return mlp(name)
    if name == "lenet":
        return step_jax.lenet, step_jax.lenet_weights(), 64, (28, 28, 1)
    return step_jax.resnet, step_jax.resnet_weights(), 64, (32, 32, 3)


def main(name, steps):
    jax.config.update("jax_default_matmul_precision", "highest")
    net, w, batch, shape = subject(name)
    norms = [k[:-1] for k in w if k.endswith("g")]
    s = {n: (jnp.zeros_like(w[n + "g"]), jnp.ones_like(w[n + "g"])) for n in norms}
    rng = np.random.default_rng(1)
    images = jnp.asarray(rng.integers(0, 256, (2048, *shape)), jnp.uint8)
    labels = jnp.asarray(rng.integers(0, 10, 2048), jnp.int32)
    index = jnp.asarray(rng.integers(0, 2048, batch))

    def loss(w, s, index):
        out, s = net(w, s, images[index].astype(jnp.float32) * (1 / 255))
        out = jax.nn.log_softmax(out)
        value = -jnp.take_along_axis(out, labels[index][:, None], 1).mean()
        return value + sum(0.5 * L2 * (p * p).sum() for p in w.values() if p.ndim > 1), s

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(w, v, s, index):
        g, s = jax.grad(loss, has_aux=True)(w, s, index)
        v = jax.tree.map(lambda a, b: MOMENTUM * a + b, v, g)
        return jax.tree.map(lambda a, b: a - LR * b, w, v), v, s

    v, times = jax.tree.map(jnp.zeros_like, w), []
    for _ in range(WINDOWS + 1):
        start = time.perf_counter()
        for _ in range(steps):
            w, v, s = step(w, v, s, index)
        jax.block_until_ready(w)
        times.append((time.perf_counter() - start) / steps)
    print(json.dumps({"jax": statistics.median(times[1:]), "version": jax.__version__}))


if __name__ == "__main__":
    if sys.argv[2] == "cpu":
        jax.config.update("jax_platforms", "cpu")
    main(sys.argv[1], int(sys.argv[3]) if len(sys.argv) > 3 else 50)
