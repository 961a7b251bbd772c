"""A checkpoint: loaded once and checked once, however many models are made of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lengthwise.errors import InputError
from lengthwise.pretrained.folder import read_settings
from lengthwise.pretrained.formats import open_format

if TYPE_CHECKING:
    from torch import Tensor

    from lengthwise.pretrained.model import PretrainedModel
    from lengthwise.pretrained.saving import Source


class Checkpoint:
    """A checkpoint on the disk, whose weights are read when a model is first asked for.

    Its format is seen by the names and shapes of what it holds: that of transformers, or one of
    `lengthwise.pretrained.formats.FORMATS`.

    Whoever measures, trains and writes back passes this on, so that each of them gets a copy from memory.

    Args:
        path: the folder, or the file of weights where the format is one; nothing is downloaded.
        remote_code: whether Python files in the folder may be run.

    Raises:
        InputError: transformers is not installed where it is needed, or this is no checkpoint, brings its own code
            without leave, has an architecture or variant that is not supported, or holds weights that are not read.

    Example:
        >>> checkpoint = Checkpoint(Path("mamba2-130m"))  # doctest: +SKIP
        >>> before, after = checkpoint.model(), checkpoint.model()  # doctest: +SKIP
    """

    def __init__(self, path: Path, remote_code: bool = False) -> None:
        self.path, self.remote_code, self._kept = path, remote_code, set[str]()
        self.format = open_format(path, remote_code)
        self.vocabulary = self.format.vocabulary
        """V, the rows of the embedding; a tokenizer may use fewer."""

    @cached_property
    def loaded(self) -> PretrainedModel:
        """The model in its own dtype, from which the others are copied.

        Raises:
            InputError: the weights cannot be read, are not those that config.json describes, or some are missing.
        """
        return self.format.load()

    def model(self) -> PretrainedModel:
        """Return the pretrained model in float32."""
        return self._copy().float()

    def require(self, clauses: Collection[str]) -> None:
        """Refuse a model that breaks one of the clauses of the state contract that a job needs; each is asked once.

        Raises:
            InputError: one is broken; the message says which, and the measured difference.
        """
        from lengthwise.pretrained.adapter import HuggingFaceModel
        from lengthwise.pretrained.library import require_contract, require_own

        if new := set(clauses) - self._kept:
            # On a copy: reading changes the weights of some families.
            model = self.model()
            if isinstance(model, HuggingFaceModel):
                require_contract(model, new)
            else:
                require_own(model)
            self._kept |= new

    def _copy(self) -> PretrainedModel:
        loaded = self.loaded
        return type(loaded)(copy.deepcopy(loaded.model), self.format)

    @cached_property
    def source(self) -> Source:
        """Its folder, of which another checkpoint is written."""
        from lengthwise.pretrained.saving import Source

        return Source(self.format)

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
        return self.format.family

    @property
    def tokenizer(self) -> Path:
        """The file of its tokenizer.

        Raises:
            InputError: there is none.
        """
        file = self.folder / "tokenizer.json"
        if not file.is_file():
            raise InputError(
                f"{self.folder} has no tokenizer.json; AutoTokenizer.from_pretrained(TOKENIZER).save_pretrained("
                f"{str(self.folder)!r}) writes that of a model with the same one, and --set "
                "task.text.tokenizer=FILE names another; bytes stands for a model of bytes"
            )
        return file

    @property
    def folder(self) -> Path:
        """The folder that it is, or that its one file lies in."""
        return self.format.contents.folder

    @property
    def separator(self) -> str:
        """The token that ends a text, or else the one that begins it.

        Raises:
            InputError: its tokenizer names neither.
        """
        for file in (self.folder / "tokenizer_config.json", self.folder / "special_tokens_map.json"):
            settings = read_settings(file) if file.is_file() else {}
            for role in ("eos_token", "bos_token"):
                token = settings.get(role)
                if found := token.get("content") if isinstance(token, dict) else token:
                    return str(found)
        raise InputError(
            f"the tokenizer of {self.path} names no eos_token, which separates documents; "
            "give --set task.text.separator=TOKEN"
        )


def load_huggingface(path: str | Path, remote_code: bool = False) -> PretrainedModel:
    """Load a checkpoint, in its own dtype and in evaluation mode.

    Args:
        path: as in `Checkpoint`.
        remote_code: whether Python files in the folder may be run.

    Returns:
        The model as a `SequenceModel`; its ``model`` is transformers' own, or one of ours.

    Raises:
        InputError: as in `Checkpoint` and its `loaded`.
    """
    return Checkpoint(Path(path), remote_code).loaded
