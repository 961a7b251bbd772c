"""The families of transformers that carry a recurrent state: how each is read, and a small one of each.

This file imports neither torch nor transformers, so that names can be listed at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lengthwise.errors import InputError
from lengthwise.registry import Registry, nearest_name

CACHE_ADAPTERS: Registry = Registry(
    "cache_adapter",
    {
        "cache": "lengthwise.pretrained.cache_adapters:DynamicCacheAdapter",
        "minimax": "lengthwise.pretrained.minimax:MiniMaxAdapter",
        "rwkv": "lengthwise.pretrained.rwkv:RWKVAdapter",
        "xlstm": "lengthwise.pretrained.xlstm:XLSTMAdapter",
        "recurrent_gemma": "lengthwise.pretrained.recurrent_gemma:RecurrentGemmaAdapter",
    },
)


@dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture."""

    patch: str
    """What the adapter changes while it reads, for the table of `lengthwise check`."""
    tiny: Mapping[str, Any]
    """Settings of a small model, beside the shared ones."""
    cache: str = "cache"
    """How the state goes in and out."""
    scan: str = ""
    """The function of the library that reads the state of a chunk."""
    model_type: str = ""
    """The ``model_type`` of the configuration of a small model where it is not the family's name."""
    masks: bool = True
    """Whether an ``attention_mask`` keeps padding out of the recurrent state."""


_SIZES = {"vocab_size": 48, "hidden_size": 32, "num_hidden_layers": 2, "initializer_range": 0.25}
_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_ATTENTION = {"intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}
_ONE_OF_EACH = {"layer_types": ["linear_attention", "full_attention"]}
_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_MAMBA2 = {"mamba_n_heads": 4, "mamba_d_state": 8, "mamba_chunk_size": 8, "mamba_expand": 2}
_LATENT = {"kv_lora_rank": 16, "qk_rope_head_dim": 8, "v_head_dim": 8, "qk_nope_head_dim": 8}
_DELTA = {
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
_TWO_KINDS_OF_MLP = {"moe_intermediate_size": 24, "mlp_layer_types": ["dense", "sparse"]}


def _mamba1(**tiny: Any) -> Family:
    return Family(patch="state given to our selective scan", scan="mamba_selective_scan", tiny=tiny)


def _mamba2(**tiny: Any) -> Family:
    return Family(patch="assigning cache, our scan", scan="mamba2_chunk_scan", tiny=tiny)


def _gated_delta(model_type: str, tiny: Mapping[str, Any]) -> Family:
    scan = "torch_chunk_gated_delta_rule"
    return Family(patch="assigning cache, our scan", scan=scan, model_type=model_type, tiny=_ONE_OF_EACH | dict(tiny))


def _kimi_delta(**tiny: Any) -> Family:
    tiny = _ONE_OF_EACH | _ATTENTION | _LATENT | _EXPERTS | _TWO_KINDS_OF_MLP | tiny
    return Family(patch="assigning cache, one path", scan="chunk_kimi_delta_attention", tiny=tiny)


FAMILIES: Mapping[str, Family] = {
    "mamba": _mamba1(state_size=8),
    "falcon_mamba": _mamba1(state_size=8),
    "jamba": _mamba1(
        **_ATTENTION,
        **{"num_experts": 2, "num_experts_per_tok": 1, "attn_layer_period": 2, "attn_layer_offset": 1},
        mamba_d_state=8,
    ),
    "zamba": _mamba1(
        **_ATTENTION | {"num_key_value_heads": 4},
        num_hidden_layers=4,
        layers_block_type=["mamba", "hybrid", "mamba", "hybrid"],
        mamba_d_state=8,
    ),
    "mamba2": _mamba2(num_heads=4, head_dim=16, state_size=8, n_groups=2, chunk_size=8),
    "bamba": _mamba2(**_ATTENTION, **_MAMBA2, attn_layer_indices=[1]),
    "falcon_h1": _mamba2(**_ATTENTION, **_MAMBA2, mamba_d_ssm=64),
    "zamba2": _mamba2(
        **{"num_attention_heads": 4, "intermediate_size": 48, "layers_block_type": ["mamba", "hybrid"]},
        **{"mamba_d_state": 8, "n_mamba_heads": 4, "chunk_size": 8},
    ),
    "nemotron_h": _mamba2(
        **_ATTENTION,
        **{"layers_block_type": ["mamba", "attention", "mlp"], "num_hidden_layers": 3, "head_dim": 8},
        **{"ssm_state_size": 8, "mamba_num_heads": 4, "mamba_head_dim": 16, "n_groups": 2, "chunk_size": 8},
    ),
    "granitemoehybrid": _mamba2(
        **_ATTENTION, **_MAMBA2, **_EXPERTS, shared_intermediate_size=48, layer_types=["mamba", "attention"]
    ),
    "qwen3_next": _gated_delta(
        "",
        _ATTENTION
        | _DELTA
        | {"head_dim": 8, "moe_intermediate_size": 24, "shared_expert_intermediate_size": 24}
        | {"num_experts": 4, "num_experts_per_tok": 2},
    ),
    "qwen3_5": _gated_delta("qwen3_5_text", _ATTENTION | _DELTA | {"head_dim": 16}),
    "olmo_hybrid": _gated_delta("", {"intermediate_size": 48, "num_attention_heads": 4}),
    "kimi_linear": _kimi_delta(linear_head_dim=8, linear_num_heads=4, num_key_value_heads=4),
    "bailing_hybrid": _kimi_delta(head_dim=8, num_key_value_heads=4, n_group=2, topk_group=1),
    "rwkv": Family(patch="a state for each layer, our scan", cache="rwkv", masks=False, tiny={"rescale_every": 1}),
    "xlstm": Family(
        patch="blocks called with their state, our scan",
        cache="xlstm",
        masks=False,
        # Below a width of 128 the library's cache has other shapes than its layers.
        tiny={"hidden_size": 128, "num_heads": 4, "chunk_size": 8},
    ),
    "minimax": Family(
        patch="true mask, our scan",
        cache="minimax",
        tiny=_ONE_OF_EACH | _ATTENTION | _EXPERTS | {"head_dim": 8, "block_size": 8},
    ),
    "recurrent_gemma": Family(
        patch="tail of the convolution kept, our scan",
        cache="recurrent_gemma",
        masks=False,
        tiny=_ATTENTION
        | {"num_key_value_heads": 1, "lru_width": 32, "attention_window_size": 16}
        | {"block_types": ["recurrent", "attention"], "w_init_variance_scale": 0.5},
    ),
}
"""Family -> how it is read. The name is the ``model_type`` of a checkpoint's config.json."""


def family_of(model_type: str) -> Family:
    """Return the family of a ``model_type``."""
    for name, family in FAMILIES.items():
        if model_type in (name, family.model_type):
            return family
    raise InputError(
        f"architecture {model_type!r} has no recurrent state that can be carried; supported: {', '.join(FAMILIES)}"
    )


def tiny_settings(name: str) -> dict[str, Any]:
    """Return the settings of a small model of a family, by transformers' names."""
    if name not in FAMILIES:
        raise InputError(f"unknown family {name!r}; {nearest_name(name, list(FAMILIES))}")
    return _SIZES | _TOKENS | dict(FAMILIES[name].tiny)
