"""RWKV as its author publishes it: one file of tensors, whose names and shapes say the version and all sizes.

RWKV-4 is read by the model of transformers, RWKV-6 and RWKV-7 by ours. Read from: RWKV-LM (its ``RWKV-v4`` to
``RWKV-v7``), and the package rwkv 0.8.32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.extras import import_extra
from lengthwise.models.mixers.rwkv6 import RWKV6Config
from lengthwise.models.mixers.rwkv7 import RWKV7Config
from lengthwise.models.rwkv import RWKVConfig
from lengthwise.pretrained.contents import Contents
from lengthwise.pretrained.formats import TABLES, Renamed
from lengthwise.pretrained.model import OwnModel, PretrainedModel
from lengthwise.state import State

_TABLE: dict[str, Any] = TABLES["rwkv"]
_EPSILON = 1e-5
_MATRIX = "layers.{}.matrix"


class BlinkDL(Renamed):
    """A file of RWKV, or a folder that holds one."""

    call: ClassVar[str] = "RWKV(model={path!r}, strategy='cpu fp32'), of the package rwkv"

    def __init__(self, contents: Contents) -> None:
        super().__init__(contents)
        self.vocabulary, self._width = contents.shape("emb.weight")
        self.family = self._version()
        # The first layer has no values of a layer before to mix in, and some files have the tensors all the same.
        self.ignored = tuple(f"blocks.0.att.v{number}" for number in range(3))

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Return whether the tensors are those of RWKV, in a file without a configuration."""
        configured = (contents.path / "config.json").exists() or (contents.path / "config.yaml").exists()
        return not configured and contents.has("emb.weight", "blocks.0.ln1.weight")

    def call_for(self, out: Path) -> str:
        """Return how its own package loads what was written to a folder."""
        return self.call.format(path=str(out / self.files[0].name))

    @property
    def table(self) -> Mapping[str, str]:
        """The names."""
        return _TABLE[self.family]

    def build(self) -> PretrainedModel:
        """Return the model of transformers, or ours."""
        return self._of_transformers() if self.family == "rwkv4" else OwnModel(self._own(), self)

    def _version(self) -> str:
        has, other = self.contents.has, "is not read here; RWKV-4, RWKV-6 and RWKV-7 are"
        if has("blocks.0.att.time_state"):
            raise InputError(f"{self.path} holds a learned initial state (time_state), which {other} without one")
        if has("blocks.0.att.r_k"):
            return "rwkv7"
        if has("blocks.0.att.time_maa_x"):
            return "rwkv6"
        if has("blocks.0.att.ln_x.weight"):
            raise InputError(f"{self.path} is RWKV-5 or a variant of RWKV-6, which {other}")
        return "rwkv4"

    def _layers(self) -> int:
        return self.contents.layers("blocks.")

    def _columns(self, name: str) -> int:
        return self.contents.shape(f"blocks.0.{name}")[1]

    def _of_transformers(self) -> PretrainedModel:
        transformers = import_extra("transformers", "an RWKV-4 checkpoint")
        from lengthwise.pretrained.adapter import HuggingFaceModel

        config = transformers.RwkvConfig(
            vocab_size=self.vocabulary,
            hidden_size=self._width,
            num_hidden_layers=self._layers(),
            attention_hidden_size=self.contents.shape("blocks.0.att.key.weight")[0],
            intermediate_size=self.contents.shape("blocks.0.ffn.key.weight")[0],
            layer_norm_epsilon=_EPSILON,
            rescale_every=0,
        )
        return HuggingFaceModel(transformers.RwkvForCausalLM(config), self)

    def _own(self) -> Any:
        channel_mix = self._columns("ffn.value.weight") / self._width
        if self.family == "rwkv6":
            block = RWKV6Config(
                head_size=self._columns("att.time_faaaa"),
                shift_rank=self._columns("att.time_maa_w1") // 5,
                decay_rank=self._columns("att.time_decay_w1"),
                channel_mix=channel_mix,
            )
        else:
            block = RWKV7Config(
                head_size=self._columns("att.r_k"),
                decay_rank=self._columns("att.w1"),
                rate_rank=self._columns("att.a1"),
                gate_rank=self._columns("att.g1"),
                value_rank=self.contents.sizes.get("blocks.1.att.v1", [1, 1])[1],
                channel_mix=channel_mix,
            )
        config = RWKVConfig(width=self._width, layers=self._layers(), block=block, norm_epsilon=_EPSILON)
        return config.build(self.vocabulary, self.vocabulary)


def time_state(start: State) -> dict[str, Tensor]:
    """Return the state that a sequence starts from as RWKV's own programs load it, ``blocks.0.att.time_state`` and on.

    Args:
        start: of one row, of an RWKV-6 or RWKV-7; the memory [K, V] of each head is stored as [V, K]. The last inputs,
            which a token shift needs, have no place in that format and are zeros to whoever loads it.

    Raises:
        InputError: it is of more rows, or of another model.
    """
    layers = sum(name.endswith(".matrix") for name in start)
    names = [_MATRIX.format(number) for number in range(layers)]
    if not layers or any(name not in start for name in names) or start.batch_size != 1:
        raise InputError(
            "a time_state is made from the state of an RWKV-6 or RWKV-7 with one row; take rows([0]) of it"
        )
    return {
        f"blocks.{number}.att.time_state": start[name][0].detach().mT.contiguous() for number, name in enumerate(names)
    }


def save_time_state(start: State, file: Path) -> None:
    """Write the state that a sequence starts from to a file (.pth) that RWKV's own programs load beside a model.

    Args:
        start: as in `time_state`.
        file: a new file.

    Raises:
        InputError: as in `time_state`, or the file exists.
    """
    tensors = time_state(start)
    if file.exists():
        raise InputError(f"{file} exists already; give a new file")
    torch.save(tensors, file)
