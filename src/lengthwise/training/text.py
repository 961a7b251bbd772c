"""Training a language model on windows of text, each step from the state that an intervention gives.

Shape letters: B batch rows, T tokens, S = T + 1 symbols of a window, V symbols.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from lengthwise.errors import InputError
from lengthwise.interventions.base import Intervention
from lengthwise.models.base import Output, SequenceModel
from lengthwise.models.reading import first_not_finite
from lengthwise.state import State
from lengthwise.tasks.windows import Windows
from lengthwise.training.config import TextTrainingConfig
from lengthwise.training.loop import StepLoss, Trainer
from lengthwise.training.processes import ALONE, Processes


class TextTrainer(Trainer[SequenceModel]):
    """Trains a model to predict the next symbol.

    Args:
        model: gives logits [B, T, V]; on the device it is trained on.
        windows: where text comes from; aligned ones where the intervention needs them.
        intervention: which state a step starts from.
        config: the settings.
        seed: of data, dropout and noise.
        processes: those that train together; the windows hold the rows of all of them.

    Raises:
        InputError: the rows of the windows cannot be shared out.
    """

    def __init__(
        self,
        model: SequenceModel,
        windows: Windows,
        intervention: Intervention,
        config: TextTrainingConfig,
        seed: int,
        processes: Processes = ALONE,
    ) -> None:
        super().__init__(model, config, config.optimiser, seed, processes)
        if windows.batch_size % processes.count or config.accumulation > windows.batch_size // processes.count:
            raise InputError(
                f"{windows.batch_size} windows cannot be shared out to {processes.count} processes "
                f"and {config.accumulation} parts a step (training.accumulation)"
            )
        self.windows, self.intervention, self.config = windows, intervention, config
        self._device = next(model.parameters()).device

    def terms(self, progress: float) -> Iterator[StepLoss]:
        """Yield the terms of the mean cross-entropy of the next batch of windows, in nats a symbol.

        All parts of a batch start from one state and are observed as one batch.
        """
        del progress
        batch = self.windows.next_batch(self.rng)
        generator = self.reseed_torch()
        mine = slice(self.processes.rank, None, self.processes.count)
        symbols_BS = torch.from_numpy(batch.tokens_BS[mine]).to(self._device)
        fresh_B = torch.from_numpy(batch.fresh_B[mine]).to(self._device)
        before = self.intervention.begin(self.model, len(symbols_BS), generator, fresh_B)
        if self.config.accumulation > 1 and any(entry.requires_grad for entry in before.values()):
            raise InputError(f"{type(self.model).__name__} learns its initial state; leave training.accumulation at 1")
        finals = list[State]()
        for index in torch.arange(len(symbols_BS), device=self._device).chunk(self.config.accumulation):
            whole = len(index) == len(symbols_BS)
            start = before if whole else before.rows(index)
            loss, accuracy, final = self._read(symbols_BS[index], start)
            finals.append(final.detach())
            note = "" if bool(torch.isfinite(loss)) else self._where_not_finite(symbols_BS[index, :-1], start)
            share = len(index) / len(symbols_BS)
            yield StepLoss(loss * share, accuracy * share, self.windows.length, len(index), note)
        self.intervention.observe(finals[0] if len(finals) == 1 else State.concat(finals))

    def _read(self, symbols_BS: Tensor, before: State) -> tuple[Tensor, Tensor, State]:
        """Return loss, accuracy and final state of some windows."""
        tokens_BT, targets_BT = symbols_BS[:, :-1], symbols_BS[:, 1:]
        with self._precision():
            logits_BTV, after = self._logits(tokens_BT, before)
        if logits_BTV.ndim != 3:
            raise InputError(
                "a language model gives logits after every token, [rows, tokens, symbols]; this one gives "
                f"{list(logits_BTV.shape)}; an LDRU does with readout: prefixes"
            )
        loss = F.cross_entropy(logits_BTV.flatten(0, 1).float(), targets_BT.flatten())
        return loss, (logits_BTV.detach().argmax(-1) == targets_BT).double().mean(), after

    def _logits(self, tokens_BT: Tensor, state: State) -> Output:
        if self.config.recompute is None:
            return self.model(tokens_BT, state)
        pieces = list[Tensor]()
        for piece_BT in tokens_BT.split(self.config.recompute, 1):
            logits_BTV, state = checkpoint(self.model, piece_BT, state, use_reentrant=False)
            pieces.append(logits_BTV)
        return Output(torch.cat(pieces, 1), state)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16")

    def _where_not_finite(self, tokens_BT: Tensor, start: State) -> str:
        """Return what a message says of windows whose loss is not finite, having read them again."""
        with self._precision():
            found = first_not_finite(self.model, tokens_BT, start)
        if found is None:
            return "; read again token by token, the state and all predictions are finite"
        position, entry = found
        what = f"the state is first not finite in {entry}" if entry else "the state is finite, the prediction is not"
        return f"; at position {position} of the window {what}"

    def memory(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what the intervention remembers, where the windows are, and how many symbols there are."""
        tensors, values = self.intervention.state()
        tensors = self.processes.gather(tensors)
        vocabulary = self.windows.corpus.vocabulary
        own = {"intervention": values, "windows": self.windows.state(), "vocabulary": vocabulary}
        return tensors, own | ({"processes": self.processes.count} if self.processes.count > 1 else {})

    def recall(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Go back to what `memory` returned."""
        self.intervention.restore(self.processes.own(tensors), values["intervention"])
        self.windows.restore(values["windows"])
