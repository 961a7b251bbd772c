"""Early stopping by the training loss, as part of what a checkpoint holds."""

from __future__ import annotations

from typing import Any

from lengthwise.training.config import StopConfig

HORIZON = 50
"""Steps that the running mean remembers: each step takes it a fiftieth of the way to the new loss."""


class EarlyStop:
    """Watches the loss of every step.

    Args:
        config: how low it must be, and for how long.
    """

    def __init__(self, config: StopConfig) -> None:
        self.config = config
        self.mean = 0.0
        """The running mean of the loss; of all losses as long as there are few."""
        self.seen = 0
        self.below = 0
        """Steps in a row whose running mean was low enough."""

    def observe(self, loss: float) -> float:
        """See the loss of a step and return the running mean."""
        self.seen += 1
        self.mean += (loss - self.mean) / min(self.seen, HORIZON)
        self.below = self.below + 1 if self.mean < self.config.loss_below else 0
        return self.mean

    @property
    def reached(self) -> bool:
        """Whether training is to end."""
        return self.below >= self.config.steps

    @property
    def reason(self) -> str:
        """Why training ended, once it has."""
        return f"stopped: loss below {self.config.loss_below:g} for {self.config.steps} steps"

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs, as values that JSON can hold."""
        return {"mean": self.mean, "seen": self.seen, "below": self.below}

    def restore(self, values: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        self.mean, self.seen, self.below = values["mean"], values["seen"], values["below"]
