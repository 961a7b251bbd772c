"""Checkpoints in local folders, and small random models, as sequence models."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import safetensors

from lengthwise.errors import InputError, reason_of
from lengthwise.files import read_text, refuse_irregular
from lengthwise.pretrained.families import FAMILIES, SHARED, family_of
from lengthwise.registry import nearest_name

if TYPE_CHECKING:
    from lengthwise.pretrained.adapter import HuggingFaceModel

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def load_weights(folder: Path, remote_code: bool) -> HuggingFaceModel:
    """Load the model of a folder that `check_folder` let pass."""
    from transformers import AutoModelForCausalLM

    from lengthwise.pretrained.adapter import HuggingFaceModel

    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=remote_code,
            output_loading_info=True,
            # Those of other sizes are named below; the library's own error does not.
            ignore_mismatched_sizes=True,
        )
    # Errors of safetensors, of the library's checks and of what a wrong value leads to have no base in common.
    except Exception as error:
        _check_readable(folder)
        raise InputError(
            f"transformers cannot load {folder} as its config.json describes it: {reason_of(error)}"
        ) from error
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
    return HuggingFaceModel(model.eval(), folder)


def check_folder(folder: Path, remote_code: bool = False) -> int:
    """Refuse what is no checkpoint of a supported architecture, before any weights are read; return its symbols."""
    _require_transformers()
    from transformers import AutoConfig

    settings = _settings(folder)
    if settings.get("auto_map") and not remote_code:
        files = ", ".join(sorted(file.name for file in folder.glob("*.py"))) or "its auto_map"
        raise InputError(
            f"{folder} brings code of its own ({files}), which would be run; read it and allow it with "
            "remote_code: true (--remote-code), or delete auto_map from config.json to use transformers' own"
        )
    family_of(str(settings["model_type"]))
    _check_weights(folder)
    try:
        config: Any = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=remote_code)
    except Exception as error:
        raise InputError(
            f"{folder / 'config.json'} has values that transformers does not take: {_complaint(error)}; "
            "the right ones are those that the weights were saved with"
        ) from error
    return config.get_text_config(decoder=True).vocab_size


def read_settings(file: Path) -> dict[str, Any]:
    """Return the settings in a JSON file of a checkpoint."""
    try:
        settings = json.loads(read_text(file, "configuration", given=True))
    except ValueError as error:
        raise InputError(f"{file} is not JSON ({error}); copy it again from where the checkpoint came from") from error
    if not isinstance(settings, dict):
        raise InputError(f"{file} is not a JSON object of settings; copy it again from where the checkpoint came from")
    return cast(dict[str, Any], settings)


def tiny_model(family: str, **settings: Any) -> HuggingFaceModel:
    """Return a small model of a family with random weights, in evaluation mode.

    Args:
        family: its name.
        settings: of transformers' configuration, instead of those of the small model.

    Raises:
        InputError: the family or a setting is unknown, or transformers is not installed or does not have it.
    """
    _require_transformers()
    import transformers
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


def _require_transformers() -> None:
    if find_spec("transformers") is None:
        raise InputError("models of Hugging Face need the package transformers: pip install 'lengthwise[hf]'")


def _settings(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give that of a checkpoint, with its config.json and *.safetensors")
    file = folder / "config.json"
    if not file.is_file():
        found = sorted(entry.name for entry in folder.iterdir())[:5]
        held = f", only {', '.join(found)}" if found else " and is empty"
        raise InputError(f"{folder} is no checkpoint of transformers: it has no config.json{held}")
    settings = read_settings(file)
    if "model_type" not in settings:
        raise InputError(f"{file} is no configuration of transformers: it has no model_type")
    return settings


def _check_weights(folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    if pickled := sorted(file.name for pattern in _PICKLED for file in folder.glob(pattern)):
        raise InputError(
            f"{folder} holds pickled weights ({', '.join(pickled[:3])}), which can run code when they are opened; "
            "where you trust them, convert them once: AutoModelForCausalLM.from_pretrained(FOLDER, "
            "use_safetensors=False).save_pretrained(NEW_FOLDER)"
        )
    raise InputError(f"{folder} has a config.json but no weights; *.safetensors are read")


def _complaint(error: Exception) -> str:
    # What checks the fields of a configuration wraps the error that says what was wrong.
    cause = error.__cause__
    return " ".join(str(cause).split()).rstrip(".") if isinstance(cause, TypeError | ValueError) else reason_of(error)


def _check_readable(folder: Path) -> None:
    for file in sorted(folder.glob("*.safetensors")):
        try:
            refuse_irregular(file, given=True)
            with safetensors.safe_open(file, framework="pt"):
                pass
        except safetensors.SafetensorError as error:
            raise InputError(
                f"{file} is cut short or no safetensors file ({error}); "
                f"copy it again from where the checkpoint came from, here it has {file.stat().st_size:,} bytes"
            ) from error
