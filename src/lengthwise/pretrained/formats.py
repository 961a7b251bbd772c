"""Formats: the ways in which checkpoints are stored, told apart by the names and shapes of what they hold."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationError

from lengthwise.errors import InputError
from lengthwise.pretrained.contents import Contents
from lengthwise.pretrained.folder import FLOATS, hash_of, refuse_adapter, settings_of, weight_files
from lengthwise.pretrained.naming import Rule, rules_of
from lengthwise.registry import Registry
from lengthwise.yaml_loader import packaged

if TYPE_CHECKING:
    from torch import Tensor

    from lengthwise.pretrained.model import PretrainedModel

FORMATS: Registry = Registry(
    "format",
    {
        "mamba_ssm": "lengthwise.pretrained.mamba_ssm:MambaSSM",
        "fla": "lengthwise.pretrained.fla:FLA",
        "rwkv": "lengthwise.pretrained.blinkdl:BlinkDL",
        "xlstm": "lengthwise.pretrained.nxai:NXAI",
    },
    base="lengthwise.pretrained.formats:Format",
)
"""Name -> format. What none of them recognises is read as a checkpoint of transformers."""
TABLES: dict[str, Any] = packaged("lengthwise.pretrained", "formats.yaml")
"""What stands in the tables of `lengthwise.pretrained.naming`, and which settings of a format are read."""


class Format(ABC):
    """A checkpoint in one of the formats: what it is seen to be, before its weights are read.

    Args:
        contents: what lies at its path.

    Raises:
        InputError: it is of this format, but of a variant that is not read here.
    """

    call: ClassVar[str] = ""
    """How its own package loads it, with ``{path}``."""
    family: str
    """The architecture, as repairs and results name it."""
    vocabulary: int
    """V, the rows of the embedding; a tokenizer may use fewer."""

    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self.path = contents.path

    @classmethod
    @abstractmethod
    def recognises(cls, contents: Contents) -> bool:
        """Return whether names and shapes are those of this format, in any variant."""

    @property
    def files(self) -> list[Path]:
        """Its files of weights."""
        return self.contents.files

    def call_for(self, out: Path) -> str:
        """Return how its own package loads what was written to a folder."""
        return self.call.format(path=str(out / self.path.name if self.path.is_file() else out))

    @abstractmethod
    def load(self) -> PretrainedModel:
        """Return the model, in the dtype that holds its weights as they are and in evaluation mode.

        Raises:
            InputError: the weights are not those of the architecture.
        """

    @abstractmethod
    def named(self, model: PretrainedModel) -> dict[str, Tensor]:
        """Return the floating-point weights of a model by the names, and in the shapes, that they are stored with."""


class Renamed(Format):
    """A format whose tensors are parameters of one of our models, or of transformers', under other names."""

    @abstractmethod
    def build(self) -> PretrainedModel:
        """Return the model with any weights."""

    @property
    @abstractmethod
    def table(self) -> Mapping[str, str]:
        """The names, as `lengthwise.pretrained.naming` has them."""

    ignored: tuple[str, ...] = ()
    """How names of tensors end that the official code does not read either."""

    def load(self) -> PretrainedModel:
        """Return the model, in the dtype that holds its weights as they are and in evaluation mode."""
        import torch

        refuse_quantised(self.contents)
        try:
            model = self.build().eval()
        except ValidationError as error:
            where, why = error.errors()[0]["loc"], error.errors()[0]["msg"]
            raise InputError(
                f"{self.path} has sizes that no {self.family} has: {'.'.join(map(str, where))}: {why}"
            ) from error
        parameters = _parameters(model)
        rules = self._rules(parameters)
        read = {part for rule in rules for part in rule.parts}
        if strange := [n for n in self.contents.tensors if n not in read and not n.endswith(self.ignored or ("\0",))]:
            raise InputError(
                f"{self.path} holds {strange[0]}{f' and {len(strange) - 1} more tensors' if strange[1:] else ''} that "
                f"no {self.family} has: it is a variant that is not read here"
            )
        stored = self.contents.read()
        if spoiled := [name for name in sorted(read) if not stored[name].isfinite().all()]:
            raise InputError(f"{self.path} holds weights with something that is not a finite number: {spoiled[0]}")
        dtype = functools.reduce(torch.promote_types, {stored[name].dtype for name in read})
        joined = {rule.own: rule.join(stored, parameters[rule.own].shape) for rule in rules}
        model.to(dtype).model.load_state_dict(joined)
        return model

    def named(self, model: PretrainedModel) -> dict[str, Tensor]:
        """Return the weights by the names, and in the shapes, that they are stored with."""
        parameters = _parameters(model)
        parts = (rule.split(parameters[rule.own], self.contents.sizes) for rule in self._rules(parameters))
        return {name: part for each in parts for name, part in each.items()}

    def _rules(self, parameters: Mapping[str, Tensor]) -> list[Rule]:
        try:
            return rules_of(parameters, self.table, self.contents.tensors)
        except InputError as error:
            raise InputError(f"{self.path} is no whole {self.family}: {error}") from error


def open_format(path: Path, remote_code: bool = False) -> Format:
    """Return the checkpoint at a path, once it is seen what it is.

    Args:
        path: a folder, or a file of weights where the format is one.
        remote_code: whether Python files in the folder may be run.

    Raises:
        InputError: it is nothing that is read here; the message says what it is instead.
    """
    from lengthwise.pretrained.loading import TransformersFormat

    if path.exists():
        refuse_near_misses(path)
    kind, contents = _recognised(path, remote_code)
    if kind is None:
        return TransformersFormat(path, remote_code)
    refuse_adapter(path)
    return kind(contents)


def fingerprint(path: Path, remote_code: bool) -> str:
    """Return a hash of all that decides what a checkpoint computes: settings, weights, and code where it is run.

    Raises:
        InputError: it is no checkpoint.
    """
    kind, contents = _recognised(path, remote_code)
    if kind is None:
        code = sorted(path.glob("*.py")) if remote_code else []
        return hash_of([path / "config.json", *weight_files(path, settings_of(path)), *code])
    settings = [file for name in ("config.json", "config.yaml") if (file := path / name).is_file()]
    return hash_of([*settings, *contents.files])


def _recognised(path: Path, remote_code: bool) -> tuple[type[Format] | None, Contents]:
    contents = Contents(path)
    for _, kind in FORMATS.members() if path.exists() and not remote_code else ():
        if kind.recognises(contents):
            return kind, contents
    return None, contents


def refuse_near_misses(path: Path) -> None:
    """Refuse what holds weights, but in a way that cannot be trained and given back."""
    names = [path.name] if path.is_file() else sorted(file.name for file in path.iterdir())
    weights = [name for name in names if name.endswith((".safetensors", ".bin", ".pt", ".pth"))]
    if (gguf := [name for name in names if name.endswith((".gguf", ".ggml"))]) and not weights:
        raise InputError(
            f"{path} holds {gguf[0]}, which was made for llama.cpp from another checkpoint and is mostly quantised; "
            "give the one that it was made from"
        )
    if path.is_file() and not weights:
        raise InputError(f"{path} is no file of weights; give a folder with its config.json, or an RWKV file (.pth)")


def refuse_quantised(contents: Contents) -> None:
    """Refuse weights that are not numbers as they are trained."""
    method = contents.settings.get("quantization_config")
    whole = [stored for stored in contents.tensors.values() if stored.dtype not in FLOATS]
    if method or whole:
        what = "config.json has a quantization_config" if method else f"{whole[0].name} is {whole[0].dtype}"
        raise InputError(
            f"{contents.path} is quantised ({what}), and what is quantised cannot be trained; give the checkpoint in "
            "16 or 32 bits that it was made from"
        )


def refuse_settings(contents: Contents, read: Mapping[str, Any]) -> None:
    """Refuse settings of variants.

    Args:
        contents: what has a config.json.
        read: name of a setting -> the values of it that are read here.
    """
    for name, values in read.items():
        if (given := contents.settings.get(name)) not in values and name in contents.settings:
            what = "attention layers among the recurrent ones (a hybrid)" if name.startswith("attn") else "a variant"
            raise InputError(
                f"{contents.path / 'config.json'}: {name} {given!r} is {what} that is not read here; "
                f"only {' or '.join(map(repr, values))} is"
            )


def _parameters(model: PretrainedModel) -> dict[str, Tensor]:
    return {name.removeprefix("model."): weight for name, weight in model.state_dict().items()}
