"""A checkpoint in a folder: loaded once and checked once, however many models are made of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lengthwise.errors import InputError
from lengthwise.pretrained.folder import read_settings
from lengthwise.pretrained.loading import load_weights, open_folder

if TYPE_CHECKING:
    from torch import Tensor

    from lengthwise.pretrained.adapter import HuggingFaceModel
    from lengthwise.pretrained.saving import Source


class Checkpoint:
    """A checkpoint of transformers in a folder, whose weights are read when a model is first asked for.

    Whoever measures, trains and writes back passes this on, so that each of them gets a copy from memory.

    Args:
        path: the folder; nothing is downloaded.
        remote_code: whether Python files in the folder may be run.

    Raises:
        InputError: transformers is not installed, or the folder is no checkpoint, brings its own code without leave,
            has an architecture that is not supported, holds pickled weights or none, or has a config.json that
            transformers does not take.

    Example:
        >>> checkpoint = Checkpoint(Path("mamba2-130m"))  # doctest: +SKIP
        >>> before, after = checkpoint.model(), checkpoint.model()  # doctest: +SKIP
    """

    def __init__(self, path: Path, remote_code: bool = False) -> None:
        self.path, self.remote_code, self._kept = path, remote_code, set[str]()
        self._opened = open_folder(path, remote_code)
        self.vocabulary: int = self._opened.symbols
        """V, the rows of the embedding; a tokenizer may use fewer."""

    @cached_property
    def loaded(self) -> HuggingFaceModel:
        """The model in its own dtype, from which the others are copied.

        Raises:
            InputError: the weights cannot be read, are not those that config.json describes, or some are missing.
        """
        return load_weights(self.path, self._opened, self.remote_code)

    def model(self) -> HuggingFaceModel:
        """Return the pretrained model in float32."""
        return self._copy().float()

    def require(self, clauses: Collection[str]) -> None:
        """Refuse a model that breaks one of the clauses of the state contract that a job needs; each is asked once.

        Raises:
            InputError: one is broken; the message says which, and the measured difference.
        """
        from lengthwise.pretrained.library import require_contract

        if new := set(clauses) - self._kept:
            # On a copy: reading changes the weights of some families.
            require_contract(self.model(), new)
            self._kept |= new

    def _copy(self) -> HuggingFaceModel:
        from lengthwise.pretrained.adapter import HuggingFaceModel

        return HuggingFaceModel(copy.deepcopy(self.loaded.model), self.path)

    @cached_property
    def source(self) -> Source:
        """Its folder, of which another checkpoint is written."""
        from lengthwise.pretrained.saving import Source

        return Source(self.path)

    @cached_property
    def unread(self) -> list[str]:
        """The tensors in its files that its language model does not read, such as those of a vision tower.

        Raises:
            InputError: something in its folder cannot be given back as it is.
        """
        return self.source.unread(self._copy())

    def export(
        self, weights: Mapping[str, Tensor], out: Path, place: Callable[[Path], Path] = lambda file: file
    ) -> None:
        """Write all that lies in its folder to another, with other parameters.

        Args:
            weights: as the ``state_dict`` of `model`.
            out: a folder that exists.
            place: where in it a file of this one goes.
        """
        model = self._copy()
        model.load_state_dict(weights)
        self.source.write(model, out, place)

    @property
    def family(self) -> str:
        """The ``model_type`` of its configuration."""
        return str(self._opened.settings["model_type"])

    @property
    def tokenizer(self) -> Path:
        """The file of its tokenizer.

        Raises:
            InputError: there is none.
        """
        file = self.path / "tokenizer.json"
        if not file.is_file():
            raise InputError(
                f"{self.path} has no tokenizer.json; "
                "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) writes it"
            )
        return file

    @property
    def separator(self) -> str:
        """The token that ends a text, or else the one that begins it.

        Raises:
            InputError: its tokenizer names neither.
        """
        for file in (self.path / "tokenizer_config.json", self.path / "special_tokens_map.json"):
            settings = read_settings(file) if file.is_file() else {}
            for role in ("eos_token", "bos_token"):
                token = settings.get(role)
                if found := token.get("content") if isinstance(token, dict) else token:
                    return str(found)
        raise InputError(
            f"the tokenizer of {self.path} names no eos_token, which separates documents; "
            "give --set task.text.separator=TOKEN"
        )


def load_huggingface(path: str | Path, remote_code: bool = False) -> HuggingFaceModel:
    """Load a checkpoint of transformers from a folder, in its own dtype and in evaluation mode.

    Args:
        path: the folder; nothing is downloaded.
        remote_code: whether Python files in the folder may be run.

    Returns:
        The model as a `SequenceModel`; its ``model`` is transformers' own.

    Raises:
        InputError: as in `Checkpoint` and its `loaded`.
    """
    return Checkpoint(Path(path), remote_code).loaded
