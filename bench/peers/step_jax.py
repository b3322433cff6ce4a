"""A training step of bench_nets_peers.py's nets in JAX, jitted as a whole, on one thread: prints
{"jax": processor seconds}. Images [n, h, w, c] and weights [kh, kw, in, out], as XLA likes them."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
import jax
import jax.numpy as jnp
import numpy as np

BATCH, LR, MOMENTUM, L2 = 64, 0.01, 0.9, 1e-4
rng = np.random.default_rng(1)


def weight(*shape):
    return jnp.asarray(rng.normal(size=shape) * np.prod(shape[:-1]) ** -0.5, jnp.float32)


def conv(x, w, stride=1, padding="VALID"):
    return jax.lax.conv_general_dilated(
        x, w, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def pool(x):
    window = (1, 2, 2, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")


def lenet_weights():
    w = {"c1": weight(5, 5, 1, 32), "c2": weight(5, 5, 32, 64)}
    w |= {"l1": weight(1024, 128), "l2": weight(128, 10)}
    return w | {f"b{i}": jnp.zeros(n) for i, n in enumerate((32, 64, 128, 10))}


def lenet(w, s, x):
    a = pool(jax.nn.relu(conv(x, w["c1"]) + w["b0"]))
    a = pool(jax.nn.relu(conv(a, w["c2"]) + w["b1"]))
    a = jax.nn.relu(a.reshape(BATCH, -1) @ w["l1"] + w["b2"])
    return a @ w["l2"] + w["b3"], s


def norm(w, s, new, name, x):
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    count = x.size / x.shape[-1]
    new[name] = (
        0.9 * s[name][0] + 0.1 * mean,
        0.9 * s[name][1] + 0.1 * var * (count / (count - 1)),
    )
    return (x - mean) * (jax.lax.rsqrt(var + 1e-5) * w[name + "g"]) + w[name + "b"]


def blocks():
    width = 16
    for stage in range(3):
        for block in range(3):
            stride = 2 if stage > 0 and block == 0 else 1
            yield f"{stage}{block}", width, 16 << stage, stride
            width = 16 << stage


def resnet_weights():
    w, norms = {"stem": weight(3, 3, 3, 16)}, [("n0", 16)]
    for name, i, o, stride in blocks():
        w[name + "a"], w[name + "c"] = weight(3, 3, i, o), weight(3, 3, o, o)
        norms += [(name + "na", o), (name + "nc", o)]
        if stride > 1:
            w[name + "s"] = weight(1, 1, i, o)
            norms.append((name + "ns", o))
    for name, n in norms:
        w[name + "g"], w[name + "b"] = jnp.ones(n), jnp.zeros(n)
    return w | {"lw": weight(64, 10), "lb": jnp.zeros(10)}


def resnet(w, s, x):
    new = {}
    a = jax.nn.relu(norm(w, s, new, "n0", conv(x, w["stem"], 1, "SAME")))
    one = [(1, 1), (1, 1)]
    for name, _, _, stride in blocks():
        y = jax.nn.relu(norm(w, s, new, name + "na", conv(a, w[name + "a"], stride, one)))
        y = norm(w, s, new, name + "nc", conv(y, w[name + "c"], 1, one))
        if stride > 1:
            a = norm(w, s, new, name + "ns", conv(a, w[name + "s"], stride))
        a = jax.nn.relu(a + y)
    return a.mean((1, 2)) @ w["lw"] + w["lb"], new


def main(name):
    size, channels = (28, 1) if name == "lenet" else (32, 3)
    net, w = (lenet, lenet_weights()) if name == "lenet" else (resnet, resnet_weights())
    norms = [k[:-1] for k in w if k.endswith("g")]
    s = {n: (jnp.zeros_like(w[n + "g"]), jnp.ones_like(w[n + "g"])) for n in norms}
    images = jnp.asarray(rng.integers(0, 256, (2048, size, size, channels)), jnp.uint8)
    labels = jnp.asarray(rng.integers(0, 10, 2048), jnp.int32)

    def loss(w, s, index):
        x = images[index].astype(jnp.float32) * (1 / 255)
        out, s = net(w, s, x)
        out = jax.nn.log_softmax(out)
        value = -jnp.take_along_axis(out, labels[index][:, None], 1).mean()
        return value + sum(0.5 * L2 * (p * p).sum() for p in w.values() if p.ndim > 1), s

    @jax.jit
    def step(w, v, s, index):
        g, s = jax.grad(loss, has_aux=True)(w, s, index)
        v = jax.tree.map(lambda a, b: MOMENTUM * a + b, v, g)
        return jax.tree.map(lambda a, b: a - LR * b, w, v), v, s

    v, times = jax.tree.map(jnp.zeros_like, w), []
    for t in range(25):
        index = jnp.asarray(rng.integers(0, 1920, BATCH))
        start = time.process_time()
        w, v, s = jax.block_until_ready(step(w, v, s, index))
        times.append(time.process_time() - start)
        if t > 7 and sum(times[1:]) > 3:
            break
    print(json.dumps({"jax": statistics.median(times[2:])}))


if __name__ == "__main__":
    main(sys.argv[1])
