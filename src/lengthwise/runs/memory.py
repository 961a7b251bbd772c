"""Memory: the least that a recipe needs, against what there is, compared before anything is allocated."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from lengthwise.errors import InputError
from lengthwise.models.budget import count_parameters
from lengthwise.runs.recipe import Recipe
from lengthwise.spaces import Values
from lengthwise.tasks.capabilities import FairPrefixes

_FLOAT, _INTEGER = 4, 8
_COPIES = 4
"""Numbers that training keeps of each parameter at least: itself, its gradient and two moments."""
_GIGABYTE = 1e9


def refuse_beyond_memory(recipe: Recipe, device: torch.device, processes: int = 1) -> None:
    """Refuse a recipe that needs more memory than there is, whatever else goes on.

    What is compared is a lower bound: parameters with gradients and moments, one batch and its first activations, and
    the sequences that are measured in one set.

    Args:
        recipe: what is trained or measured.
        device: where.
        processes: how many train together, each of which draws the rows of all.

    Raises:
        InputError: it can never fit; the message has the numbers.
    """
    there = _memory(device)
    for what, need, way in _needs(recipe, processes):
        if need > there:
            numbers = f"{need / _GIGABYTE:,.1f} GB at least, but there are {there / _GIGABYTE:,.1f} GB here"
            raise InputError(f"{what} take {numbers}; {way}")


def _needs(recipe: Recipe, processes: int) -> Iterator[tuple[str, float, str]]:
    """Yield what takes memory, how many bytes it takes at least, and what would take less."""
    task, training, width = recipe.task, recipe.training, getattr(recipe.model, "width", None)
    if width is not None:
        count = _count(recipe)
        copies = _COPIES if training.steps else 1
        yield f"{count:,} parameters (model.width is {width:,})", copies * _FLOAT * count, "make model.width smaller"
    longest = task.training_length or 1
    if training.steps:
        size = task.inputs.size * _FLOAT if isinstance(task.inputs, Values) else _INTEGER
        rows = training.batch_size * processes
        what = f"{rows:,} rows of {longest:,} positions"
        yield what, rows * longest * (size + _INTEGER), "make training.batch_size smaller"
        held = training.batch_size / training.accumulation * min(longest, training.recompute or longest)
        way = "make training.batch_size smaller, or training.accumulation larger"
        yield f"{what} at a width of {width or 1:,}", held * (width or 1) * _FLOAT, way
    for point in task.points("test"):
        if isinstance(task, FairPrefixes) and task.shares_prefixes(point):
            what = f"{point.samples:,} samples of {point.length or 1:,} positions"
            yield what, 3 * _INTEGER * point.samples * (point.length or 1), "measure fewer samples, or shorter ones"


def _count(recipe: Recipe) -> int:
    """Return how many parameters there are, without making them."""
    try:
        with torch.device("meta"):
            return count_parameters(recipe.model.build(recipe.task.inputs, recipe.task.outputs))
    except (RuntimeError, OverflowError) as error:
        raise InputError(f"the model cannot be built at this size: {str(error).partition(chr(10))[0]}") from error


def _memory(device: torch.device) -> float:
    """Return the bytes that a device has, or that this process may use of the machine's."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    limits = [float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))] if hasattr(os, "sysconf") else []
    for file in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        if file.is_file() and (text := file.read_text(encoding="ascii").strip()).isdigit():
            limits.append(float(text))
    with contextlib.suppress(ImportError):
        import resource

        own = resource.getrlimit(resource.RLIMIT_AS)[0]
        limits += [] if own == resource.RLIM_INFINITY else [float(own)]
    return min(limits, default=math.inf)
