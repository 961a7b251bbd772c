"""The state contract: reading a sequence in one call equals reading it in pieces, in value and in gradient.

Shape letters: B batch rows, T tokens, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.models.base import Output, SequenceModel, last_logits
from lengthwise.models.reading import check_tokens
from lengthwise.spaces import Space, Tokens, as_space
from lengthwise.state import State

_Named: TypeAlias = Mapping[str, Tensor]
"""What a way of reading gave, each tensor by the words that a finding has for it."""


TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Dtype -> the largest difference that is rounding, over the largest value of a tensor."""


class Finding(NamedTuple):
    """One clause of the contract, measured."""

    clause: str
    """What must hold."""
    difference: float
    """The largest relative difference that was seen; infinite where a value is not finite or missing."""
    tolerance: float
    where: str = ""
    """The value that differs most, by the name of its tensor and its place in it."""
    not_asked: str = ""
    """Why the clause cannot be asked of this model, if it cannot; the difference is NaN then."""

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.difference <= self.tolerance

    @property
    def broken(self) -> bool:
        """Whether it was asked and does not hold."""
        return not (self.holds or self.not_asked)


class Gap(NamedTuple):
    """A difference, and where it was seen."""

    difference: float = 0.0
    where: str = ""


def check_contract(
    model: SequenceModel, inputs: Space | Tensor | int, *, length: int = 37, batch_size: int = 3, seed: int = 0
) -> list[Finding]:
    """Measure every clause of the state contract on random inputs, or on an example.

    The model is checked as it is, in evaluation mode and in its own dtype; in float64 the tolerance is 1e-9, otherwise
    1e-4. Differences are relative to the largest value of the tensor, of gradients to the largest of all gradients. A
    value that is not finite, wherever it is, breaks the clause that meets it.

    Args:
        model: the model; its gradients are cleared.
        inputs: what it reads: a number is that of the different symbols; or an example, [B, T] symbols or [B, T, F]
            values as they are in use, which says length and batch size too.
        length: number of tokens, at least 8.
        batch_size: number of rows, at least 2.
        seed: of the tokens, or of values from a normal distribution.

    Returns:
        One finding a clause; only that about the order of dimensions where it is broken.

    Raises:
        InputError: an entry of the state has not so many rows; a call returns no `Output` with a state of the same
            entries, or changes the one that it was given; there are too few tokens or rows.
    """
    tokens = example_of(inputs, length, batch_size, seed, next(model.parameters()))
    model.eval()
    tolerance = TOLERANCES.get(next(model.parameters()).dtype, TOLERANCES[torch.float32])
    _refuse_other_returns(model, tokens)
    if other := _batch_elsewhere(model, tokens):
        return [Finding(_BATCH_FIRST, math.inf, tolerance, other)]
    clauses = [
        (_BATCH_FIRST, Gap()),
        *_cut_anywhere(model, tokens),
        ("one token at a time equals one call", _one_token_at_a_time(model, tokens)),
        ("causality: later tokens change nothing earlier", _causality(model, tokens)),
        ("rows are independent", _rows(model, tokens)),
        ("a state can be split into rows and joined again", _rejoined(model, tokens)),
    ]
    return [Finding(clause, gap.difference, tolerance, gap.where) for clause, gap in clauses]


def example_of(inputs: Space | Tensor | int, length: int, batch_size: int, seed: int, like: Tensor) -> Tensor:
    """Return inputs [B, T] or [B, T, F] as a model reads them: the example itself, or random ones.

    Args:
        inputs: as of `check_contract`, as are length, batch size and seed.
        length: positions.
        batch_size: rows.
        seed: of what is random.
        like: a parameter of the model, on its device and in its dtype.

    Raises:
        InputError: there are fewer than 8 positions or 2 rows, or the example is neither symbols nor finite values.
    """
    if isinstance(inputs, Tensor):
        check_tokens(inputs, 1)
        if inputs.is_floating_point() and not bool(inputs.isfinite().all()):
            raise InputError("the example holds a value that is not finite, of which nothing could be told")
        if bool((inputs == inputs.flatten()[0]).all()):
            raise InputError("the example is one symbol or value throughout: give one with two that differ")
        example = inputs.to(like) if inputs.is_floating_point() else inputs.to(like.device)
    else:
        generator, space = torch.Generator().manual_seed(seed), as_space(inputs)
        if isinstance(space, Tokens):
            example = torch.randint(space.size, (batch_size, length), generator=generator).to(like.device)
        else:
            example = torch.randn(batch_size, length, space.size, generator=generator).to(like)
    if example.shape[1] < 8 or len(example) < 2:
        raise InputError(f"the contract needs at least 8 tokens and 2 rows, not {example.shape[1]} and {len(example)}")
    return example


_BATCH_FIRST = "every entry of the state has the batch first"


@torch.no_grad()
def _refuse_other_returns(model: SequenceModel, tokens: Tensor) -> None:
    """Refuse a model that returns something else than logits with a state like the one that it was given."""
    start = model.initial_state(len(tokens))
    kept = start.map(torch.clone)
    output: object = model(tokens[:, :2], start)
    after: object = output.state if isinstance(output, Output) else None
    if not isinstance(after, State):
        named = type(after if isinstance(output, Output) else output).__name__
        raise InputError(f"a call of the model gives a {named} where it has to give an Output of logits and a State")
    for name, entry in kept.items():
        if name not in after:
            raise InputError(f"the state that comes out of a call has no entry {name!r}, which went in")
        if after[name].dtype != entry.dtype:
            raise InputError(f"entry {name!r} goes into a call as {entry.dtype} and comes out as {after[name].dtype}")
    if changed := [name for name in kept if not torch.equal(start[name], kept[name])]:
        raise InputError(
            f"a call changes entry {changed[0]!r} of the state that it is given; it has to return a new one"
        )


@torch.no_grad()
def _batch_elsewhere(model: SequenceModel, tokens: Tensor) -> str:
    """Return why a dimension that is as long as the batch is not the batch; nothing where it is.

    Asked with another number of rows, which no dimension of the state has.

    Raises:
        InputError: an entry has not even the first dimension that these rows would give it.
    """
    rows = len(tokens)
    states = [model.initial_state(rows).of_rows(rows), model(tokens[:, :2]).state.of_rows(rows)]
    taken = {size for state in states for entry in state.values() for size in entry.shape}
    others = next(count for count in range(2, len(taken) + 4) if count not in taken)
    try:
        model.initial_state(others).of_rows(others)
        model(tokens[torch.arange(others) % rows, :2]).state.of_rows(others)
    except InputError as error:
        return str(error)
    return ""


def _cut_anywhere(model: SequenceModel, tokens: Tensor) -> Iterator[tuple[str, Gap]]:
    before, length, middle = model(tokens[:, :5]).state.detach(), tokens.shape[1], tokens.shape[1] // 2
    cuts = [(1,), (length - 1,), (3,), (middle,), (middle - 1, middle + 1), (1, 2, 3, middle)]
    whole = _read(model, tokens, before, ())
    pieces = [_read(model, tokens, before, places) for places in cuts]
    for clause, expected in whole.items():
        gaps = [gap_between(expected, piece[clause], together="gradient" in clause) for piece in pieces]
        if clause == _OF_STATE and (entry := _gradient_is_missing(model, tokens, before)):
            gaps.append(Gap(math.inf, f"entry {entry!r} has none"))
        yield f"cut anywhere: {clause}", largest_gap(gaps)


_OF_STATE = "gradient of the initial state"


def _gradient_is_missing(model: SequenceModel, tokens: Tensor, before: State) -> str | None:
    """Return the entry of the state that changes the logits without a gradient: every cut lacks it alike."""
    for name in (name for name in before if before[name].is_floating_point()):
        entry = before[name].clone().requires_grad_()
        logits = model(tokens, State({**before, name: entry}, before.kinds)).logits
        moved = model(tokens, State({**before, name: 1.1 * entry + 0.1}, before.kinds)).logits
        (gradient,) = torch.autograd.grad(logits.sum(), entry, allow_unused=True) if logits.requires_grad else (None,)
        if gradient is None and not torch.equal(logits, moved):
            return name
    return None


def read_pieces(
    model: Callable[[Tensor, State | None], Output], tokens_BT: Tensor, state: State | None, cuts: Sequence[int]
) -> Output:
    """Read tokens from a state, by default the initial one, in pieces that end at the cuts and at the end."""
    read = list[Output]()
    for piece in tokens_BT.tensor_split(list(cuts), 1):
        read.append(model(piece, read[-1].state if read else state))
    return Output(joined_logits([output.logits for output in read]), read[-1].state)


def joined_logits(pieces: Sequence[Tensor]) -> Tensor:
    """Return the logits of all pieces of a reading, or those after the last where a model gives no others."""
    return torch.cat(list(pieces), 1) if pieces[-1].ndim == 3 else pieces[-1]


def weighted_sum(*outputs: Tensor) -> Tensor:
    """Return a sum to be differentiated, in which cosines give every value a weight of its own."""
    sums = [(t * torch.arange(t.numel(), device=t.device).cos().reshape(t.shape)).sum() for t in outputs]
    return torch.stack(sums).sum()


def relative_difference(expected: Tensor, found: Tensor) -> float:
    """Return the largest difference over the largest value; infinite where a value is not finite.

    Raises:
        ValueError: there are others than the expected values.
    """
    if expected.shape != found.shape:
        raise ValueError(f"values of the sizes {list(found.shape)}, and not {list(expected.shape)}")
    return gap_between({"": expected.detach()}, {"": found.detach()}).difference


def _read(model: SequenceModel, tokens: Tensor, before: State, cuts: Sequence[int]) -> dict[str, _Named]:
    """Read tokens after a state in pieces; differentiate the logits and the final state together.

    Returns what this way of reading gave.
    """
    model.zero_grad(set_to_none=True)
    start = before.map(lambda t: t.clone().requires_grad_() if t.is_floating_point() else t)
    outputs, state = read_pieces(model, tokens, start, cuts)
    final = [state[name] for name in sorted(state) if state[name].is_floating_point()]
    weighted_sum(outputs, *final).backward()
    return {
        "outputs": {"the logits": outputs.detach()},
        "final state": _entries(state),
        "gradients of the parameters": {
            f"the gradient of {name}": p.grad for name, p in model.named_parameters() if p.grad is not None
        },
        _OF_STATE: {
            f"the gradient of entry {name!r}": gradient for name in start if (gradient := start[name].grad) is not None
        },
    }


@torch.no_grad()
def _one_token_at_a_time(model: SequenceModel, tokens: Tensor) -> Gap:
    state = model.initial_state(tokens.shape[0])
    gaps, seen = list[Gap](), list[Tensor]()
    for end in range(1, tokens.shape[1] + 1):
        whole = model(tokens[:, :end])
        logits, state = model(tokens[:, end - 1 : end], state)
        seen = [*seen, logits] if logits.ndim == 3 else [logits]
        found = {"the logits": torch.cat(seen, 1), **_entries(state)}
        gap = gap_between({"the logits": whole.logits, **_entries(whole.state)}, found)
        gaps.append(gap._replace(where=f"{gap.where} after {end} tokens"))
    return largest_gap(gaps)


@torch.no_grad()
def _causality(model: SequenceModel, tokens: Tensor) -> Gap:
    """Compare what is known after a prefix with and without different tokens behind it."""
    ends = [1, 3, tokens.shape[1] // 2]
    changed, values = tokens.clone(), tokens.is_floating_point()
    # Of symbols that are there: an example does not say how many there may be.
    later = changed[:, ends[-1] :]
    changed[:, ends[-1] :] = 1 - later if values else torch.where(later == tokens.max(), tokens.min(), tokens.max())
    known = list[_Named]()
    for read in (tokens, changed):
        logits = model(read).logits
        every = {"the logits": logits[:, : ends[-1]]} if logits.ndim == 3 else {}
        # A model of values is not asked for many prefixes in one call.
        prefixes = {} if values else {"the logits of prefixes": model.prefix_logits(read, ends)}
        known.append({**prefixes, **every})
    return gap_between(known[0], known[1])


@torch.no_grad()
def _rows(model: SequenceModel, tokens: Tensor) -> Gap:
    together, alone = model(tokens), [model(row[None]) for row in tokens]
    logits, state = torch.cat([one.logits for one in alone]), State.concat([one.state for one in alone])
    return gap_between(
        {"the logits": logits, **_entries(state)}, {"the logits": together.logits, **_entries(together.state)}
    )


@torch.no_grad()
def _rejoined(model: SequenceModel, tokens: Tensor) -> Gap:
    middle, reverse = tokens.shape[1] // 2, list(reversed(range(len(tokens))))
    state = model(tokens[:, :middle]).state
    swapped = State.concat([state.rows([b]) for b in reverse])
    after = model(tokens[reverse, middle:], swapped)
    expected = model(tokens)
    return gap_between(
        {"the last logits": last_logits(expected.logits), **_entries(expected.state)},
        {"the last logits": last_logits(after.logits)[reverse], **_entries(after.state.rows(reverse))},
    )


def _entries(state: State) -> _Named:
    return {f"entry {name!r}": state[name].detach() for name in sorted(state)}


def gap_between(expected: _Named, found: _Named, *, together: bool = False) -> Gap:
    """Return the largest difference over the largest value of its tensor, or of all of them together."""
    if list(expected) != list(found):
        return Gap(math.inf, ", ".join(sorted({*expected} ^ {*found})))
    # What is not finite breaks the clause by itself, and must not hide what is.
    largest = {name: float(t.abs().nan_to_num(0, 0, 0).max()) if t.numel() else 0.0 for name, t in expected.items()}
    gaps = list[Gap]()
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape:
            gaps.append(Gap(math.inf, f"{name}, {list(tensor.shape)} and {list(found[name].shape)}"))
        elif tensor.numel():
            apart, place = _farthest(tensor, found[name])
            scale = max(largest.values()) if together else largest[name]
            gaps.append(Gap(apart / max(scale, 1e-30) if math.isfinite(apart) else math.inf, f"{name} at {place}"))
    return largest_gap(gaps)


def _farthest(expected: Tensor, found: Tensor) -> tuple[float, list[int]]:
    """Return the largest difference and its place; infinite where a value is not finite on either side."""
    exact = not expected.is_floating_point() and not expected.is_complex()
    apart = (expected != found).double() if exact else (expected - found).abs()
    apart = apart.masked_fill(~(expected.isfinite() & found.isfinite()), math.inf)
    place = torch.unravel_index(apart.argmax(), apart.shape)
    return float(apart[place]), [int(index) for index in place]


def largest_gap(gaps: Iterable[Gap]) -> Gap:
    """Return the largest of differences; none where there is none."""
    return max(gaps, key=lambda gap: gap.difference, default=Gap())
