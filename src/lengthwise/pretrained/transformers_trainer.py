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
from lengthwise.models.answers import divergences
from lengthwise.pretrained.adapter import HuggingFaceModel
from lengthwise.spaces import Tokens
from lengthwise.training.objectives.distil import DistilConfig, frozen

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
        distil: learn the answers that the model given here has from its initial state, and no labels; by default the
            labels are learned.
        arguments: those of `Trainer`; the model is one that `HuggingFaceModel` can read.

    Raises:
        InputError: the intervention needs rows that continue each other, or the model carries no recurrent state.

    Source: Buitrago Ruiz and Gu 2025, section 4.
    """

    def __init__(
        self,
        *,
        intervention: InterventionConfig | None = None,
        distil: DistilConfig | None = None,
        **arguments: Any,
    ) -> None:
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
        # Now, because a resumed training loads what it had learned by then.
        self._teacher = None if distil is None else frozen(self._reader)
        self._burn_in = 0 if distil is None else distil.burn_in
        self._rng = torch.Generator().manual_seed(self.args.seed)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return the mean cross-entropy, or divergence from the teacher, in nats; in training from a state given.

        Args:
            model: the model as the `Trainer` runs it.
            inputs: ``input_ids`` [B, T], ``labels`` [B, T] and maybe an ``attention_mask`` of ones. Padding is seen
                without a mask as well, by its token and by labels that do not count.
            return_outputs: whether the outputs of the model are returned as well.
            num_items_in_batch: the labels of all accumulated batches, where the mean is over these.

        Raises:
            InputError: rows are padded, there are no labels, or the model is spread over several devices.
        """
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        self._check(model, inputs)
        tokens_BT = inputs["input_ids"]
        before = self.intervention.begin(self._reader, len(tokens_BT), self._rng)
        logits_BTV, after = self._reader(tokens_BT, before)
        self.intervention.observe(after)
        count = num_items_in_batch if self.model_accepts_loss_kwargs else None
        loss = self._loss(logits_BTV, tokens_BT, inputs.get("labels"), count)
        return (loss, {"logits": logits_BTV}) if return_outputs else loss

    def _loss(
        self, logits_BTV: Tensor, tokens_BT: Tensor, labels_BT: Tensor | None, count: Tensor | int | None
    ) -> Tensor:
        """Return the mean loss over the batch, or its part of the mean over a count of labels."""
        if self._teacher is None:
            # transformers' labels stand at the tokens themselves: each is predicted one place earlier.
            assert labels_BT is not None  # seen before
            predictions, targets = logits_BTV[:, :-1].flatten(0, 1).float(), labels_BT[:, 1:].flatten()
            reduction = "mean" if count is None else "sum"
            loss = cross_entropy(predictions, targets, ignore_index=_IGNORED, reduction=reduction)
            return loss if count is None else loss / count
        with torch.no_grad():
            taught_BTV = self._teacher(tokens_BT).logits
        pair = (logits[:, self._burn_in :].flatten(0, 1) for logits in (logits_BTV, taught_BTV))
        loss = divergences(Tokens(logits_BTV.shape[-1]), *pair).mean()
        return loss if count is None or labels_BT is None else loss * (labels_BT != _IGNORED).sum() / count

    def _check(self, model: nn.Module, inputs: dict[str, Any]) -> None:
        if model is not self._reader.model:
            raise InputError(
                f"{type(self).__name__} trains on one device, but the model was wrapped as {type(model).__name__}; "
                "lengthwise post-train runs on several"
            )
        needed = ("input_ids",) if self._teacher else ("input_ids", "labels")
        if missing := [name for name in needed if name not in inputs]:
            raise InputError(f"a batch needs {' and '.join(needed)}; {' and '.join(missing)} is missing")
        if self._burn_in >= (length := inputs["input_ids"].shape[1]):
            raise InputError(f"a burn_in of {self._burn_in} leaves nothing of rows of {length} tokens; make it smaller")
        mask = inputs.get("attention_mask")
        labels_BT = inputs.get("labels", inputs["input_ids"])
        if (mask is not None and not bool(mask.all())) or self._padded(inputs["input_ids"], labels_BT):
            raise InputError("rows are padded, and padding would enter the states that are passed; pack the text")

    def _padded(self, tokens_BT: Tensor, labels_BT: Tensor) -> bool:
        """Return whether a row begins or ends with padding by the look of it, which needs no mask.

        That is a padding token whose label does not count, or two where texts end with that token as well. Where no
        padding token is known, it is any token that ends a row twice without counting.
        """
        config, tokenizer = self._reader.model.config, self.processing_class
        given = [getattr(known, "pad_token_id", None) for known in (config, tokenizer)]
        pads, ends = {pad for pad in given if pad is not None}, getattr(config, "eos_token_id", None)
        of_texts = set(ends) if isinstance(ends, list) else {ends}
        ignored_BT = labels_BT == _IGNORED
        for edge, beside in ((-1, -2), (0, 1)):
            once_B = ignored_BT[:, edge]
            twice_B = torch.zeros_like(once_B)
            if tokens_BT.shape[1] > 1:
                twice_B = once_B & ignored_BT[:, beside] & (tokens_BT[:, edge] == tokens_BT[:, beside])
            found_B = [(twice_B if pad in of_texts else once_B) & (tokens_BT[:, edge] == pad) for pad in pads]
            if any(bool(found.any()) for found in found_B) or (not pads and edge == -1 and bool(twice_B.any())):
                return True
        return False
