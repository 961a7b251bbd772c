"""A checkpoint in a folder: loaded once and checked once, however many models are made of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lengthwise.errors import InputError
from lengthwise.pretrained.loading import check_folder, load_weights, read_settings

if TYPE_CHECKING:
    from torch import Tensor

    from lengthwise.pretrained.adapter import HuggingFaceModel


class Checkpoint:
    """A checkpoint of transformers in a folder, whose weights are read when a model is first asked for.

    Whoever measures, trains and writes back passes this on, so that each of them gets a copy from memory.

    Args:
        path: the folder; nothing is downloaded.
        remote_code: whether Python files in the folder may be run.

    Raises:
        InputError: transformers is not installed, or the folder is no checkpoint, brings its own code without leave,
            has an architecture without a recurrent state, holds pickled weights or none, or has a config.json that
            transformers does not take.

    Example:
        >>> checkpoint = Checkpoint(Path("mamba2-130m"))  # doctest: +SKIP
        >>> before, after = checkpoint.model(), checkpoint.model()  # doctest: +SKIP
    """

    def __init__(self, path: Path, remote_code: bool = False) -> None:
        self.path, self.remote_code, self._checked = path, remote_code, False
        self.vocabulary: int = check_folder(path, remote_code)
        """V, the rows of the embedding; a tokenizer may use fewer."""

    @cached_property
    def loaded(self) -> HuggingFaceModel:
        """The model in its own dtype, from which the others are copied.

        Raises:
            InputError: the weights cannot be read, are not those that config.json describes, or some are missing.
        """
        return load_weights(self.path, self.remote_code)

    def model(self) -> HuggingFaceModel:
        """Return the pretrained model in float32, once its state was seen to be carried rightly.

        Raises:
            InputError: the weights cannot be used, or the family breaks the contract.
        """
        from lengthwise.pretrained.library import require_contract

        if not self._checked:
            # On a copy: reading changes the weights of some families.
            require_contract(self._copy().float())
            self._checked = True
        return self._copy().float()

    def _copy(self) -> HuggingFaceModel:
        from lengthwise.pretrained.adapter import HuggingFaceModel

        return HuggingFaceModel(copy.deepcopy(self.loaded.model), self.path)

    def export(self, weights: Mapping[str, Tensor], out: Path) -> None:
        """Write an ordinary checkpoint with other parameters, in the dtypes of this one.

        Args:
            weights: as the ``state_dict`` of `model`.
            out: a folder; files of the same names are replaced.
        """
        model = self._copy()
        model.load_state_dict(weights)
        model.save(out)

    @property
    def family(self) -> str:
        """The ``model_type`` of its configuration."""
        return str(read_settings(self.path / "config.json")["model_type"])

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
