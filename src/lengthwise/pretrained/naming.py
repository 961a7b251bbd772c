"""Names: which stored tensors make up which parameter of a model, and the other way about.

A table has a line for each parameter, ``own name: stored name``. ``#`` is the number of the layer; ``a + b`` are stored
tensors that follow one another along the first dimension of the parameter; ``a | b`` are what versions of a format
call it, of which the first that is there is taken. A leading ``T`` means that the parameter is transposed. Shapes may
differ otherwise, as [1, 1, D] and [D] do: the order of the numbers is the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lengthwise.errors import InputError


class Rule(NamedTuple):
    """How one parameter is stored."""

    own: str
    parts: list[str]
    transposed: bool

    def join(self, stored: Mapping[str, Tensor], shape: Sequence[int]) -> Tensor:
        """Return the parameter from what is stored.

        Raises:
            InputError: it is not as large as the parameter.
        """
        parts = [stored[part] for part in self.parts]
        if sum(part.numel() for part in parts) != math.prod(shape):
            held = " + ".join(f"{name} {list(part.shape)}" for name, part in zip(self.parts, parts, strict=True))
            raise InputError(f"{held} should be {list(shape)} by the other sizes of the checkpoint")
        if self.transposed:
            return torch.cat([part.flatten(1) for part in parts]).T.reshape(tuple(shape))
        return torch.cat([part.flatten() for part in parts]).reshape(tuple(shape))

    def split(self, parameter: Tensor, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
        """Return what is stored of a parameter, in the shapes that it is stored in."""
        rows = sum(shapes[part][0] for part in self.parts) if self.transposed else 0
        whole = parameter.reshape(-1, rows).T if self.transposed else parameter
        sizes = [math.prod(shapes[part]) for part in self.parts]
        parts = whole.reshape(-1).split(sizes)
        return {name: part.reshape(tuple(shapes[name])) for name, part in zip(self.parts, parts, strict=True)}


def rules_of(own: Iterable[str], table: Mapping[str, str], stored: Iterable[str]) -> list[Rule]:
    """Return a rule for each parameter; one that the table does not have is stored under its own name.

    Args:
        own: the names of the parameters.
        table: see above.
        stored: the names of what is stored.

    Raises:
        InputError: something is not stored.
    """
    there, rules, missing = set(stored), list[Rule](), list[str]()
    for name in own:
        number = re.search(r"(?<=\.)\d+(?=\.)", name)
        pattern = name if number is None else f"{name[: number.start()]}#{name[number.end() :]}"
        line = table.get(pattern, pattern)
        transposed, line = line.startswith("T "), line.removeprefix("T ")
        layer = "" if number is None else number[0]
        versions = [[part.strip() for part in one.replace("#", layer).split("+")] for one in line.split("|")]
        parts = next((parts for parts in versions if there.issuperset(parts)), None)
        if parts is None:
            missing += sorted(set(versions[0]) - there)
        else:
            rules.append(Rule(name, parts, transposed))
    if missing:
        raise InputError(f"it lacks {', '.join(missing[:3])}{' and more' if len(missing) > 3 else ''}")
    return rules
