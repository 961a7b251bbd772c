"""Training a language model on windows of text, each step from the state that an intervention gives.

Shape letters: B batch rows, T tokens, S = T + 1 symbols of a window, V symbols.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.interventions.base import Intervention
from lengthwise.models.base import SequenceModel
from lengthwise.tasks.windows import Windows
from lengthwise.training.config import TextTrainingConfig
from lengthwise.training.loop import StepLoss, Trainer


class TextTrainer(Trainer[SequenceModel]):
    """Trains a model to predict the next symbol.

    Args:
        model: gives logits [B, T, V]; on the device it is trained on.
        windows: where text comes from; aligned ones where the intervention needs them.
        intervention: which state a step starts from.
        config: the settings.
        seed: of data, dropout and noise.
    """

    def __init__(
        self,
        model: SequenceModel,
        windows: Windows,
        intervention: Intervention,
        config: TextTrainingConfig,
        seed: int,
    ) -> None:
        super().__init__(model, config, config.optimiser, seed)
        self.windows, self.intervention, self.config = windows, intervention, config
        self._device = next(model.parameters()).device

    def batch_loss(self, progress: float) -> StepLoss:
        """Return the mean cross-entropy of the next batch of windows, in nats a symbol."""
        del progress
        batch = self.windows.next_batch(self.rng)
        generator = self.reseed_torch()
        symbols_BS = torch.from_numpy(batch.tokens_BS).to(self._device)
        fresh_B = torch.from_numpy(batch.fresh_B).to(self._device)
        before = self.intervention.begin(self.model, len(symbols_BS), generator, fresh_B)
        logits_BTV, after = self.model(symbols_BS[:, :-1], before)
        if logits_BTV.ndim != 3:
            raise InputError(
                "a language model gives logits after every token, [rows, tokens, symbols]; this one gives "
                f"{list(logits_BTV.shape)}; an LDRU does with readout: prefixes"
            )
        targets_BT = symbols_BS[:, 1:]
        loss = F.cross_entropy(logits_BTV.flatten(0, 1).float(), targets_BT.flatten())
        accuracy = (logits_BTV.detach().argmax(-1) == targets_BT).double().mean()
        self.intervention.observe(after)
        broken = [] if bool(torch.isfinite(loss)) else after.non_finite()
        final = f"; the state is not finite in {', '.join(broken)}" if broken else ""
        return StepLoss(loss, accuracy, targets_BT.shape[1], len(targets_BT), final)

    def memory(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what the intervention remembers, where the windows are, and how many symbols there are."""
        tensors, values = self.intervention.state()
        vocabulary = self.windows.corpus.vocabulary
        return tensors, {"intervention": values, "windows": self.windows.state(), "vocabulary": vocabulary}

    def recall(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Go back to what `memory` returned."""
        self.intervention.restore(tensors, values["intervention"])
        self.windows.restore(values["windows"])
