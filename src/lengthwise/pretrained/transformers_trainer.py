"""Interventions in the training loop of transformers.

Shape letters: B batch rows, T tokens, V symbols.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import Trainer

from lengthwise.errors import InputError
from lengthwise.interventions.base import InterventionConfig
from lengthwise.interventions.repair import repair_of
from lengthwise.pretrained.adapter import HuggingFaceModel

_IGNORED = -100
"""What transformers writes into labels that do not count."""


class StatePassingTrainer(Trainer):
    """transformers' `Trainer` with another initial state: each training step starts where an intervention says.

    Everything else is the `Trainer`'s own: optimiser, schedule, gradient accumulation, mixed precision, logs,
    evaluation (from the model's own start) and checkpoints, which any code loads. The memory of the intervention is not
    in them: after resuming, one step starts from the initial state. Training is on one device.

    Args:
        intervention: the settings of state passing, or of any intervention that takes batches as they come; by default
            state passing as it repairs the model's family.
        arguments: those of `Trainer`; the model is one that `HuggingFaceModel` can read.

    Raises:
        InputError: the intervention needs rows that continue each other, or the model carries no recurrent state.

    Source: Buitrago Ruiz and Gu 2025, section 4.
    """

    def __init__(self, *, intervention: InterventionConfig | None = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        if self.model is None:
            raise InputError(f"{type(self).__name__} needs the model itself; model_init is not supported")
        self._reader = HuggingFaceModel(cast(nn.Module, self.model))
        self.intervention = (intervention or repair_of(self._reader.family).intervention()).build()
        if self.intervention.aligned:
            raise InputError(
                f"{self.intervention.name!r} needs batches whose rows continue those of the batch before, and Trainer "
                "shuffles; use 'state_passing', or a loop of your own"
            )
        self._rng = torch.Generator().manual_seed(self.args.seed)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return the mean cross-entropy in nats; in training from the state that the intervention gives.

        Args:
            model: the model as the `Trainer` runs it.
            inputs: ``input_ids`` [B, T], ``labels`` [B, T] and maybe an ``attention_mask`` of ones.
            return_outputs: whether the outputs of the model are returned as well.
            num_items_in_batch: the labels of all accumulated batches, where the mean is over these.

        Raises:
            InputError: rows are padded, there are no labels, or the model is spread over several devices.
        """
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        self._check(model, inputs)
        tokens_BT, labels_BT = inputs["input_ids"], inputs["labels"]
        before = self.intervention.begin(self._reader, len(tokens_BT), self._rng)
        logits_BTV, after = self._reader(tokens_BT, before)
        self.intervention.observe(after)
        # transformers' labels stand at the tokens themselves: each is predicted one place earlier.
        predictions, targets = logits_BTV[:, :-1].flatten(0, 1).float(), labels_BT[:, 1:].flatten()
        count = num_items_in_batch if self.model_accepts_loss_kwargs else None
        reduction = "mean" if count is None else "sum"
        loss = cross_entropy(predictions, targets, ignore_index=_IGNORED, reduction=reduction)
        loss = loss if count is None else loss / count
        return (loss, {"logits": logits_BTV}) if return_outputs else loss

    def _check(self, model: nn.Module, inputs: dict[str, Any]) -> None:
        if model is not self._reader.model:
            raise InputError(
                f"{type(self).__name__} trains on one device, but the model was wrapped as {type(model).__name__}; "
                "lengthwise post-train runs on several"
            )
        if missing := [name for name in ("input_ids", "labels") if name not in inputs]:
            raise InputError(f"a batch needs input_ids and labels; {' and '.join(missing)} is missing")
        mask = inputs.get("attention_mask")
        if mask is not None and not bool(mask.all()):
            raise InputError("rows are padded, and padding would enter the states that are passed; pack the text")
