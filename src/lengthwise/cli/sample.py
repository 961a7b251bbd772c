"""``lengthwise sample``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from lengthwise.cli.arguments import TASK


def sample(
    task: Annotated[str, TASK],
    length: Annotated[int, typer.Option(min=1, help="Symbols a string.")] = 20,
    count: Annotated[int, typer.Option(min=1, help="How many strings.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same strings.")] = 0,
) -> None:
    """Print strings of a task, one a line: symbols as integers separated by spaces, a tab, the class."""
    import numpy as np

    from lengthwise.cli.label import say_symbols
    from lengthwise.tasks import get_language

    chosen = get_language(task)
    say_symbols(chosen)
    nearest = chosen.nearest_length(length)
    if nearest != length:
        sys.stderr.write(f"{task} has no strings of length {length}; these have length {nearest}\n")
    if said := chosen.nothing_accepted(nearest):
        sys.stderr.write(f"{said}\n")
    batch = chosen.sample(np.random.default_rng(seed), count, nearest)
    for tokens, target in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        sys.stdout.write(f"{' '.join(map(str, tokens))}\t{target}\n")
