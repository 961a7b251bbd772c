"""The state contract of the installed transformers, alone and with our patches, measured on one model.

Every clause compares with the library reading all tokens in one call without a cache, which is how it trains.

Shape letters: B batch rows, T tokens, V symbols, P parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from textwrap import shorten
from typing import NamedTuple

import torch
from torch import Tensor

from lengthwise.errors import InputError, LengthwiseError, reason_of
from lengthwise.pretrained.adapter import HuggingFaceModel
from lengthwise.pretrained.cache_adapters import keeping_modes
from lengthwise.pretrained.clauses import CLAUSES, FIRST, PADDING, SECOND
from lengthwise.pretrained.families import family_of
from lengthwise.state import Kind, State

ROWS = 3
TOLERANCE = 1e-4
"""Relative; the models are measured in float32, which is what the library computes states in."""


class Cell(NamedTuple):
    """What one way of reading gave for one clause."""

    difference: float
    """The largest difference over the largest value; infinite where there is no gradient, NaN where it failed."""
    failure: str = ""
    """The error that the library raised."""

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.difference <= TOLERANCE

    def __str__(self) -> str:
        return self.failure or ("none" if self.difference == float("inf") else f"{self.difference:.0e}")


class LibraryFinding(NamedTuple):
    """One clause, with the library alone and with the patch."""

    clause: str
    alone: Cell | None = None
    """None where the clause cannot be asked of this family."""
    patched: Cell | None = None

    @property
    def holds(self) -> bool:
        """Whether the patched model keeps it."""
        return self.patched is None or self.patched.holds


@torch.enable_grad()
def check_library(
    model: HuggingFaceModel, *, clauses: Collection[str] = CLAUSES, seed: int = 0
) -> list[LibraryFinding]:
    """Measure the state contract of a model of transformers, with the library alone and with our patches.

    Args:
        model: in float32; its gradients are cleared and it is measured in evaluation mode.
        clauses: which of `CLAUSES` are measured.
        seed: of the tokens.

    Returns:
        One finding for each of the clauses, in the order of `CLAUSES`.

    Raises:
        InputError: the model is not in float32 or float64, or the library itself cannot read tokens with it.
    """
    dtype = next(model.parameters()).dtype
    if dtype not in (torch.float32, torch.float64):
        raise InputError(f"the contract is measured in float32, not {dtype}; call model.float() first")
    readers = HuggingFaceModel(model.model, patched=False), HuggingFaceModel(model.model)
    with keeping_modes(model):
        model.eval()
        subject = _Subject(model, seed)
        masks = family_of(model.family).masks
        findings = [
            LibraryFinding(clause, *(_cell(measure, reader) for reader in readers if masks or clause != PADDING))
            for clause, measure in zip(CLAUSES, subject.clauses(), strict=True)
            if clause in clauses
        ]
        model.zero_grad(set_to_none=True)
    return findings


def require_contract(model: HuggingFaceModel, clauses: Collection[str]) -> None:
    """Refuse a model whose state is not carried rightly with the installed transformers, even patched.

    Args:
        model: in float32.
        clauses: those of `CLAUSES` that must hold.

    Raises:
        InputError: a clause does not hold; the message says which, and the measured difference.
    """
    if broken := [finding for finding in check_library(model, clauses=clauses) if not finding.holds]:
        import transformers

        measured = ", ".join(f"{finding.clause} {finding.patched}" for finding in broken)
        raise InputError(
            f"{model.family} does not carry its state rightly with transformers {transformers.__version__}: "
            f"{measured}, allowed {TOLERANCE:.0e}; `lengthwise check hf:PATH` shows all of it"
        )


class _Subject:
    """The tokens, and what the library's own single call gives for them."""

    def __init__(self, model: HuggingFaceModel, seed: int) -> None:
        self.library = model.model
        generator = torch.Generator().manual_seed(seed)
        # The first symbols are often padding, whose embedding is fixed at zero.
        lowest, shape = min(3, model.vocabulary - 1), (ROWS, FIRST + SECOND)
        tokens_BT = torch.randint(lowest, model.vocabulary, shape, generator=generator)
        self.tokens_BT = tokens_BT.to(model.model.get_input_embeddings().weight.device)
        try:
            with torch.no_grad():
                self.logits_BTV = self._one_call(self.tokens_BT)
        # Not all that a configuration says is checked when a model is built.
        except Exception as error:
            raise InputError(
                f"transformers cannot read {ROWS} rows of {shape[1]} tokens with this {model.family}: "
                f"{reason_of(error)}; one of its settings cannot be right"
            ) from error

    @cached_property
    def expected_gradients(self) -> Tensor:
        """Of all parameters, from one call."""
        return self._gradients(self._one_call(self.tokens_BT))

    def clauses(self) -> list[Callable[[HuggingFaceModel], float]]:
        return [
            lambda m: _difference(self.logits_BTV, _read(m, self.tokens_BT)),
            lambda m: _difference(self.logits_BTV, _read(m, self.tokens_BT, [1] * self.tokens_BT.shape[1])),
            lambda m: _difference(self.expected_gradients, self._gradients(_read(m, self.tokens_BT))),
            self._initial_state_gradient,
            self._rows,
            self._left_padding,
        ]

    def _one_call(self, tokens_BT: Tensor) -> Tensor:
        return self.library(input_ids=tokens_BT, use_cache=False).logits

    def _gradients(self, logits_BTV: Tensor) -> Tensor:
        parameters = [p for p in self.library.parameters() if p.requires_grad]
        found = torch.autograd.grad(_weighted(logits_BTV), parameters, materialize_grads=True, allow_unused=True)
        return torch.cat([gradient.flatten() for gradient in found])

    def _initial_state_gradient(self, model: HuggingFaceModel) -> float:
        before = model(self.tokens_BT[:, :FIRST]).state.detach()
        splits = [SECOND], [SECOND // 2, SECOND - SECOND // 2]
        return _difference(*(_state_gradient(model, self.tokens_BT[:, FIRST:], before, sizes) for sizes in splits))

    @torch.no_grad()
    def _rows(self, model: HuggingFaceModel) -> float:
        alone = [_read(model, row_T[None]) for row_T in self.tokens_BT]
        return _difference(torch.cat(alone), _read(model, self.tokens_BT))

    @torch.no_grad()
    def _left_padding(self, model: HuggingFaceModel) -> float:
        padding_B = 5 * torch.arange(ROWS, device=self.tokens_BT.device)
        mask_BT = (torch.arange(self.tokens_BT.shape[1], device=padding_B.device) >= padding_B[:, None]).long()
        logits_BTV = model.left_padded_logits(self.tokens_BT * mask_BT, mask_BT)
        return max(
            _difference(self._one_call(row_T[None, p:])[0], logits_TV[p:])
            for row_T, logits_TV, p in zip(self.tokens_BT, logits_BTV, padding_B.tolist(), strict=True)
        )


def _read(
    model: HuggingFaceModel, tokens_BT: Tensor, sizes: Sequence[int] = (FIRST, SECOND), state: State | None = None
) -> Tensor:
    logits = list[Tensor]()
    for piece_BT in tokens_BT.split(list(sizes), 1):
        piece_BTV, state = model(piece_BT, state)
        logits.append(piece_BTV)
    return torch.cat(logits, 1)


def _state_gradient(model: HuggingFaceModel, tokens_BT: Tensor, before: State, sizes: list[int]) -> Tensor:
    """Return the gradient to the recurrent entries of a state, NaN where one of them gets none."""
    start = before.map(lambda t: t.clone().requires_grad_(), [Kind.RECURRENT])
    entries = [start[name] for name, kind in start.kinds.items() if kind is Kind.RECURRENT]
    total = _weighted(_read(model, tokens_BT, sizes, start))
    found: list[Tensor | None] = list(torch.autograd.grad(total, entries, allow_unused=True))
    nothing = [torch.full_like(entry, float("nan")) for entry in entries]
    return torch.cat([(n if g is None else g).flatten() for n, g in zip(nothing, found, strict=True)])


def _weighted(logits: Tensor) -> Tensor:
    # Cosines give every logit a weight of its own, the same for every way of reading.
    return (logits * torch.arange(logits.numel(), device=logits.device).cos().reshape(logits.shape)).sum()


def _difference(expected: Tensor, found: Tensor) -> float:
    # An infinity over an infinity is no number, and a maximum would pass over it.
    relative = float((expected - found).detach().abs().max()) / max(float(expected.abs().max()), 1e-30)
    return relative if math.isfinite(relative) else math.inf


def _cell(measure: Callable[[HuggingFaceModel], float], model: HuggingFaceModel) -> Cell:
    try:
        return Cell(measure(model))
    except LengthwiseError as error:
        return Cell(float("nan"), str(error))
    except Exception as error:
        # Whatever the library raises is the finding.
        reason = shorten(str(error), width=100, placeholder=" ...")
        return Cell(float("nan"), f"{type(error).__name__}: {reason}")
