"""Checkpoints in local folders, and small random models, as sequence models."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from lengthwise.errors import InputError, reason_of
from lengthwise.extras import import_extra
from lengthwise.pretrained.contents import Contents
from lengthwise.pretrained.families import FAMILIES, SHARED
from lengthwise.pretrained.folder import FLOATS, Stored, read_checked, weight_files
from lengthwise.pretrained.formats import Format
from lengthwise.registry import nearest_name

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lengthwise.pretrained.adapter import HuggingFaceModel
    from lengthwise.pretrained.model import PretrainedModel

_LARGER, _SMALL = 2, 10_000_000
"""A model has up to so many times the numbers that its files hold, and as many as that make no trouble."""


class TransformersFormat(Format):
    """A folder of transformers, of which nothing but its settings and the headers of its weights is read at first.

    Args:
        path: the folder; nothing is downloaded.
        remote_code: whether Python files in it may be run.

    Raises:
        InputError: transformers is not installed, or the folder is no checkpoint, brings its own code without leave,
            has an architecture that is not supported, holds pickled weights or none, or has a config.json that
            transformers does not take.
    """

    call: ClassVar[str] = "AutoModelForCausalLM.from_pretrained({path!r})"

    def __init__(self, path: Path, remote_code: bool = False) -> None:
        transformers = import_extra("transformers", "a model of Hugging Face")
        self._settings, self._stored = read_checked(path, remote_code)
        super().__init__(Contents(path))
        self._remote_code = remote_code
        _refuse_layers(path, self._settings, len(self._stored))
        try:
            self._config = _configuration(path, self._settings, remote_code)
            symbols: object = self._config.get_text_config(decoder=True).vocab_size
        except Exception as error:
            written = self._settings.get("transformers_version", "an unknown version")
            raise InputError(
                f"{path / 'config.json'} has values that transformers {transformers.__version__} does not take: "
                f"{complaint(error)}; it was written by {written}: take back what was edited since, or install a "
                "version that reads it"
            ) from error
        if not isinstance(symbols, int) or symbols < 1:
            raise InputError(f"{path / 'config.json'}: vocab_size should be a number of symbols, not {symbols!r}")
        self.vocabulary = symbols
        self.family = str(self._settings["model_type"])

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Return whether its configuration is one of transformers."""
        return "model_type" in contents.settings

    @property
    def files(self) -> list[Path]:
        """Its files of weights."""
        return weight_files(self.path, self._settings)

    def load(self) -> HuggingFaceModel:
        """Return the model, in the dtype that holds its weights as they are and in evaluation mode."""
        from transformers import AutoModelForCausalLM

        from lengthwise.pretrained.adapter import HuggingFaceModel

        path = self.path
        try:
            if not (self._remote_code or self._settings.get("quantization_config")):
                _refuse_sizes(path, self._config, self._stored)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                path,
                config=self._config,
                dtype=_dtype(self._stored),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=self._remote_code,
                output_loading_info=True,
                # Those of other sizes are named below; the library's own error does not.
                ignore_mismatched_sizes=True,
            )
        except InputError:
            raise
        # Errors of safetensors, of the library's checks and of what a wrong value leads to have no base in common.
        except Exception as error:
            raise InputError(f"transformers cannot load {path}: {reason_of(error)}") from error
        model, found = loaded
        if mismatched := sorted(found["mismatched_keys"]):
            name, held, described = mismatched[0]
            raise InputError(
                f"{path / 'config.json'} describes other weights than {path} holds: {name} has the sizes "
                f"{list(described)} by config.json and {list(held)} in *.safetensors"
                f"{f', and so have {len(mismatched) - 1} more' if len(mismatched) > 1 else ''}"
            )
        if missing := sorted(found["missing_keys"]):
            raise InputError(
                f"{path} lacks weights that its architecture has, and transformers would leave them random: "
                f"{', '.join(missing[:5])}{' and more' if len(missing) > 5 else ''}"
            )
        if spoiled := [name for name, weight in model.named_parameters() if not weight.isfinite().all()]:
            raise InputError(
                f"{path} holds weights with something that is not a finite number: {', '.join(spoiled[:3])}"
            )
        return HuggingFaceModel(model.eval(), self)

    def named(self, model: PretrainedModel) -> dict[str, Tensor]:
        """Return the floating-point weights of a model by their names in the folder."""
        from transformers.core_model_loading import revert_weight_conversion

        weights = {name.removeprefix("model."): weight for name, weight in model.state_dict().items()}
        try:
            named = revert_weight_conversion(model.model, weights)
        # Conversions of any architecture, of which some cannot be reverted.
        except Exception as error:
            why = reason_of(error)
            raise InputError(f"transformers does not give the weights of {self.path} back: {why}") from error
        stored, base = {each.name for each in self._stored}, f"{model.model.base_model_prefix}."
        found, left = dict[str, Any](), dict[str, Any]()
        for name, weight in named.items():
            own = next((own for own in (name, name.removeprefix(base)) if own in stored), None)
            (left if own is None else found)[own or name] = weight
        tied = {weight.data_ptr() for weight in found.values()}
        if lost := [name for name, weight in left.items() if weight.data_ptr() not in tied]:
            raise InputError(f"{self.path} has no place for {', '.join(lost[:3])}, which its model holds")
        return {name: weight for name, weight in found.items() if weight.is_floating_point()}


def _configuration(folder: Path, settings: dict[str, Any], remote_code: bool) -> Any:
    from transformers import AutoConfig

    if settings["model_type"] == "xlstm" and not settings.get("auto_map"):
        from lengthwise.pretrained.xlstm import configuration

        return configuration(settings)
    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=remote_code)


def _refuse_layers(folder: Path, settings: dict[str, Any], stored: int) -> None:
    """Refuse more layers than there are weights, before transformers makes a list of them."""
    for part in (settings, settings.get("text_config")):
        layers: object = cast("dict[str, object]", part).get("num_hidden_layers") if isinstance(part, dict) else None
        if isinstance(layers, int) and layers > stored:
            raise InputError(
                f"{folder / 'config.json'} describes {layers:,} layers, and {folder} holds {stored:,} tensors"
            )


def _refuse_sizes(folder: Path, config: Any, stored: Sequence[Stored]) -> None:
    """Refuse settings of a model that is far larger than its weights, before it is allocated."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        described = sum(weight.numel() for weight in AutoModelForCausalLM.from_config(config).parameters())
    held = sum(math.prod(tensor.shape) for tensor in stored)
    if described > _LARGER * held + _SMALL:
        raise InputError(
            f"{folder / 'config.json'} describes other weights than {folder} holds: {described:,} numbers, "
            f"and there are {held:,}"
        )


def _dtype(tensors: Sequence[Stored]) -> torch.dtype:
    """Return the dtype that holds all weights as they are; those that are quantised are read in float32."""
    import torch

    floats = {stored.dtype for stored in tensors if stored.dtype.startswith(("F", "BF"))}
    dtypes = [getattr(torch, FLOATS.get(name, "float32")) for name in floats]
    return functools.reduce(torch.promote_types, dtypes) if dtypes else torch.float32


def tiny_model(family: str, **settings: Any) -> HuggingFaceModel:
    """Return a small model of a family with random weights, in evaluation mode.

    Args:
        family: its name.
        settings: of transformers' configuration, instead of those of the small model.

    Raises:
        InputError: the family or a setting is unknown, or transformers is not installed or does not have it.
    """
    transformers = import_extra("transformers", "a model of Hugging Face")
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    from lengthwise.pretrained.adapter import HuggingFaceModel
    from lengthwise.pretrained.patches import SEEN_RIGHT

    if family not in FAMILIES:
        raise InputError(f"unknown family {family!r}; {nearest_name(family, list(FAMILIES))}")
    model_type = FAMILIES[family].model_type or family
    if model_type not in CONFIG_MAPPING:
        raise InputError(
            f"the installed transformers has no {model_type!r}; it is {transformers.__version__}, and "
            f"{', '.join(SEEN_RIGHT)} was seen right"
        )
    config = CONFIG_MAPPING[model_type]
    known = list(config().to_dict())
    if unknown := [name for name in settings if name not in known]:
        raise InputError(f"{family} has no setting {unknown[0]!r}; {nearest_name(unknown[0], known)}")
    try:
        model = AutoModelForCausalLM.from_config(config(**SHARED | FAMILIES[family].tiny | settings))
    # Settings are anybody's, and the library checks them by errors of its own, or not at all.
    except Exception as error:
        raise InputError(f"transformers builds no {family} with {settings}: {complaint(error)}") from error
    return HuggingFaceModel(model.eval())


def complaint(error: Exception) -> str:
    """Return what the library did not like about settings."""
    # What checks the fields of a configuration wraps the error that says what was wrong.
    cause = error.__cause__
    return " ".join(str(cause).split()).rstrip(".") if isinstance(cause, TypeError | ValueError) else reason_of(error)
