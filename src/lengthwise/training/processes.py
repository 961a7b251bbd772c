"""The processes that train one model together: what a trainer asks of them, and the case of one alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Self

import torch
from torch import Tensor, nn

_OWNER = "process"


class Processes:
    """All processes of a run; this class is the case of one. `training.fabric.FabricProcesses` has several.

    Every process holds the whole model and reads its own rows of each batch; gradients are averaged. What connects them
    lasts as long as a ``with`` statement.
    """

    rank = 0
    """Which of the processes this is."""
    count = 1
    """How many there are."""
    device: torch.device | None = None
    """Where this process computes; None leaves it to the recipe."""

    def __enter__(self) -> Self:
        """Return these processes, connected."""
        return self

    def __exit__(self, *error: object) -> None:
        """Disconnect."""
        self.close()

    def close(self) -> None:
        """Let go of what connects the processes."""

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes."""
        return value

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over all processes."""

    def gather(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what each process holds under these names, for a checkpoint that serves all of them."""
        return dict(tensors)

    def own(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return this process's part of what `gather` returned."""
        prefix = f"{_OWNER}{self.rank}."
        if not any(name.startswith(f"{_OWNER}0.") for name in tensors):
            return dict(tensors)
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    def wait(self) -> None:
        """Wait until every process has come here."""

    def agree(self, wish: bool) -> bool:
        """Return whether any process wishes it; all get the same answer."""
        return wish


def owned(rank: int, name: str) -> str:
    """Return the name under which a checkpoint holds what one of several processes calls by a name."""
    return f"{_OWNER}{rank}.{name}"


ALONE = Processes()
"""The only process."""


def processes_here(device: str = "auto") -> Processes:
    """Return the processes that torchrun started, this one among them, or this one alone, for a ``with`` statement.

    Args:
        device: cpu, cuda, mps or auto, as in recipes.

    Raises:
        InputError: there are several, and lightning-fabric is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    from lengthwise.training.fabric import FabricProcesses

    return FabricProcesses(device)
