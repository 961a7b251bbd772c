"""Mamba-1 and Mamba-2 as state-spaces published them: read by the models of transformers, under other names.

Read from: mamba_ssm 2.3.2 (``MambaLMHeadModel``, ``MambaConfig``); its folders hold a config.json without
``model_type`` and ``pytorch_model.bin``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from lengthwise.errors import InputError
from lengthwise.extras import import_extra
from lengthwise.pretrained.contents import Contents
from lengthwise.pretrained.formats import TABLES, Renamed, refuse_settings
from lengthwise.pretrained.model import PretrainedModel

_TABLE: dict[str, Any] = TABLES["mamba_ssm"]


class MambaSSM(Renamed):
    """A folder of state-spaces."""

    call: ClassVar[str] = "MambaLMHeadModel.from_pretrained({path!r})"

    def __init__(self, contents: Contents) -> None:
        super().__init__(contents)
        refuse_settings(contents, _TABLE["only"])
        settings, given = contents.settings, contents.settings.get("ssm_cfg") or {}
        if not isinstance(given, dict):
            raise InputError(f"{self.path / 'config.json'}: ssm_cfg should be settings by name, not {given!r}")
        self._layer = dict(cast("dict[str, Any]", given))
        layer = self._layer.pop("layer", "Mamba1")
        if layer not in ("Mamba1", "Mamba2"):
            raise InputError(f"{self.path}: ssm_cfg.layer {layer!r} is not read here; only Mamba1 and Mamba2 are")
        self.family = "mamba" if layer == "Mamba1" else "mamba2"
        if strange := sorted(self._layer.keys() - _TABLE[self.family].keys()):
            raise InputError(
                f"{self.path / 'config.json'}: ssm_cfg.{strange[0]} is a variant of {layer} that is not read here; "
                f"only {', '.join(_TABLE[self.family])} may be set"
            )
        self.vocabulary, self._width = contents.shape("backbone.embedding.weight")
        said, held = (settings["n_layer"], settings["d_model"]), (contents.layers("backbone.layers."), self._width)
        if said != held:
            raise InputError(
                f"{self.path / 'config.json'} describes {said[0]} layers of width {said[1]}, and the weights are "
                f"those of {held[0]} layers of width {held[1]}"
            )

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Return whether a config.json has the keys of ``MambaConfig`` and no ``model_type``."""
        return {"d_model", "n_layer"} <= contents.settings.keys() and "model_type" not in contents.settings

    @property
    def table(self) -> Mapping[str, str]:
        """The names."""
        return _TABLE["names"]

    def build(self) -> PretrainedModel:
        """Return the model of transformers."""
        transformers = import_extra("transformers", "a Mamba checkpoint")
        from lengthwise.pretrained.adapter import HuggingFaceModel
        from lengthwise.pretrained.loading import complaint

        settings, layer = self.contents.settings, _TABLE[self.family]
        sizes = {name: self._layer.get(own, default) for own, (name, default) in layer.items()}
        try:
            if self.family == "mamba2":
                sizes["num_heads"] = sizes["expand"] * self._width // sizes["head_dim"]
            config = transformers.AutoConfig.for_model(
                self.family,
                vocab_size=self.vocabulary,
                hidden_size=self._width,
                num_hidden_layers=settings["n_layer"],
                layer_norm_epsilon=1e-5,
                residual_in_fp32=settings.get("residual_in_fp32", True),
                tie_word_embeddings=settings.get("tie_embeddings", True),
                # Not those of its tokenizer, which the folder does not hold: the padding's embedding would be zero.
                pad_token_id=None,
                **sizes,
            )
            model = transformers.AutoModelForCausalLM.from_config(config)
        # Settings are anybody's, and the library checks them by errors of its own.
        except Exception as error:
            what = f"{self.path / 'config.json'} has values that no {self.family} has"
            raise InputError(f"{what}: {complaint(error)}") from error
        return HuggingFaceModel(model, self)
