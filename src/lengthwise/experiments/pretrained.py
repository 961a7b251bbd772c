"""Pretrained models of transformers as recipes on text: measured as they are, post-trained, and written back."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lengthwise.errors import InputError
from lengthwise.experiments.overrides import apply_overrides, replace_settings
from lengthwise.experiments.recipe import TextRecipe, validate_recipe
from lengthwise.experiments.results import RunFolder
from lengthwise.experiments.text_job import TextJob
from lengthwise.models.base import SequenceModel
from lengthwise.pretrained.config import HuggingFaceConfig
from lengthwise.pretrained.loading import check_folder, load_huggingface, read_settings
from lengthwise.tasks.tokenizer import load_tokenizer
from lengthwise.training.checkpoint import load_checkpoint

if TYPE_CHECKING:
    from lengthwise.pretrained.adapter import HuggingFaceModel

RUNS = "lengthwise"
"""The folder in that of a post-trained checkpoint which holds its runs, before and after."""

_PIECES = 50
"""Parts into which a single file is cut, because text is held out by document."""
_DEFAULTS: dict[str, Any] = {
    "training": {"batch_size": 8, "context": 512, "optimiser": {"learning_rate": 3e-4}},
    "evaluation": {"reach": 16, "rows": 32, "remembrance_starts": 12, "state_rows": 8},
}


class PretrainedJob(TextJob):
    """A recipe on text whose model is a checkpoint of transformers; parameters are trained in float32."""

    def model(self) -> SequenceModel:
        """Return the pretrained model, once its tokenizer fits and its state is seen to be carried rightly.

        Raises:
            InputError: the checkpoint cannot be used, its tokenizer does not fit, or its family breaks the contract.
        """
        from lengthwise.pretrained.library import require_contract

        text, config = self.recipe.text, self.recipe.model
        assert isinstance(config, HuggingFaceConfig)
        model = _load(config)
        _check_symbols(load_tokenizer(text.tokenizer, text.separator).vocabulary, model.vocabulary, text.tokenizer)
        model.float()
        require_contract(model)
        return model

    def model_name(self, model: SequenceModel) -> str:
        """Return the family."""
        return str(getattr(model, "family", self.recipe.model_name))


def measured(
    path: Path,
    data: str,
    *,
    remote_code: bool = False,
    settings: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
) -> TextRecipe:
    """Return the recipe that measures a checkpoint as it is, on text by its own tokenizer.

    Args:
        path: the folder of the checkpoint.
        data: ``stdlib``, or a folder, file or pattern of text files.
        remote_code: whether Python files in the folder may be run.
        settings: by path, such as ``training.context``.
        overrides: ``path=value`` each.

    Raises:
        InputError: there is no such checkpoint, tokenizer or text, or settings are wrong.
    """
    # First, so that a folder of something else is not asked for its tokenizer.
    check_folder(path, remote_code)
    recipe: dict[str, Any] = {
        "name": re.sub(r"^[^A-Za-z0-9_]+|[^A-Za-z0-9_.-]", "_", path.resolve().name),
        "makes": "a diagnosis of a pretrained model",
        "text": _text(path, data, any(override.startswith("text.separator=") for override in overrides)),
        "model": {"name": "huggingface", "path": str(path), "remote_code": remote_code},
        **_DEFAULTS,
    }
    recipe["training"] = recipe["training"] | {"steps": 0}
    changed = apply_overrides(replace_settings(recipe, (settings or {}).items()), overrides)
    return _on_text(changed, f"diagnosis of {path}")


def post_trained(
    before: TextRecipe,
    intervention: str,
    steps: int,
    settings: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
) -> TextRecipe:
    """Return the recipe that post-trains the checkpoint of another.

    Args:
        before: as `measured` returns it.
        intervention: its name.
        steps: optimiser steps, at least 1.
        settings: by path, such as ``training.batch_size``.
        overrides: ``path=value`` each.

    Raises:
        InputError: settings are wrong.
    """
    recipe = before.settings() | {
        "name": f"{before.name}.{intervention}",
        "makes": f"a post-trained {before.name}",
        "intervention": {"name": intervention},
    }
    what = f"post-training of {before.name}"
    changed = replace_settings(recipe, {"training.steps": steps, **(settings or {})}.items())
    return _on_text(apply_overrides(_on_text(changed, what).settings(), overrides), what)


def check_out(out: Path, source: Path) -> None:
    """Refuse a folder for a post-trained checkpoint in which something else lies.

    Raises:
        InputError: it is that of the source, or holds what an earlier call did not write.
    """
    if out.resolve() == source.resolve():
        raise InputError(f"--out {out} is the checkpoint itself; give another folder, the source is never changed")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; give a new folder")
    if out.is_dir() and any(out.iterdir()) and not (out / RUNS).is_dir():
        raise InputError(f"--out {out} exists and is not of an earlier post-training; give a new folder")


def export(run: RunFolder, config: HuggingFaceConfig, out: Path) -> None:
    """Write the checkpoint of a finished run as an ordinary one, in the dtypes of its source.

    Args:
        run: the run.
        config: its model.
        out: the folder; files of an earlier call are replaced.

    Raises:
        InputError: the source or the run's checkpoint cannot be read.
    """
    tensors, _ = load_checkpoint(run.checkpoint)
    weights = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    model = _load(config)
    # Copies into the source's parameters, each in a dtype of its own.
    model.load_state_dict(weights)
    model.save(out)
    for file in _path(config).glob("LICENSE*"):
        shutil.copy2(file, out / file.name)


def _load(config: HuggingFaceConfig) -> HuggingFaceModel:
    return load_huggingface(_path(config), config.remote_code)


def _path(config: HuggingFaceConfig) -> Path:
    if config.path is None:
        raise InputError("only a model in a folder is pretrained; give model.path")
    return config.path


def _on_text(settings: dict[str, Any], source: str) -> TextRecipe:
    recipe = validate_recipe(settings, source)
    assert isinstance(recipe, TextRecipe)  # it has a text
    return recipe


def _text(folder: Path, data: str, separated: bool) -> dict[str, Any]:
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise InputError(
            f"{folder} has no tokenizer.json; AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) writes it"
        )
    separator = None if separated else _end_of_text(folder)
    return {"source": _source(data), "tokenizer": str(tokenizer), "separator": separator}


def _source(data: str) -> dict[str, Any]:
    if data == "stdlib":
        return {"name": "stdlib", "tests": False}
    source: dict[str, Any] = {"name": "files", "paths": [data]}
    file = Path(data).expanduser()
    if file.is_file():
        # Pieces of so many bytes, to the end of the line.
        size = max(1, min(file.stat().st_size // _PIECES, 65_535))
        source["boundary"] = rf"(?s:.{{{size}}})[^\n]*\n"
    return source


def _end_of_text(folder: Path) -> str:
    """Return the token that ends a text, or else the one that begins it."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        file = folder / name
        settings = read_settings(file) if file.is_file() else {}
        for role in ("eos_token", "bos_token"):
            token = settings.get(role)
            if found := token.get("content") if isinstance(token, dict) else token:
                return str(found)
    raise InputError(
        f"the tokenizer of {folder} names no eos_token, which separates documents; give --set text.separator=TOKEN"
    )


def _check_symbols(tokens: int, symbols: int, tokenizer: str) -> None:
    # Tables are rounded up, but not to twice their size.
    if tokens > symbols or 2 * tokens < symbols:
        raise InputError(
            f"{tokenizer} has {tokens:,} tokens and the model {symbols:,} symbols: they do not belong together; "
            "give the checkpoint the tokenizer.json that it was trained with"
        )
