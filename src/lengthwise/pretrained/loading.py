"""Checkpoints in local folders, and small random models, as sequence models."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from lengthwise.errors import InputError, reason_of
from lengthwise.extras import import_extra
from lengthwise.pretrained.families import FAMILIES, SHARED
from lengthwise.pretrained.folder import FLOATS, Stored, read_checked
from lengthwise.registry import nearest_name

if TYPE_CHECKING:
    import torch

    from lengthwise.pretrained.adapter import HuggingFaceModel

_LARGER, _SMALL = 2, 10_000_000
"""A model has up to so many times the numbers that its files hold, and as many as that make no trouble."""


class Opened(NamedTuple):
    """A checkpoint of which nothing but its settings and the headers of its weights is read."""

    settings: dict[str, Any]
    config: Any
    """These settings, as transformers reads them."""
    stored: list[Stored]
    symbols: int
    """V, the rows of the embedding."""


def open_folder(folder: Path, remote_code: bool = False) -> Opened:
    """Refuse what is no checkpoint of a supported architecture, before any weights are read."""
    transformers = import_extra("transformers", "a model of Hugging Face")
    settings, stored = read_checked(folder, remote_code)
    _refuse_layers(folder, settings, len(stored))
    try:
        config = _configuration(folder, settings, remote_code)
        symbols: object = config.get_text_config(decoder=True).vocab_size
    except Exception as error:
        written = settings.get("transformers_version", "an unknown version")
        raise InputError(
            f"{folder / 'config.json'} has values that transformers {transformers.__version__} does not take: "
            f"{_complaint(error)}; it was written by {written}: take back what was edited since, or install a version "
            "that reads it"
        ) from error
    if not isinstance(symbols, int) or symbols < 1:
        raise InputError(f"{folder / 'config.json'}: vocab_size should be a number of symbols, not {symbols!r}")
    return Opened(settings, config, stored, symbols)


def load_weights(folder: Path, opened: Opened, remote_code: bool) -> HuggingFaceModel:
    """Load the model of a folder that `open_folder` let pass."""
    from transformers import AutoModelForCausalLM

    from lengthwise.pretrained.adapter import HuggingFaceModel

    try:
        if not (remote_code or opened.settings.get("quantization_config")):
            _refuse_sizes(folder, opened)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            config=opened.config,
            dtype=_dtype(opened.stored),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=remote_code,
            output_loading_info=True,
            # Those of other sizes are named below; the library's own error does not.
            ignore_mismatched_sizes=True,
        )
    except InputError:
        raise
    # Errors of safetensors, of the library's checks and of what a wrong value leads to have no base in common.
    except Exception as error:
        raise InputError(f"transformers cannot load {folder}: {reason_of(error)}") from error
    model, found = loaded
    if mismatched := sorted(found["mismatched_keys"]):
        name, held, described = mismatched[0]
        raise InputError(
            f"{folder / 'config.json'} describes other weights than {folder} holds: {name} has the sizes "
            f"{list(described)} by config.json and {list(held)} in *.safetensors"
            f"{f', and so have {len(mismatched) - 1} more' if len(mismatched) > 1 else ''}"
        )
    if missing := sorted(found["missing_keys"]):
        raise InputError(
            f"{folder} lacks weights that its architecture has, and transformers would leave them random: "
            f"{', '.join(missing[:5])}{' and more' if len(missing) > 5 else ''}"
        )
    if spoiled := [name for name, weight in model.named_parameters() if not weight.isfinite().all()]:
        raise InputError(f"{folder} holds weights with something that is not a finite number: {', '.join(spoiled[:3])}")
    return HuggingFaceModel(model.eval(), folder)


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


def _refuse_sizes(folder: Path, opened: Opened) -> None:
    """Refuse settings of a model that is far larger than its weights, before it is allocated."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        described = sum(weight.numel() for weight in AutoModelForCausalLM.from_config(opened.config).parameters())
    held = sum(math.prod(tensor.shape) for tensor in opened.stored)
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
        raise InputError(f"transformers builds no {family} with {settings}: {_complaint(error)}") from error
    return HuggingFaceModel(model.eval())


def _complaint(error: Exception) -> str:
    # What checks the fields of a configuration wraps the error that says what was wrong.
    cause = error.__cause__
    return " ".join(str(cause).split()).rstrip(".") if isinstance(cause, TypeError | ValueError) else reason_of(error)
