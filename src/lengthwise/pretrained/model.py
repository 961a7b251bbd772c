"""A pretrained model: a model with the weights of a checkpoint, which knows how it is given back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from lengthwise.models.base import Output, SequenceModel
from lengthwise.pretrained.saving import Source, new_folder
from lengthwise.state import State

if TYPE_CHECKING:
    from lengthwise.pretrained.formats import Format


class PretrainedModel(SequenceModel):
    """A model with the weights of a checkpoint.

    Args:
        model: what computes; its weights are those of the checkpoint.
        source: the checkpoint that they came from, of which `save` keeps all but the weights.
    """

    family: str
    vocabulary: int
    """V, the rows of the embedding; a tokenizer may use fewer."""

    def __init__(self, model: nn.Module, source: Format | None) -> None:
        super().__init__()
        self.model: Any = model
        # A model that was loaded in evaluation mode is in evaluation mode, what is around it too.
        self.training = model.training
        self.source = source

    def save(self, folder: Path) -> None:
        """Write an ordinary checkpoint: all that lies in the folder it came from, and the weights as they are now.

        Args:
            folder: a new folder, or an empty one.

        Raises:
            InputError: the folder is not empty, or something of the source cannot be given back as it is.
            StoppedError: it cannot be written, as on a full disk.
        """
        source = None if self.source is None else Source(self.source)
        with new_folder(folder) as partial:
            if source is not None:
                source.write(self, partial)
            else:
                self._save_new(partial)

    def _save_new(self, folder: Path) -> None:
        """Write a checkpoint of a model that came from none."""
        raise NotImplementedError


class OwnModel(PretrainedModel):
    """One of our models, with the weights of a checkpoint in another's format.

    Its state is that of the model.

    Args:
        model: one of ours.
        source: the checkpoint.
    """

    def __init__(self, model: SequenceModel, source: Format) -> None:
        super().__init__(model, source)
        self.family, self.vocabulary = source.family, source.vocabulary

    def initial_state(self, batch_size: int) -> State:
        """Return the state before any token."""
        return self.model.initial_state(batch_size)

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        """Read tokens [B, T] from a state, by default the initial one."""
        return self.model(tokens, state)

    def start_from(self, final: State) -> State:
        """Return the state of a new sequence that starts from the recurrent memory of another."""
        return self.model.start_from(final)

    def gives_every_prefix(self) -> bool:
        """Return true: one call gives logits after every position."""
        return True
