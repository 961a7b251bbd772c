"""Small checkpoints with random weights, laid out as the packages that formats come from write them."""

import json
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

V, D = 40, 16
LAYERS = 2


def random(shapes: dict[str, list[int]], seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Return tensors of these shapes, those of norms near one."""
    rng = np.random.default_rng(seed)
    drawn = {name: torch.from_numpy(0.3 * rng.standard_normal(shape)) for name, shape in shapes.items()}
    return {n: (t + (("norm" in n or "ln" in n) and n.endswith("weight"))).to(dtype) for n, t in drawn.items()}


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


def gla(folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    layer = {
        "attn.q_proj.weight": [8, D],
        "attn.k_proj.weight": [8, D],
        "attn.v_proj.weight": [16, D],
        "attn.g_proj.weight": [16, D],
        "attn.gk_proj.0.weight": [4, D],
        "attn.gk_proj.1.weight": [8, 4],
        "attn.gk_proj.1.bias": [8],
        "attn.g_norm_swish_gate.weight": [8],
        "attn.o_proj.weight": [D, 16],
    }
    return _fla(folder, layer, {"model_type": "gla", "num_heads": 2, "norm_eps": 1e-3}, dtype)


def delta_net(folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    return _fla(folder, _delta(8, 8), {"model_type": "delta_net", "num_heads": 2, "norm_eps": 1e-3}, dtype)


def gated_deltanet(folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    layer = _delta(8, 16) | {
        "attn.a_proj.weight": [2, D],
        "attn.A_log": [2],
        "attn.dt_bias": [2],
        "attn.g_proj.weight": [32, D],
    }
    settings = {"model_type": "gated_deltanet", "num_heads": 2, "norm_eps": 1e-3, "allow_neg_eigval": True}
    return _fla(folder, layer, settings, dtype)


def kda(folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    layer = _delta(8, 6) | {"attn.A_log": [2], "attn.dt_bias": [16], "attn.g_proj.1.bias": [12]}
    layer |= {"attn.f_proj.0.weight": [6, D], "attn.f_proj.1.weight": [16, 6]}
    layer |= {"attn.g_proj.0.weight": [6, D], "attn.g_proj.1.weight": [12, 6]}
    return _fla(folder, layer, {"model_type": "kda", "num_heads": 2, "norm_eps": 1e-3}, dtype)


def _delta(keys: int, values: int) -> dict[str, list[int]]:
    rows = {"q": 2 * keys, "k": 2 * keys, "v": 2 * values}
    return {
        **{f"attn.{part}_proj.weight": [size, D] for part, size in rows.items()},
        **{f"attn.{part}_conv1d.weight": [size, 1, 4] for part, size in rows.items()},
        "attn.b_proj.weight": [2, D],
        "attn.o_norm.weight": [values],
        "attn.o_proj.weight": [D, 2 * values],
    }


def _fla(folder: Path, layer: dict[str, list[int]], settings: dict[str, object], dtype: torch.dtype) -> Path:
    layer |= {"attn_norm.weight": [D], "mlp_norm.weight": [D]}
    layer |= {"mlp.gate_proj.weight": [24, D], "mlp.up_proj.weight": [24, D], "mlp.down_proj.weight": [D, 24]}
    shapes = {"model.embeddings.weight": [V, D], "model.norm.weight": [D], "lm_head.weight": [V, D]}
    shapes |= {f"model.layers.{i}.{name}": shape for i in range(LAYERS) for name, shape in layer.items()}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"hidden_size": D, "vocab_size": V, **settings}))
    save_file(random(shapes, dtype=dtype), folder / "model.safetensors", {"format": "pt"})
    return folder


def rwkv6_fla(folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    linear = {f"attn.{part}_proj.linear.weight": [D, D] for part in "rkvg"}
    layer = linear | {
        "attn.x_proj.0.mu": [D],
        "attn.x_proj.0.linear.weight": [5 * 3, D],
        "attn.x_proj.2.weight": [D, 5 * 3],
        "attn.x_bias": [5, D],
        "attn.w_proj.linear.lora.0.weight": [4, D],
        "attn.w_proj.linear.lora.2.weight": [D, 4],
        "attn.w_proj.linear.lora.2.bias": [D],
        "attn.bonus": [2, 8],
        "ffn.key.mu": [D],
        "ffn.key.linear.weight": [24, D],
        "ffn.receptance.mu": [D],
        "ffn.receptance.linear.weight": [D, D],
    }
    return _fla_rwkv(folder, layer, {"model_type": "rwkv6", "num_heads": 2, "norm_eps": 1e-3}, dtype)


def rwkv7_fla(folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    layer = {f"attn.x_{part}": [1, 1, D] for part in "rwkvag"} | {f"attn.{part}_proj.weight": [D, D] for part in "rkv"}
    layer |= {"attn.k_k": [D], "attn.k_a": [D], "attn.r_k": [2, 8]}
    layer |= {"ffn.x_k": [D], "ffn.key.weight": [24, D]}
    for part, rank in {"w": 3, "a": 4, "g": 5, "v": 6}.items():
        layer |= {f"attn.{part}_lora.lora.0.weight": [rank, D], f"attn.{part}_lora.lora.2.weight": [D, rank]}
        layer |= {} if part == "g" else {f"attn.{part}_lora.lora.2.bias": [D]}
    return _fla_rwkv(folder, layer, {"model_type": "rwkv7", "head_dim": 8, "norm_eps": 1e-3}, dtype)


def _fla_rwkv(folder: Path, layer: dict[str, list[int]], settings: dict[str, object], dtype: torch.dtype) -> Path:
    layer |= {"attn.o_proj.weight": [D, D], "ffn.value.weight": [D, 24]}
    shapes = {"model.embeddings.weight": [V, D], "lm_head.weight": [V, D]}
    shapes |= {f"model.layers.{i}.{name}": shape for i in range(LAYERS) for name, shape in layer.items()}
    for norm in ("attn_norm", "ffn_norm", "attn.g_norm"):
        shapes |= {f"model.layers.{i}.{norm}.{part}": [D] for i in range(LAYERS) for part in ("weight", "bias")}
    for norm in ("layers.0.pre_norm", "norm"):
        shapes |= {f"model.{norm}.{part}": [D] for part in ("weight", "bias")}
    shapes = {name: shape for name, shape in shapes.items() if not name.startswith("model.layers.0.attn.v_lora")}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"hidden_size": D, "vocab_size": V, **settings}))
    save_file(random(shapes, dtype=dtype), folder / "model.safetensors", {"format": "pt"})
    return folder


def rwkv4(folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    layer = {f"att.time_mix_{letter}": [1, 1, D] for letter in "kvr"}
    layer |= {f"ffn.time_mix_{letter}": [1, 1, D] for letter in "kr"}
    layer |= {"att.time_decay": [D], "att.time_first": [D]} | _rwkv_matrices("receptance", "ffn.receptance")
    return _rwkv(folder, layer, dtype)


def rwkv6(folder: Path, dtype: torch.dtype = torch.float32, heads: int = 2) -> Path:
    layer = {f"att.time_maa_{letter}": [1, 1, D] for letter in "xwkvrg"} | {"att.time_decay": [1, 1, D]}
    layer |= {"att.time_maa_w1": [D, 5 * 3], "att.time_maa_w2": [5, 3, D], "att.time_faaaa": [heads, D // heads]}
    layer |= {"att.time_decay_w1": [D, 4], "att.time_decay_w2": [4, D], "att.gate.weight": [D, D]}
    layer |= {"ffn.time_maa_k": [1, 1, D], "ffn.time_maa_r": [1, 1, D]}
    return _rwkv(folder, layer | _rwkv_matrices("receptance", "ffn.receptance"), dtype, "att.ln_x")


def rwkv7(folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    layer = {f"att.x_{letter}": [1, 1, D] for letter in "rwkvag"} | {"ffn.x_k": [1, 1, D], "att.r_k": [2, 8]}
    layer |= {"att.k_k": [1, 1, D], "att.k_a": [1, 1, D]}
    for part, rank in {"w": 3, "a": 4, "v": 5, "g": 6}.items():
        layer |= {f"att.{part}1": [D, rank], f"att.{part}2": [rank, D]}
        layer |= {} if part == "g" else {f"att.{part}0": [1, 1, D]}
    return _rwkv(folder, layer | _rwkv_matrices("receptance"), dtype, "att.ln_x")


def _rwkv_matrices(*more: str) -> dict[str, list[int]]:
    square = [f"att.{part}" for part in ("key", "value", "output")]
    square += [part if part.startswith("ffn") else f"att.{part}" for part in more]
    shapes = {f"{part}.weight": [D, D] for part in square}
    return shapes | {"ffn.key.weight": [24, D], "ffn.value.weight": [D, 24]}


def _rwkv(folder: Path, layer: dict[str, list[int]], dtype: torch.dtype, *norms: str) -> Path:
    shapes = {"emb.weight": [V, D], "head.weight": [V, D]}
    for i in range(LAYERS):
        shapes |= {f"blocks.{i}.{name}": shape for name, shape in layer.items()}
        for norm in ("ln1", "ln2", *norms, *(["ln0"] if i == 0 else [])):
            shapes |= {f"blocks.{i}.{norm}.{part}": [D] for part in ("weight", "bias")}
    shapes |= {"ln_out.weight": [D], "ln_out.bias": [D]}
    folder.mkdir(parents=True)
    torch.save(random(shapes, dtype=dtype), folder / "rwkv.pth")
    return folder


def xlstm(folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    # Below a width of 128 the cache of transformers has other shapes than its layers.
    layer = {f"mlstm_layer.{gate}gate_preact.weight": [4, 128] for gate in "if"}
    layer |= {f"mlstm_layer.{gate}gate_preact.bias": [4] for gate in "if"}
    layer |= {f"mlstm_layer.{part}.weight": [rows, 128] for part, rows in {"q": 64, "k": 64, "v": 128}.items()}
    layer |= {f"mlstm_layer.{part}.weight": [128, 128] for part in ("ogate_preact", "out_proj")}
    layer |= {"ffn.proj_down.weight": [128, 64]} | {f"ffn.proj_{part}.weight": [64, 128] for part in ("up", "up_gate")}
    layer |= {f"{norm}.weight": [128] for norm in ("norm_mlstm", "norm_ffn", "mlstm_layer.multihead_norm")}
    shapes = {"embedding.weight": [V, 128], "backbone.out_norm.weight": [128], "lm_head.weight": [V, 128]}
    shapes |= {f"backbone.blocks.0.{name}": shape for name, shape in layer.items()}
    folder.mkdir(parents=True)
    kernels = {"chunkwise_kernel": "chunkwise--triton_xl_chunk", "step_kernel": "triton", "mode": "train"}
    sizes = {"embedding_dim": 128, "num_heads": 4, "num_blocks": 1, "vocab_size": V, "ffn_proj_factor": 0.5}
    (folder / "config.yaml").write_text(yaml.safe_dump(sizes | kernels))
    weights = random(shapes, dtype=dtype)
    for part, names in enumerate([list(weights)[:5], list(weights)[5:]]):
        save_file({name: weights[name] for name in names}, folder / f"model_{part}.safetensors")
    return folder


def change_settings(folder: Path, **settings: object) -> Path:
    """Set what config.json says."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return folder


OFFICIAL = {
    "mamba1": mamba1,
    "mamba2": mamba2,
    "gla": gla,
    "delta_net": delta_net,
    "gated_deltanet": gated_deltanet,
    "kda": kda,
    "rwkv6_fla": rwkv6_fla,
    "rwkv7_fla": rwkv7_fla,
    "rwkv4": rwkv4,
    "rwkv6": rwkv6,
    "rwkv7": rwkv7,
    "xlstm": xlstm,
}
"""Name of an architecture -> what writes a checkpoint of it to a folder."""
