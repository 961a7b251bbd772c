"""The state contract: reading a sequence in one call equals reading it in pieces, in value and in gradient.

Shape letters: B batch rows, T tokens, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lengthwise.models.base import SequenceModel, last_logits
from lengthwise.state import State


class Finding(NamedTuple):
    """One clause of the contract, measured."""

    clause: str
    """What must hold."""
    difference: float
    """The largest relative difference that was seen."""
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.difference <= self.tolerance


def check_contract(
    model: SequenceModel, vocabulary: int, *, length: int = 37, batch_size: int = 3, seed: int = 0
) -> list[Finding]:
    """Measure every clause of the state contract on random tokens.

    The model is checked as it is, in evaluation mode and in its own dtype; in float64 the tolerance is 1e-9, otherwise
    1e-4, relative to the largest value compared.

    Args:
        model: the model; its gradients are cleared.
        vocabulary: number of different symbols.
        length: number of tokens, at least 8.
        batch_size: number of rows, at least 2.
        seed: of the tokens.

    Returns:
        One finding a clause.
    """
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    tokens = torch.randint(vocabulary, (batch_size, length), generator=generator).to(device)
    tolerance = 1e-9 if next(model.parameters()).dtype == torch.float64 else 1e-4
    clauses = [
        *_cut_anywhere(model, tokens),
        ("one token at a time equals one call", _one_token_at_a_time(model, tokens)),
        ("causality: later tokens change nothing earlier", _causality(model, tokens, vocabulary)),
        ("rows are independent", _rows(model, tokens)),
        ("a state can be split into rows and joined again", _rejoined(model, tokens)),
    ]
    return [Finding(clause, difference, tolerance) for clause, difference in clauses]


def _cut_anywhere(model: SequenceModel, tokens: Tensor) -> Iterator[tuple[str, float]]:
    before, length, middle = model(tokens[:, :5]).state.detach(), tokens.shape[1], tokens.shape[1] // 2
    cuts = [(1,), (length - 1,), (3,), (middle,), (middle - 1, middle + 1), (1, 2, 3, middle)]
    whole = _read(model, tokens, before, ())
    pieces = [_read(model, tokens, before, places) for places in cuts]
    for clause, expected in whole.items():
        worst = max(_difference(expected, piece[clause]) for piece in pieces)
        if clause == _OF_STATE and _gradient_is_missing(model, tokens, before):
            worst = float("inf")
        yield f"cut anywhere: {clause}", worst


_OF_STATE = "gradient of the initial state"


def _gradient_is_missing(model: SequenceModel, tokens: Tensor, before: State) -> bool:
    """Return whether an entry of the state changes the logits without a gradient: every cut lacks it alike."""
    for name in (name for name in before if before[name].is_floating_point()):
        entry = before[name].clone().requires_grad_()
        logits = model(tokens, State({**before, name: entry}, before.kinds)).logits
        moved = model(tokens, State({**before, name: 1.1 * entry + 0.1}, before.kinds)).logits
        (gradient,) = torch.autograd.grad(logits.sum(), entry, allow_unused=True) if logits.requires_grad else (None,)
        if gradient is None and not torch.equal(logits, moved):
            return True
    return False


def _read(model: SequenceModel, tokens: Tensor, before: State, cuts: Sequence[int]) -> dict[str, list[Tensor]]:
    """Read tokens after a state in pieces; differentiate the logits and the final state together.

    Returns what this way of reading gave.
    """
    model.zero_grad(set_to_none=True)
    start = before.map(lambda t: t.clone().requires_grad_() if t.is_floating_point() else t)
    state, pieces = start, list[Tensor]()
    for piece in tokens.tensor_split(list(cuts), 1):
        logits, state = model(piece, state)
        pieces.append(logits)
    outputs = torch.cat(pieces, 1) if pieces[-1].ndim == 3 else pieces[-1]
    final = [state[name] for name in sorted(state) if state[name].is_floating_point()]
    # Cosines give every entry a weight of its own, the same for every way of reading.
    weighted = [(t * torch.arange(t.numel(), device=t.device).cos().reshape(t.shape)).sum() for t in (outputs, *final)]
    torch.stack(weighted).sum().backward()
    return {
        "outputs": [outputs.detach()],
        "final state": [t.detach() for t in final],
        "gradients of the parameters": [gradient for p in model.parameters() if (gradient := p.grad) is not None],
        _OF_STATE: [gradient for name in sorted(start) if (gradient := start[name].grad) is not None],
    }


@torch.no_grad()
def _one_token_at_a_time(model: SequenceModel, tokens: Tensor) -> float:
    state = model.initial_state(tokens.shape[0])
    worst = 0.0
    for end in range(1, tokens.shape[1] + 1):
        logits, state = model(tokens[:, end - 1 : end], state)
        worst = max(worst, _difference([last_logits(model(tokens[:, :end]).logits)], [last_logits(logits)]))
    return worst


@torch.no_grad()
def _causality(model: SequenceModel, tokens: Tensor, vocabulary: int) -> float:
    """Compare what is known after a prefix with and without different tokens behind it."""
    ends = [1, 3, tokens.shape[1] // 2]
    changed = tokens.clone()
    changed[:, ends[-1] :] = (changed[:, ends[-1] :] + 1) % vocabulary
    known = list[list[Tensor]]()
    for read in (tokens, changed):
        logits = model(read).logits
        every = [logits[:, : ends[-1]]] if logits.ndim == 3 else []
        known.append([model.prefix_logits(read, ends), *every])
    return _difference(*known)


@torch.no_grad()
def _rows(model: SequenceModel, tokens: Tensor) -> float:
    together = model(tokens).logits
    return max(_difference([together[b : b + 1]], [model(tokens[b : b + 1]).logits]) for b in range(len(tokens)))


@torch.no_grad()
def _rejoined(model: SequenceModel, tokens: Tensor) -> float:
    middle = tokens.shape[1] // 2
    state = model(tokens[:, :middle]).state
    swapped = State.concat([state.rows([b]) for b in reversed(range(len(tokens)))])
    after = model(tokens[:, middle:].flip(0), swapped).logits.flip(0)
    return _difference([last_logits(model(tokens).logits)], [last_logits(after)])


def _difference(expected: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """Return the largest difference over the largest value; infinite where shapes or numbers of tensors differ."""
    if [t.shape for t in expected] != [t.shape for t in found]:
        return float("inf")
    scale = max((float(t.abs().max()) for t in expected if t.numel()), default=0.0)
    worst = max((float((a - b).abs().max()) for a, b in zip(expected, found, strict=True) if a.numel()), default=0.0)
    return worst / max(scale, 1e-30)
