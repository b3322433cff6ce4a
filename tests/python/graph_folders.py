"""Writes exported graphs of small models, for tests of what reads them:

    tests/python/graph_folders.py OUT [NAME ...]

OUT/NAME-f64 and OUT/NAME-f32 hold graph.json, weights.safetensors and parity.safetensors
(docs/GRAPH.md). The same call gives the same folders."""

import pathlib
import sys

import nets
import torch
from torch import nn

from drmad.export import export_graph

BATCH = 8
IMAGES = lambda dtype: nets.images(BATCH, dtype=dtype)  # noqa: E731
TOKENS = lambda dtype: (nets.tokens(BATCH),)  # noqa: E731
MODELS = {
    "mlp": (nets.mlp, IMAGES, nets.mean),
    "mlp-rows": (nets.mlp, IMAGES, nets.rows),
    "lenet": (nets.lenet, IMAGES, nets.mean),
    "resnet": (nets.resnet, IMAGES, nets.mean),
    "vit": (nets.ViT, IMAGES, nets.mean),
    "gpt": (nets.GPT, TOKENS, nets.next_token),
}


def write(name: str, dtype: torch.dtype, folder) -> None:
    make, data, loss = MODELS[name]
    model: nn.Module = nets.seeded_model(make, dtype=dtype)
    export_graph(model, loss, data(dtype), folder)


def main(out: str, *names: str) -> None:
    for name in names or MODELS:
        for dtype in (torch.float64, torch.float32):
            folder = pathlib.Path(out) / f"{name}-f{torch.finfo(dtype).bits}"
            write(name, dtype, folder)
            print(folder, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
