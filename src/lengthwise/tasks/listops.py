"""ListOps: nested operations on lists of digits, whose value is asked at the end.

Shape letters: B rows, T positions, L + 1 sizes.
"""

from __future__ import annotations

import hashlib
import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from math import prod
from pathlib import Path
from statistics import median
from typing import Annotated, ClassVar, Literal, get_args

import numpy as np
from pydantic import Field

from lengthwise.errors import InputError
from lengthwise.spaces import Tokens
from lengthwise.tasks.base import IGNORE, Batch, Bools, Ints, Point, Stage, Task
from lengthwise.tasks.expressions import Expression, read_expressions
from lengthwise.tasks.lengths import LONGEST, Length, TrainLengths
from lengthwise.tasks.nesting import Nesting, Value

TOKENS = (*"0123456789", "[MAX", "[MIN", "[MED", "[SM", "]", "[FIRST", "[LAST", "[PM")
"""In the order of their numbers: the standard ones, and operations that only some of the published files have."""
CLOSE = 14
"""The closing bracket."""

TRIES = 10_000
"""Expressions that are drawn, at most, for one that goes beyond training as its point says."""

Operation = Literal["max", "min", "median", "sum", "first", "last", "product"]
STANDARD: tuple[Operation, ...] = ("max", "min", "median", "sum")
"""The operations of Nangia and Bowman 2018."""
SYMBOLS: dict[Operation, int] = dict(zip(get_args(Operation), (10, 11, 12, 13, 15, 16, 17), strict=True))
"""Operation -> its token."""
OPERATORS: dict[int, Callable[[Sequence[int]], int]] = {
    10: max,
    11: min,
    12: lambda values: int(median(values)),
    13: lambda values: sum(values) % 10,
    15: lambda values: values[0],
    16: lambda values: values[-1],
    17: lambda values: prod(values) % 10,
}
"""Token -> operation; a median is rounded down, sums and products are modulo 10."""
_MEDIAN = SYMBOLS["median"]
_NEUTRAL = {SYMBOLS["sum"]: 0, SYMBOLS["product"]: 1}
"""What changes no result; of the other operations the result itself."""
BOUNDS = (1, 40, 100, 300, 1_000, 10_000)
"""Tokens up to which the expressions of a file are measured together."""


class ListOps(Task):
    """An expression of exactly so many tokens is read, and the digit that it comes to is asked at its end.

    Every operation has 2 arguments or more, up to ``arguments`` of the point, and operations are nested at most
    ``depth`` deep. Two examples: ``[MAX 2 9 [MIN 4 7 ] 0 ]`` is 9, and ``[SM 8 [MED 1 5 6 ] ]`` is 3.

    Beyond training every expression reaches what its point says: with 5 arguments in training and 10 and 15 measured,
    those at 15 have an operation of 11 to 15 arguments each, and those at 10 one of 6 to 10. Depths are read alike.

    Source: Nangia and Bowman 2018. Expressions of exact lengths are our choice: the number of arguments is drawn evenly
    from those that can be, then the size of each argument.
    """

    name: Literal["listops"] = "listops"
    version: ClassVar[int] = 2
    diagnostics: ClassVar[tuple[str, ...]] = ("by_point", "floors")

    train: TrainLengths = TrainLengths(minimum=4, maximum=40)
    """Tokens of the expressions that are trained on; lengths at which there are none are left out."""
    arguments: int = Field(default=5, ge=2)
    """The most arguments of an operation in training."""
    depth: int = Field(default=4, ge=1)
    """How deep operations are nested at most in training."""
    operations: Annotated[tuple[Operation, ...], Field(min_length=1)] = Field(
        default=STANDARD, exclude_if=lambda names: names == STANDARD
    )
    """Those that there are."""
    published: str = Field(default="", exclude_if=lambda path: not path)
    """A file of expressions with their values, or a folder of such, that are measured too; see `read_expressions`."""
    lengths: tuple[Length, ...] = (10, 20, 40, 100, 250, 900)
    """Tokens that are measured: each as in training, with more arguments, and deeper, where there are any."""
    test_arguments: tuple[Annotated[int, Field(ge=2)], ...] = (10, 15)
    """The most arguments that are measured beside those of training."""
    test_depths: tuple[Annotated[int, Field(ge=1)], ...] = (8, 20)
    """The depths that are measured beside that of training."""
    samples: int = Field(default=256, ge=1)
    """Expressions a point."""

    @property
    def inputs(self) -> Tokens:
        """The symbols of `TOKENS`, up to the last one that there is."""
        return Tokens(1 + max(CLOSE, *self._opening))

    @property
    def outputs(self) -> Tokens:
        """The digits."""
        return Tokens(10)

    @cached_property
    def _opening(self) -> list[int]:
        """The tokens of the operations, in their order."""
        return [SYMBOLS[name] for name in self.operations]

    @cached_property
    def _files(self) -> dict[tuple[str, int], list[Expression]]:
        """Expressions of files, by the file and the bound of their tokens."""
        if not self.published:
            return {}
        symbols = {TOKENS[token]: token for token in (*range(10), CLOSE, *self._opening)}
        groups = dict[tuple[str, int], list[Expression]]()
        for name, expressions in read_expressions(Path(self.published).expanduser(), symbols, value_of).items():
            for one in sorted(expressions, key=lambda one: len(one.tokens)):
                bound = next((most for most in BOUNDS if len(one.tokens) <= most), LONGEST)
                groups.setdefault((name, bound), []).append(one)
        return groups

    @property
    def data(self) -> str:
        """The files and the hash of what they hold."""
        return f"{Path(self.published).name} {self.identity()}".strip()

    def identity(self) -> str:
        """Return a hash of all expressions in files, empty without any."""
        return hashlib.sha256(repr(self._files).encode()).hexdigest()[:16] if self._files else ""

    def paths(self) -> tuple[str, ...]:
        """Return where the files lie."""
        return ("published",)

    def points(self, stage: Stage) -> Sequence[Point]:
        """Return a point for each length, number of arguments and depth that there are expressions of."""
        lengths = self.train.lengths if stage == "train" else sorted(set(self.lengths))
        shapes = [(self.arguments, self.depth)]
        if stage == "test":
            shapes += [(most, self.depth) for most in sorted(set(self.test_arguments) - {self.arguments})]
            shapes += [(self.arguments, depth) for depth in sorted(set(self.test_depths) - {self.depth})]
        found = [
            Point({"length": n, "arguments": most, "depth": depth}, self.samples)
            for n, (most, depth) in itertools.product(lengths, shapes)
            # Shorter expressions that are so deep are drawn once in thousands.
            if self._exist(n, most, depth) and n >= 5 * (depth if depth > self.depth else 0) / 2
        ]
        if not found:
            raise InputError(f"no expression has {', '.join(map(str, lengths))} tokens with these arguments and depths")
        if stage == "test":
            found += [Point({"file": name, "up to": most}, len(kept)) for (name, most), kept in self._files.items()]
        return found

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        """Draw expressions, every operation and digit alike; those of a file each as often as the others."""
        if "file" in point.axes:
            kept = self._kept(point)
            return Batch.joined([_batch([kept[row]]) for row in rng.integers(len(kept), size=rows)])
        length, most, depth = (int(point.axes.get(name, 0)) for name in ("length", "arguments", "depth"))
        if not self._exist(length, most, depth):
            raise InputError(f"there is no expression at {dict(point.axes)}")
        tokens_BT, values_B = np.empty((rows, length), dtype=np.int64), np.empty(rows, dtype=np.int64)
        sizes, chance, least = _sizes(length, most, depth), _chance(rng), self._beyond(most, depth)
        for row in range(rows):
            for _ in range(TRIES):
                tokens = list[int]()
                values_B[row] = _grow(chance, sizes, length, depth, tokens, self._opening)
                if not any(least) or all(itertools.starmap(operator.gt, zip(_shape(tokens), least, strict=True))):
                    break
            else:
                raise InputError(f"hardly any expression at {dict(point.axes)} goes beyond training as it says")
            tokens_BT[row] = tokens
        return Batch.classified(tokens_BT, values_B)

    def batches(self, rng: np.random.Generator, point: Point, rows: int) -> Iterator[Batch]:
        """Yield drawn expressions, or those of a file once each, of one length a batch."""
        if "file" not in point.axes:
            yield from super().batches(rng, point, rows)
            return
        for _, group in itertools.groupby(self._kept(point), lambda one: len(one.tokens)):
            equal = list(group)
            yield from (_batch(equal[start : start + rows]) for start in range(0, len(equal), rows))

    def _kept(self, point: Point) -> list[Expression]:
        """Return the expressions of a point of a file, the shortest first."""
        try:
            return self._files[str(point.axes["file"]), int(point.axes.get("up to", 0))]
        except KeyError:
            raise InputError(f"there is no expression at {dict(point.axes)}") from None

    def nesting(self, arguments: int | None = None) -> Nesting:
        """Return the task as what a pair makes of its items.

        Args:
            arguments: the most arguments of a median, of which all have to be known; as in training by default.
        """
        most = arguments or self.arguments
        known = {*self._opening}

        def leaf(symbol: int) -> Value | None:
            kind = "digit" if symbol < 10 else "close" if symbol == CLOSE else "open" if symbol in known else None
            return kind and (kind, symbol)

        def join(left: Value, right: Value) -> Value | None:
            kind, symbol, *digits = left
            if kind != "open":
                return None
            operation = OPERATORS[symbol]
            if right[0] == "close":
                return ("done", operation(digits)) if len(digits) > 1 else None
            if right[0] == "open":
                return None
            digits = [*digits, right[1]]
            if symbol == _MEDIAN:
                return (kind, symbol, *sorted(digits)) if len(digits) <= most else None
            # Two digits stand for more: the result, and one that changes nothing.
            result = operation(digits)
            return (kind, symbol, result, *([_NEUTRAL.get(symbol, result)] if len(digits) > 1 else []))

        return Nesting(
            opening=tuple(sorted(known)),
            closing=(CLOSE,),
            symbols=self.inputs.size,
            leaf=leaf,
            join=join,
            answer=lambda value: value[1] if value[0] == "done" else IGNORE,
            matched=True,
            within=f"at most {most} arguments of a median" if _MEDIAN in known else "",
        )

    def shortcuts(self) -> dict[str, Callable[[Ints], Ints]]:
        """Return the guess of who applies the first operation to the digits at the top and skips what is nested."""
        return {"top_digits": lambda tokens_BT: np.array([_value_at_top(row) for row in tokens_BT.tolist()])}

    def _beyond(self, most: int, depth: int) -> tuple[int, int]:
        """Return the numbers of arguments and of levels that every expression of a point has more than."""
        reached = ((most, (self.arguments, *self.test_arguments)), (depth, (self.depth, *self.test_depths)))
        wider, deeper = (max((one for one in known if one < value), default=0) for value, known in reached)
        return (wider if most > self.arguments else 0, deeper if depth > self.depth else 0)

    def _exist(self, length: int, most: int, depth: int) -> bool:
        """Return whether there are such expressions, those that go beyond training as a point says."""
        if length < 2 or most < 2 or depth < 1:
            return False
        wider, deeper = self._beyond(most, depth)
        # What is nested can change places, so that the widest operation is the outermost: the size stays.
        inside = _sizes(length, most, depth)[depth - 1]
        widest = any(inside[count][length - 2] for count in range(max(wider + 1, 2), most + 1))
        # An operation more than may be passed over are inside each other, all but the widest with two arguments.
        return widest and length >= max(wider + 3, 4) + 3 * deeper


@cache
def _sizes(length: int, most: int, depth: int) -> list[list[Bools]]:
    """Return for each depth and number of arguments which sizes [L + 1] they can have together, up to a length."""
    digit, room = np.arange(length + 1) == 1, 1 << (2 * length + 1).bit_length()
    tables = list[list[Bools]]()
    for _ in range(depth + 1):
        one = digit.copy()
        for sums in tables[-1:]:
            one[2:] |= np.any([sums[count][: max(length - 1, 0)] for count in range(2, most + 1)], axis=0)
        sums = [np.arange(length + 1) == 0]
        for _ in range(most):
            # Sums are counts of ways, so that half of one is far from rounding.
            ways = np.fft.irfft(np.fft.rfft(sums[-1], room) * np.fft.rfft(one, room), room)
            sums.append(ways[: length + 1] > 0.5)
        tables.append(sums)
    return tables


def _grow(
    chance: Iterator[float],
    sizes: list[list[Bools]],
    size: int,
    depth: int,
    tokens: list[int],
    operations: Sequence[int],
) -> int:
    """Append an expression of a size, of some of the operators, and return its value."""
    if size == 1:
        tokens.append(int(next(chance) * 10))
        return tokens[-1]
    below, left, parts = sizes[depth - 1], size - 2, list[int]()
    counts = [count for count in range(2, len(below)) if below[count][left]]
    for others in reversed(range(_pick(chance, counts))):
        # What this argument can take of the tokens that are left, so that the others can have the rest.
        possible: Ints = np.flatnonzero(below[1][: left + 1] & below[others][left::-1])
        parts.append(int(_pick(chance, possible)))
        left -= parts[-1]
    chosen = _pick(chance, operations)
    tokens.append(chosen)
    # The first sizes that were drawn are the largest on average.
    order = np.argsort([next(chance) for _ in parts])
    value = OPERATORS[chosen]([_grow(chance, sizes, parts[place], depth - 1, tokens, operations) for place in order])
    tokens.append(CLOSE)
    return value


def value_of(tokens: Sequence[int]) -> int | None:
    """Return what an expression comes to, None where these tokens are not one."""
    stack: list[list[int]] = [[]]
    for token in tokens:
        if token < 10:
            stack[-1].append(token)
        elif token != CLOSE:
            stack.append([token])
        elif len(stack) > 1 and len(stack[-1]) > 2:
            operation, *values = stack.pop()
            stack[-1].append(OPERATORS[operation](values))
        else:
            return None
    return stack[0][0] if len(stack) == len(stack[0]) == 1 else None


def _batch(expressions: Sequence[Expression]) -> Batch:
    """Return expressions of one length."""
    tokens_BT = np.array([one.tokens for one in expressions], dtype=np.int64)
    return Batch.classified(tokens_BT, np.array([one.value for one in expressions], dtype=np.int64))


def _value_at_top(tokens: list[int]) -> int:
    """Return what an expression comes to without all that is nested in it; 0 where nothing is left."""
    depth, digits = 0, list[int]()
    for token in tokens:
        depth += -1 if token == CLOSE else token >= 10
        if token < 10 and depth == 1:
            digits.append(token)
    return OPERATORS[tokens[0]](digits) if digits and tokens[0] >= 10 else 0


def _shape(tokens: list[int]) -> tuple[int, int]:
    """Return the most arguments of an operation of an expression, and how deep operations are nested."""
    counts, widest, deepest = [0], 0, 0
    for token in tokens:
        if token < 10:
            counts[-1] += 1
        elif token != CLOSE:
            counts.append(0)
            deepest = max(deepest, len(counts) - 1)
        else:
            widest = max(widest, counts.pop())
            counts[-1] += 1
    return widest, deepest


def _pick(chance: Iterator[float], choices: Sequence[int] | Ints) -> int:
    return choices[int(next(chance) * len(choices))]


def _chance(rng: np.random.Generator) -> Iterator[float]:
    """Yield numbers in [0, 1), drawn many at a time."""
    while True:
        yield from rng.random(256).tolist()
