"""Settings of a model of transformers; they import neither transformers nor a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lengthwise.errors import InputError
from lengthwise.models.base import ModelConfig

if TYPE_CHECKING:
    from lengthwise.pretrained.adapter import HuggingFaceModel


class HuggingFaceConfig(ModelConfig):
    """Settings of a pretrained model in a folder, or of a small random one of a family."""

    name: Literal["huggingface"] = "huggingface"
    path: Path | None = None
    """The folder of a checkpoint; nothing is downloaded."""
    family: str = "mamba2"
    """Without a path: the family of a small model with random weights."""
    remote_code: bool = False
    """Whether Python files in the folder may be run."""

    def build(self, vocabulary: int, classes: int) -> HuggingFaceModel:
        """Return the pretrained model, or a small one with random weights.

        Raises:
            InputError: the folder cannot be used, the model is for another vocabulary, or it is not a language model.
        """
        from lengthwise.pretrained.loading import load_huggingface, tiny_model

        if classes != vocabulary:
            raise InputError(f"a causal language model has as many classes as symbols, not {classes} and {vocabulary}")
        if self.path is None:
            return tiny_model(self.family, vocab_size=vocabulary)
        model = load_huggingface(self.path, remote_code=self.remote_code)
        if vocabulary > model.vocabulary:
            raise InputError(
                f"{self.path} has {model.vocabulary} symbols, the text {vocabulary}; "
                "the tokenizer must be the one that the model was trained with"
            )
        return model
