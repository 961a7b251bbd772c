"""Checkpoints of flash-linear-attention (fla-hub): read by our own backbone and mixers.

Read from: flash-linear-attention 0.6.0, and the history of its ``models``. Its modules run on GPUs only; nothing of
them is needed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from lengthwise.errors import InputError
from lengthwise.models.backbone import BackboneConfig
from lengthwise.models.mixers.base import MixerConfig
from lengthwise.models.mixers.deltanet import DeltaNetConfig, GatedDeltaNetConfig
from lengthwise.models.mixers.gla import GLAConfig
from lengthwise.models.mixers.kimi_delta import KimiDeltaConfig
from lengthwise.models.mixers.rwkv6 import RWKV6Config, TimeMix
from lengthwise.models.mixers.rwkv7 import RWKV7Config
from lengthwise.models.rwkv import RWKVConfig
from lengthwise.pretrained.contents import Contents
from lengthwise.pretrained.formats import TABLES, Renamed, refuse_settings
from lengthwise.pretrained.model import OwnModel, PretrainedModel

_TABLE: dict[str, Any] = TABLES["fla"]["architectures"]
_FAMILIES = {"delta_net": "deltanet", "kda": "kimi_delta"}
"""What is called otherwise here."""


class FLA(Renamed):
    """A folder of fla-hub, of one of the architectures that its frame is the same for."""

    call: ClassVar[str] = "AutoModelForCausalLM.from_pretrained({path!r}), after import fla"

    def __init__(self, contents: Contents) -> None:
        super().__init__(contents)
        self._architecture: str = contents.settings["model_type"]
        self.family = _FAMILIES.get(self._architecture, self._architecture)
        refuse_settings(contents, _TABLE[self._architecture]["only"])
        for part, whole in (("num_kv_heads", "num_heads"), ("num_v_heads", "num_heads")):
            if contents.settings.get(part) not in (None, contents.settings.get(whole)):
                raise InputError(
                    f"{self.path / 'config.json'}: {part} {contents.settings[part]} is a variant that is not read; "
                    f"only as many as {whole} are"
                )
        # Some were written with a parameter that nothing read.
        self.ignored = (".attn.D",) if self._architecture == "gated_deltanet" else ()
        names = ("model.embeddings.weight", "model.embed_tokens.weight")
        self.vocabulary, self._width = contents.shape(names[contents.has(names[1])])

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Return whether the ``model_type`` is one of this library; code that the folder brings is not run."""
        architecture: object = contents.settings.get("model_type")
        return isinstance(architecture, str) and architecture in _TABLE

    @property
    def table(self) -> Mapping[str, str]:
        """The names."""
        return _TABLE[self._architecture]["names"]

    def build(self) -> PretrainedModel:
        """Return our model."""
        if self._architecture in ("rwkv6", "rwkv7"):
            model = self._rwkv().build(self.vocabulary, self.vocabulary)
            for part in model.modules():
                if isinstance(part, TimeMix):
                    part.order = "rwkvg"
            return OwnModel(model, self)
        settings = self.contents.settings
        epsilon = self.contents.number("norm_eps", self.contents.number("rms_norm_eps", 1e-6))
        hidden = self.contents.shape("model.layers.0.mlp.down_proj.weight")[1]
        config = BackboneConfig(
            width=self._width,
            layers=self.contents.layers("model.layers."),
            mixer=self._mixer(epsilon),
            norm_epsilon=epsilon,
            feed_forward=hidden / self._width,
            tied=bool(settings.get("tie_word_embeddings")),
        )
        return OwnModel(config.build(self.vocabulary, self.vocabulary), self)

    def _mixer(self, epsilon: float) -> MixerConfig:
        heads = int(self.contents.number("num_heads"))
        rows = {name: self._rows(f"{name}_proj.weight") for name in ("q", "v")}
        if self._architecture == "gla":
            return GLAConfig(
                heads=heads,
                key_expansion=rows["q"] / self._width,
                value_expansion=rows["v"] / self._width,
                gate_rank=self._rows("gk_proj.0.weight"),
                norm_epsilon=epsilon,
            )
        kind = {"delta_net": DeltaNetConfig, "gated_deltanet": GatedDeltaNetConfig, "kda": KimiDeltaConfig}
        return kind[self._architecture](
            heads=heads,
            key_width=rows["q"] // heads,
            value_width=rows["v"] // heads,
            convolution=self.contents.shape("model.layers.0.attn.q_conv1d.weight")[2],
            negative_eigenvalues=bool(self.contents.settings.get("allow_neg_eigval")),
            norm_epsilon=epsilon,
        )

    def _rows(self, name: str) -> int:
        return self.contents.shape(f"model.layers.0.attn.{name}")[0]

    def _rwkv(self) -> RWKVConfig:
        epsilon, hidden = self.contents.number("norm_eps", 1e-5), "model.layers.0.ffn.value.weight"
        channel_mix = self.contents.shape(hidden)[1] / self._width
        if self._architecture == "rwkv6":
            block = RWKV6Config(
                head_size=self.contents.shape("model.layers.0.attn.bonus")[1],
                shift_rank=self._rows("x_proj.0.linear.weight") // 5,
                decay_rank=self._rows("w_proj.linear.lora.0.weight"),
                channel_mix=channel_mix,
                norm_epsilon=epsilon,
            )
        else:
            size = self.contents.shape("model.layers.0.attn.r_k")[1]
            block = RWKV7Config(
                head_size=size,
                decay_rank=self._rows("w_lora.lora.0.weight"),
                rate_rank=self._rows("a_lora.lora.0.weight"),
                gate_rank=self._rows("g_lora.lora.0.weight"),
                # The first layer has none, and is alone where there is no second.
                value_rank=self.contents.sizes.get("model.layers.1.attn.v_lora.lora.0.weight", [1])[0],
                channel_mix=channel_mix,
                norm_epsilon=size * epsilon,
            )
        layers = self.contents.layers("model.layers.")
        return RWKVConfig(width=self._width, layers=layers, block=block, norm_epsilon=epsilon)
