"""xLSTM as its own package writes it: read by the model of transformers, under one other name.

Read from: the package xlstm 2.0.6 (``xlstm_large``), whose folders hold a config.yaml and model.safetensors, or
numbered parts of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from lengthwise.errors import InputError
from lengthwise.extras import import_extra
from lengthwise.files import read_text
from lengthwise.pretrained.contents import Contents
from lengthwise.pretrained.formats import TABLES, Renamed
from lengthwise.pretrained.model import PretrainedModel
from lengthwise.registry import nearest_name
from lengthwise.yaml_loader import parse_yaml

_TABLE: dict[str, Any] = TABLES["xlstm"]


class NXAI(Renamed):
    """A folder of the package xlstm."""

    call: ClassVar[str] = "xlstm.xlstm_large.from_pretrained.load_from_pretrained({path!r})"

    def __init__(self, contents: Contents) -> None:
        super().__init__(contents)
        self.family = "xlstm"
        self.vocabulary, width = contents.shape("embedding.weight")
        settings: Any = parse_yaml(read_text(self.path / "config.yaml", "settings", given=True), "config.yaml")
        if not isinstance(settings, dict):
            raise InputError(f"{self.path / 'config.yaml'} holds no settings")
        self._settings = cast("dict[str, Any]", settings)
        if strange := sorted(self._settings.keys() - set(_TABLE["settings"])):
            raise InputError(
                f"{self.path / 'config.yaml'}: {strange[0]} is no setting of the package xlstm; "
                f"{nearest_name(strange[0], _TABLE['settings'])}"
            )
        said = [self._settings.get(name) for name in ("vocab_size", "embedding_dim", "num_blocks")]
        held = [self.vocabulary, width, contents.layers("backbone.blocks.")]
        if said != held:
            raise InputError(
                f"{self.path / 'config.yaml'} says vocab_size, embedding_dim and num_blocks {said}, and the weights "
                f"have {held}"
            )

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Return whether tensors are named as in that package, beside its config.yaml."""
        return (contents.path / "config.yaml").is_file() and contents.has(
            "embedding.weight", "backbone.out_norm.weight"
        )

    @property
    def table(self) -> Mapping[str, str]:
        """The names."""
        return _TABLE["names"]

    def build(self) -> PretrainedModel:
        """Return the model of transformers."""
        import_extra("transformers", "an xLSTM checkpoint")
        from transformers import xLSTMForCausalLM

        from lengthwise.pretrained.adapter import HuggingFaceModel
        from lengthwise.pretrained.loading import complaint
        from lengthwise.pretrained.xlstm import configuration

        try:
            # The package trains in one mode and returns states in another; weights are the same.
            config = configuration(
                _TABLE["defaults"] | self._settings | {"mode": "inference", "return_last_states": True}
            )
            return HuggingFaceModel(xLSTMForCausalLM(config), self)
        # Settings are anybody's, and the library checks them by errors of its own.
        except Exception as error:
            raise InputError(f"{self.path / 'config.yaml'} has values that no xlstm has: {complaint(error)}") from error
