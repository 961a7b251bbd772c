"""Settings of a model of transformers; they import neither transformers nor a model."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import PrivateAttr

from lengthwise.errors import InputError
from lengthwise.models.base import ModelConfig
from lengthwise.pretrained.clauses import TRAINING
from lengthwise.pretrained.formats import fingerprint
from lengthwise.spaces import Space, Tokens, as_space

if TYPE_CHECKING:
    from lengthwise.pretrained.checkpoint import Checkpoint
    from lengthwise.pretrained.model import PretrainedModel


class HuggingFaceConfig(ModelConfig):
    """Settings of a pretrained model in a folder, or of a small random one of a family."""

    name: Literal["huggingface"] = "huggingface"
    path: Path | None = None
    """The folder of a checkpoint; nothing is downloaded."""
    family: str = "mamba2"
    """Without a path: the family of a small model with random weights."""
    remote_code: bool = False
    """Whether Python files in the folder may be run."""
    _checkpoint: Any = PrivateAttr(default=None)
    _clauses: Collection[str] = PrivateAttr(default=TRAINING)

    def identity(self) -> str:
        """Return the fingerprint of the checkpoint."""
        return fingerprint(self.path, self.remote_code) if self.path is not None else ""

    def paths(self) -> tuple[str, ...]:
        """Return the folder of the checkpoint."""
        return ("path",)

    def made_from(self, checkpoint: Checkpoint, clauses: Collection[str] = TRAINING) -> Self:
        """Return these settings with their checkpoint at hand, of which `build` makes copies instead of loading it.

        Args:
            checkpoint: it.
            clauses: those of the state contract that must hold for what is to be done.
        """
        settings = self.model_copy()
        settings._clauses = clauses
        if (self.path, self.remote_code) == (checkpoint.path, checkpoint.remote_code):
            settings._checkpoint = checkpoint
        return settings

    def build(self, inputs: Space | int, outputs: Space | int) -> PretrainedModel:
        """Return the pretrained model in float32, its state seen to be carried rightly, or a small one at random.

        Raises:
            InputError: the folder cannot be used, the model is for another vocabulary, it is not a language model, or
                its family breaks the contract.
        """
        from lengthwise.pretrained.checkpoint import Checkpoint
        from lengthwise.pretrained.loading import tiny_model

        read, answered = as_space(inputs), as_space(outputs)
        if read != answered or not isinstance(read, Tokens):
            raise InputError(f"a causal language model has as many classes as symbols, not {answered} for {read}")
        if self.path is None:
            return tiny_model(self.family, vocab_size=read.size)
        checkpoint: Checkpoint = self._checkpoint or Checkpoint(self.path, self.remote_code)
        symbols = checkpoint.vocabulary
        # Tables are rounded up, but not to twice their size.
        if read.size > symbols or 2 * read.size < symbols:
            raise InputError(
                f"the text has {read.size:,} tokens and the model {symbols:,} symbols: they do not belong together; "
                f"give {self.path} the tokenizer.json that it was trained with"
            )
        checkpoint.require(self._clauses)
        return checkpoint.model()
