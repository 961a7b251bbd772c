"""Small checkpoints with random weights, laid out as the packages that formats come from write them."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

V, D = 40, 16
LAYERS = 2


def random(shapes: dict[str, list[int]], seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Return tensors of these shapes, those of norms near one."""
    rng = np.random.default_rng(seed)
    drawn = {name: torch.from_numpy(0.3 * rng.standard_normal(shape)) for name, shape in shapes.items()}
    return {n: (t + ("norm" in n and n.endswith("weight"))).to(dtype) for n, t in drawn.items()}


def mamba1(folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    shapes = {"backbone.embedding.weight": [V, D], "backbone.norm_f.weight": [D]}
    for i in range(LAYERS):
        layer = {
            "norm.weight": [D],
            "mixer.in_proj.weight": [64, D],
            "mixer.conv1d.weight": [32, 1, 4],
            "mixer.conv1d.bias": [32],
            "mixer.x_proj.weight": [1 + 2 * 16, 32],
            "mixer.dt_proj.weight": [32, 1],
            "mixer.dt_proj.bias": [32],
            "mixer.A_log": [32, 16],
            "mixer.D": [32],
            "mixer.out_proj.weight": [D, 32],
        }
        shapes |= {f"backbone.layers.{i}.{name}": shape for name, shape in layer.items()}
    settings = {"d_model": D, "n_layer": LAYERS, "vocab_size": 37, "ssm_cfg": {}, "rms_norm": True}
    return _mamba(folder, random(shapes, dtype=dtype), settings)


def mamba2(folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    shapes = {"backbone.embedding.weight": [V, D], "backbone.norm_f.weight": [D]}
    for i in range(LAYERS):
        layer = {
            "norm.weight": [D],
            "mixer.in_proj.weight": [2 * 32 + 2 * 8 + 4, D],
            "mixer.conv1d.weight": [32 + 2 * 8, 1, 4],
            "mixer.conv1d.bias": [32 + 2 * 8],
            "mixer.dt_bias": [4],
            "mixer.A_log": [4],
            "mixer.D": [4],
            "mixer.norm.weight": [32],
            "mixer.out_proj.weight": [D, 32],
        }
        shapes |= {f"backbone.layers.{i}.{name}": shape for name, shape in layer.items()}
    layer = {"layer": "Mamba2", "d_state": 8, "headdim": 8}
    settings = {"d_model": D, "n_layer": LAYERS, "vocab_size": 37, "ssm_cfg": layer, "attn_layer_idx": []}
    return _mamba(folder, random(shapes, dtype=dtype), settings)


def _mamba(folder: Path, weights: dict[str, Tensor], settings: dict[str, object]) -> Path:
    folder.mkdir(parents=True)
    # The output shares the embedding's numbers, in the file as well.
    weights["lm_head.weight"] = weights["backbone.embedding.weight"]
    (folder / "config.json").write_text(json.dumps(settings))
    torch.save(weights, folder / "pytorch_model.bin")
    return folder


def change_settings(folder: Path, **settings: object) -> Path:
    """Set what config.json says."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return folder


OFFICIAL = {"mamba1": mamba1, "mamba2": mamba2}
"""Name of an architecture -> what writes a checkpoint of it to a folder."""
