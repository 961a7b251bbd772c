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
from torch import Tensor, nn

from lengthwise.errors import InputError, LengthwiseError, reason_of
from lengthwise.evaluation.contract import Finding, check_contract, read_pieces, relative_difference, weighted_sum
from lengthwise.pretrained.adapter import HuggingFaceModel
from lengthwise.pretrained.cache_adapters import keeping_modes
from lengthwise.pretrained.clauses import CLAUSES, FIRST, PADDING, SECOND
from lengthwise.pretrained.families import family_of
from lengthwise.pretrained.model import PretrainedModel
from lengthwise.state import Kind, State

ROWS = 3
TOLERANCE = 1e-4
"""Relative; the models are measured in float32, which is what the library computes states in."""


class LibraryFinding(NamedTuple):
    """One clause, with the library alone and with the patch."""

    clause: str
    alone: Finding | None = None
    """None where the clause cannot be asked of this family; its difference is NaN where the library failed."""
    patched: Finding | None = None

    @property
    def holds(self) -> bool:
        """Whether the patched model keeps it."""
        return self.patched is None or self.patched.holds


def written(finding: Finding | None) -> str:
    """Return a finding in short: the difference, the error that the library raised, or why there is neither."""
    if finding is None:
        return "no mask"
    return finding.where or ("none" if math.isinf(finding.difference) else f"{finding.difference:.0e}")


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
            LibraryFinding(
                clause, *(_found(clause, measure, reader) for reader in readers if masks or clause != PADDING)
            )
            for clause, measure in zip(CLAUSES, subject.clauses(), strict=True)
            if clause in clauses
        ]
        model.zero_grad(set_to_none=True)
        _without_history(model)
    return findings


def _without_history(model: nn.Module) -> None:
    """Cut off the history of states that the library left in its modules, which cannot be copied with it."""
    for module in model.modules():
        left = {name: value for name, value in vars(module).items() if isinstance(value, Tensor) and not value.is_leaf}
        vars(module).update({name: value.detach() for name, value in left.items()})


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

        measured = ", ".join(f"{finding.clause} {written(finding.patched)}" for finding in broken)
        raise InputError(
            f"{model.family} does not carry its state rightly with transformers {transformers.__version__}: "
            f"{measured}, allowed {TOLERANCE:.0e}; `lengthwise check hf:PATH` shows all of it"
        )


def require_own(model: PretrainedModel) -> None:
    """Refuse one of our models whose weights are such that rounding alone breaks the contract.

    Raises:
        InputError: a clause does not hold; the message says which, and the measured difference.
    """
    if broken := [f for f in check_contract(model, model.vocabulary, length=FIRST + SECOND) if not f.holds]:
        measured = ", ".join(f"{finding.clause} {finding.difference:.0e}" for finding in broken)
        raise InputError(f"{model.family} does not carry its state rightly: {measured}, allowed {TOLERANCE:.0e}")


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
        one_by_one = range(1, FIRST + SECOND)
        return [
            lambda m: relative_difference(self.logits_BTV, self._read(m)),
            lambda m: relative_difference(self.logits_BTV, self._read(m, one_by_one)),
            lambda m: relative_difference(self.expected_gradients, self._gradients(self._read(m))),
            self._initial_state_gradient,
            self._rows,
            self._left_padding,
        ]

    def _read(self, model: HuggingFaceModel, cuts: Sequence[int] = (FIRST,)) -> Tensor:
        return read_pieces(model, self.tokens_BT, None, cuts).logits

    def _one_call(self, tokens_BT: Tensor) -> Tensor:
        return self.library(input_ids=tokens_BT, use_cache=False).logits

    def _gradients(self, logits_BTV: Tensor) -> Tensor:
        parameters = [p for p in self.library.parameters() if p.requires_grad]
        found = torch.autograd.grad(weighted_sum(logits_BTV), parameters, materialize_grads=True, allow_unused=True)
        return torch.cat([gradient.flatten() for gradient in found])

    def _initial_state_gradient(self, model: HuggingFaceModel) -> float:
        before = model(self.tokens_BT[:, :FIRST]).state.detach()
        after_BT = self.tokens_BT[:, FIRST:]
        return relative_difference(*(_state_gradient(model, after_BT, before, cuts) for cuts in ([], [SECOND // 2])))

    @torch.no_grad()
    def _rows(self, model: HuggingFaceModel) -> float:
        alone = [read_pieces(model, row_T[None], None, [FIRST]).logits for row_T in self.tokens_BT]
        return relative_difference(torch.cat(alone), self._read(model))

    @torch.no_grad()
    def _left_padding(self, model: HuggingFaceModel) -> float:
        padding_B = 5 * torch.arange(ROWS, device=self.tokens_BT.device)
        mask_BT = (torch.arange(self.tokens_BT.shape[1], device=padding_B.device) >= padding_B[:, None]).long()
        logits_BTV = model.left_padded_logits(self.tokens_BT * mask_BT, mask_BT)
        return max(
            relative_difference(self._one_call(row_T[None, p:])[0], logits_TV[p:])
            for row_T, logits_TV, p in zip(self.tokens_BT, logits_BTV, padding_B.tolist(), strict=True)
        )


def _state_gradient(model: HuggingFaceModel, tokens_BT: Tensor, before: State, cuts: Sequence[int]) -> Tensor:
    """Return the gradient to the recurrent entries of a state, NaN where one of them gets none."""
    start = before.map(lambda t: t.clone().requires_grad_(), [Kind.RECURRENT])
    entries = [start[name] for name, kind in start.kinds.items() if kind is Kind.RECURRENT]
    total = weighted_sum(read_pieces(model, tokens_BT, start, cuts).logits)
    found: list[Tensor | None] = list(torch.autograd.grad(total, entries, allow_unused=True))
    nothing = [torch.full_like(entry, float("nan")) for entry in entries]
    return torch.cat([(n if g is None else g).flatten() for n, g in zip(nothing, found, strict=True)])


def _found(clause: str, measure: Callable[[HuggingFaceModel], float], model: HuggingFaceModel) -> Finding:
    try:
        return Finding(clause, measure(model), TOLERANCE)
    except LengthwiseError as error:
        failure = str(error)
    except Exception as error:
        # Whatever the library raises is the finding.
        failure = f"{type(error).__name__}: {shorten(str(error), width=100, placeholder=' ...')}"
    return Finding(clause, math.nan, TOLERANCE, failure)
