"""Several processes, on one machine or many, through Lightning Fabric; torchrun starts them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn

from lengthwise.errors import InputError
from lengthwise.extras import import_extra
from lengthwise.training.processes import Processes, owned

_PATIENCE = timedelta(hours=6)
"""How long processes wait for the first one, which diagnoses the model while they do."""


class FabricProcesses(Processes):
    """The processes that torchrun started, one a device: NCCL between GPUs, Gloo between CPUs.

    Gradients are averaged in one piece for each dtype after the last part of a batch, and not by a wrapper around the
    model: the model is called with states, and more than once a step.

    Args:
        device: cpu, cuda, mps or auto.

    Raises:
        InputError: lightning-fabric is not installed, or the device is not there.
    """

    def __init__(self, device: str) -> None:
        import_extra("lightning_fabric", "training with several processes")
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy

        try:
            self._fabric: Any = Fabric(
                accelerator=device,
                devices=int(os.environ["LOCAL_WORLD_SIZE"]),
                num_nodes=int(os.environ.get("GROUP_WORLD_SIZE", "1")),
                strategy=DDPStrategy(timeout=_PATIENCE),
            )
        # Fabric's exceptions for what a machine lacks have no common class of their own.
        except (RuntimeError, ValueError, TypeError) as error:
            raise InputError(f"no processes on device {device!r}: {error}") from error
        self._fabric.launch()
        self.rank: int = self._fabric.global_rank
        self.count: int = self._fabric.world_size
        self.device: torch.device | None = self._fabric.device

    def close(self) -> None:
        """Leave the process group, whose threads would otherwise still run when the interpreter ends."""
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes."""
        return self._fabric.all_reduce(value.clone(), reduce_op="mean")

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over all processes."""
        # A parameter that no row of one process used still has its place in the mean.
        held = [p for p in parameters if p.requires_grad]
        for dtype in dict.fromkeys(p.dtype for p in held):
            alike = [p for p in held if p.dtype == dtype]
            flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in alike])
            pieces = self.mean(flat).split([p.numel() for p in alike])
            for parameter, piece in zip(alike, pieces, strict=True):
                parameter.grad = piece.view_as(parameter)

    def gather(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what each process holds under these names."""
        gathered: dict[str, Tensor] = {name: self._fabric.all_gather(value) for name, value in tensors.items()}
        return {owned(rank, name): parts[rank] for rank in range(self.count) for name, parts in gathered.items()}

    def wait(self) -> None:
        """Wait until every process has come here."""
        self._fabric.barrier()

    def agree(self, wish: bool) -> bool:
        """Return whether any process wishes it."""
        return float(self.mean(torch.tensor(float(wish), device=self.device))) > 0
