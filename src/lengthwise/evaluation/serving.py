"""Serving: what servers of recurrent models get wrong, asked of any step ``(tokens, state) -> (logits, state)``.

Shape letters: B batch rows, T tokens, C symbols.
"""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from lengthwise.errors import InputError, reason_of
from lengthwise.evaluation.contract import (
    TOLERANCES,
    Finding,
    Gap,
    example_of,
    gap_between,
    joined_logits,
    largest_gap,
    read_pieces,
)
from lengthwise.models.base import Output
from lengthwise.spaces import Space
from lengthwise.state import State

ALIGNMENTS = "cut at every place: the logits"
SHORT = "chunks of 1, 2 and 3 tokens"
PREFIX = "one prefix shared by two requests"
POSITIONS = "rows at different positions in one batch"
SNAPSHOT = "a snapshot to disk and back"
BFLOAT16 = "bfloat16 against float32"
SERVING = (ALIGNMENTS, SHORT, PREFIX, POSITIONS, SNAPSHOT, BFLOAT16)
"""The clauses, in this order; a job asks for those that it needs."""
SHORTEST = 13
"""Tokens of a row, at least: three requests at different positions read four more."""
HALF = 0.1
"""By how much answers in bfloat16, which has between two and three digits, may differ."""


class Step(Protocol):
    """A server's step; where it has the following methods as well, they are what is checked.

    ``initial_state(rows)``: the state before any token; without it, None is given. ``fork_state(state)``: the state of
    a request that goes on from it; without it, all requests are given the same object. ``join_states(states)``: the
    states of requests as those of the rows of one batch, and ``save_state(state, path)``, ``load_state(path)``: a
    snapshot; without them, those of `State` where the state is one. ``in_bfloat16()``: the step in that dtype; without
    it, that of a module is made of a copy.
    """

    def __call__(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Read tokens [B, T] after a state; return logits, [B, T, C] or those after the last, [B, C], and the state."""
        ...


@torch.no_grad()
def check_serving(
    step: Step,
    inputs: Space | Tensor | int,
    *,
    clauses: Collection[str] = SERVING,
    length: int = 37,
    seed: int = 0,
) -> list[Finding]:
    """Ask a step what servers get wrong, each time against itself reading all tokens in one call.

    Logits are compared as in `check_contract`: within 1e-9 of the largest in float64, 1e-4 in float32 and `HALF` in
    dtypes of 16 bits. In bfloat16 it is the L2 norm of the difference over that of the logits in float32, the median
    over the second half of the row: where a model chooses, as among experts, a single choice may come out otherwise. A
    step that raises breaks the clause that it raises in.

    Args:
        step: a model, or any function or object that is called like one; a module is put in evaluation mode.
        inputs: what it reads: a number is that of the different symbols; or an example, [B, T] symbols or [B, T, F]
            values.
        clauses: which of `SERVING` are asked.
        length: tokens of a row, at least 13.
        seed: of the tokens.

    Returns:
        One finding for each of the clauses, in their order; one that cannot be asked says why.

    Raises:
        InputError: a clause is unknown, there are too few tokens or rows, or the step cannot read them in one call.

    Example:
        >>> from lengthwise import BackboneConfig
        >>> model = BackboneConfig(width=16, layers=1).build(7, 7)
        >>> any(finding.broken for finding in check_serving(model, 7))
        False
    """
    if unknown := set(clauses).difference(SERVING):
        raise InputError(f"{unknown.pop()!r} is no clause of serving; these are: {'; '.join(SERVING)}")
    module = step.eval() if isinstance(step, nn.Module) else nn.Identity()
    like = next(module.parameters(), torch.zeros(()))
    rows = example_of(inputs, length, _Requests.COUNT, seed, like)
    if rows.shape[1] < SHORTEST or len(rows) < _Requests.COUNT:
        raise InputError(
            f"serving needs rows of at least {SHORTEST} tokens and {_Requests.COUNT} of them, not {rows.shape[1]} and "
            f"{len(rows)}"
        )
    return list(_Requests(step, rows).asked(clauses))


class _NotAskedError(Exception):
    """A clause cannot be asked of this step."""


class _Requests:
    """A few requests to a step, and what it says to each of them in one call."""

    COUNT = 3
    MORE = 4
    """Tokens that requests read together."""

    def __init__(self, step: Step, rows: Tensor) -> None:
        self.step, self.rows, self.length = step, rows[: self.COUNT], rows.shape[1]
        try:
            logits = self.read(self.rows[:1]).logits
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"the step cannot read tokens {list(self.rows[:1].shape)} in one call: {reason_of(error)}"
            ) from error
        self.tolerance = TOLERANCES.get(logits.dtype, HALF)

    def asked(self, clauses: Collection[str]) -> Iterator[Finding]:
        measures: dict[str, Callable[[], Gap]] = {
            ALIGNMENTS: self._alignments,
            SHORT: self._short,
            PREFIX: self._prefix,
            POSITIONS: self._positions,
            SNAPSHOT: self._snapshot,
            BFLOAT16: self._bfloat16,
        }
        for clause in (clause for clause in SERVING if clause in clauses):
            tolerance = HALF if clause == BFLOAT16 else self.tolerance
            try:
                gap = measures[clause]()
            except _NotAskedError as why:
                yield Finding(clause, math.nan, tolerance, not_asked=str(why))
                continue
            # Whatever a step raises is the finding.
            except Exception as error:
                gap = Gap(math.inf, reason_of(error))
            yield Finding(clause, gap.difference, tolerance, gap.where)

    def read(self, tokens: Tensor, cuts: Sequence[int] = (), state: Any = None) -> Output:
        """Read tokens in pieces, from the state before any or another."""
        begin = self._method("initial_state")
        before = begin(len(tokens)) if state is None and begin is not None else state
        return read_pieces(self._call, tokens, before, cuts)

    def _call(self, tokens: Tensor, state: Any) -> Output:
        found = cast("Sequence[object]", self.step(tokens, state))
        if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], Tensor)):
            raise InputError(f"a step returns (logits, state), logits a tensor, and not a {type(found).__name__}")
        return Output(found[0], cast("State", found[1]))

    def _method(self, name: str) -> Callable[..., Any] | None:
        return getattr(self.step, name, None)

    @cached_property
    def _whole(self) -> Tensor:
        """Logits of the first row, in one call."""
        return self.read(self.rows[:1]).logits

    def _cut(self, cuts: Sequence[int], how: str) -> Gap:
        gap = gap_between(_named(self._whole), _named(self.read(self.rows[:1], cuts).logits))
        return gap._replace(where=f"{gap.where}, {how}")

    def _alignments(self) -> Gap:
        return largest_gap(self._cut([place], f"cut after {place}") for place in range(1, self.length))

    def _short(self) -> Gap:
        sizes = (1, 2, 3)
        return largest_gap(self._cut(range(size, self.length, size), f"in chunks of {size}") for size in sizes)

    def _prefix(self) -> Gap:
        """Let two requests go on from one prefix in turns, and as two rows where the state can be forked into them."""
        middle = self.length // 2
        prefix, ends = self.rows[:1, :middle], [self.rows[row : row + 1, middle:] for row in range(2)]
        alone = [self.read(torch.cat([prefix, end], 1)).logits for end in ends]
        state: Any = self.read(prefix).state
        fork, outputs = self._method("fork_state"), list[list[Output]]()
        states = [state if fork is None else fork(state) for _ in ends]
        for tokens in zip(*(end.tensor_split(2, 1) for end in ends), strict=True):
            outputs.append([self.read(each, (), before) for each, before in zip(tokens, states, strict=True)])
            states = [output.state for output in outputs[-1]]
        turns = [joined_logits([output.logits for output in of_one]) for of_one in zip(*outputs, strict=True)]
        found = {"in turns": torch.cat(turns)}
        if fork is None and isinstance(state, State):
            found["as two rows"] = self.read(torch.cat(ends), (), state.fork(2)).logits
        expected = torch.cat([_last(logits, self.length - middle) for logits in alone])
        gaps = {how: gap_between(_named(expected), _named(logits)) for how, logits in found.items()}
        return largest_gap(gap._replace(where=f"{gap.where}, {how}") for how, gap in gaps.items())

    def _positions(self) -> Gap:
        """Read tokens of requests that are at different positions, together in one call, and one by one."""
        places = (2, self.length // 2, self.length - self.MORE)
        requests = list(zip(self.rows.split(1), places, strict=True))
        alone = [_last(self.read(row[:, : place + self.MORE]).logits, self.MORE) for row, place in requests]
        more = torch.cat([row[:, place : place + self.MORE] for row, place in requests])
        gaps = list[Gap]()
        for cuts, how in (((), "in one call"), (range(1, self.MORE), "one by one")):
            joined = self._joined([self.read(row[:, :place]).state for row, place in requests])
            gap = gap_between(_named(torch.cat(alone)), _named(self.read(more, cuts, joined).logits))
            gaps.append(gap._replace(where=f"{gap.where}, {how}, after {', '.join(map(str, places))}"))
        return largest_gap(gaps)

    def _joined(self, states: Sequence[Any]) -> Any:
        if (join := self._method("join_states")) is not None:
            return join(states)
        if not all(isinstance(state, State) for state in states):
            raise _NotAskedError(
                f"a {type(states[0]).__name__} is not joined by itself; a method join_states of the step would do it"
            )
        try:
            return State.concat(states)
        except InputError as error:
            raise _NotAskedError(str(error)) from error

    def _snapshot(self) -> Gap:
        """Keep a state, read something else, and go on from what was kept, with a single token first."""
        middle, row = self.length // 2, self.rows[:1]
        state = self.read(row[:, :middle]).state
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state"
            self._saving(state)(state, path)
            direct = self._going_on(row[:, middle:], state)
            self.read(self.rows[1:2])
            return gap_between(direct, self._going_on(row[:, middle:], self._loading()(path)))

    def _going_on(self, tokens: Tensor, state: Any) -> Mapping[str, Tensor]:
        first = self.read(tokens[:, :1], (), state)
        rest = self.read(tokens[:, 1:], (), first.state)
        return {"the first logits": first.logits, "the logits after it": rest.logits}

    def _saving(self, state: Any) -> Callable[[Any, Path], None]:
        if (save := self._method("save_state")) is not None and self._method("load_state") is not None:
            return save
        if not isinstance(state, State):
            raise _NotAskedError(
                f"a {type(state).__name__} is not saved by itself; methods save_state and load_state of the step would"
            )
        return lambda state, path: cast("State", state).save(path, self._module)

    def _loading(self) -> Callable[[Path], Any]:
        return self._method("load_state") or (lambda path: State.load(path, self._module))

    @property
    def _module(self) -> nn.Module | None:
        return self.step if isinstance(self.step, nn.Module) else None

    def _bfloat16(self) -> Gap:
        """Compare logits after each token, read one by one, with those of one call in float32."""
        make, module = self._method("in_bfloat16"), self._module
        if make is None and module is None:
            raise _NotAskedError("this step is no module; a method in_bfloat16 would give it in that dtype")
        row = self.rows[:1]
        try:
            exact: Any = copy.deepcopy(module).float() if module and not make else self.step
            half: Any = make() if make else copy.deepcopy(cast("nn.Module", module)).bfloat16()
            rounded = row.to(torch.bfloat16) if row.is_floating_point() else row
            found = _Requests(half, rounded).read(rounded, range(1, self.length)).logits
        except Exception as error:
            why = str(error) if isinstance(error, InputError) else reason_of(error)
            raise _NotAskedError(f"it cannot be read in bfloat16: {why}") from error
        expected = _Requests(exact, row.float() if row.is_floating_point() else row)._whole
        if not bool(found.isfinite().all()):
            return Gap(math.inf, "logits that are not finite")
        exact_NC, found_NC = expected.flatten(0, -2), found.float().flatten(0, -2)
        each_N = (found_NC - exact_NC).norm(dim=-1) / exact_NC.norm(dim=-1).clamp(min=1e-30)
        return Gap(float(each_N[len(each_N) // 2 :].median()), "the logits of the second half")


def _last(logits: Tensor, count: int) -> Tensor:
    """Return the logits after the last tokens, where a step gives them after every one."""
    return logits[:, -count:] if logits.ndim == 3 else logits


def _named(logits: Tensor) -> Mapping[str, Tensor]:
    return {"the logits": logits}
