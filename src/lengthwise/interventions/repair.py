"""Repair: the settings of post-training that were seen to mend language models, by family, for every front door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lengthwise.interventions import INTERVENTIONS
from lengthwise.interventions.base import InterventionConfig

WARM_UP = 0.1
"""The fraction of post-training over which the learning rate rises; a cosine takes it to zero."""
LEARNING_RATE = 3e-3
"""The peak where that of the training before is not known."""


@dataclass(frozen=True)
class Repair:
    """What post-training changes where nothing else is said.

    An intervention's own defaults are what recipes that leave them out mean, so they stay; these are what repairs.
    """

    settings: Mapping[str, Mapping[str, float]]
    """Name of an intervention -> its settings, where they are not its defaults."""
    batch_size: int = 128
    """Sequences a step, at least."""
    rate: float = 1.0
    """The peak learning rate, times that of the training before."""

    def settings_of(self, name: str) -> dict[str, Any]:
        """Return the settings of an intervention, its name among them."""
        return {"name": name, **self.settings.get(name, {})}

    def intervention(self, name: str = "state_passing") -> InterventionConfig:
        """Return an intervention with the settings that repair, for a training loop of one's own.

        Example:
            >>> repair_of("mamba2").intervention("tbptt").build().always_initial(100)
            92
        """
        config: InterventionConfig = INTERVENTIONS.load(name)(**self.settings_of(name))
        return config


def _passing(share: float, **tbptt: float) -> dict[str, dict[str, float]]:
    return {"state_passing": {"zero_probability": 0.0, "zero_share": share}, "tbptt": tbptt}


_FAMILIES = {
    "mamba2": Repair(_passing(0.7, zero_share=0.92), rate=2.0),
    "gla": Repair(_passing(0.8, zero_share=0.85), batch_size=192, rate=2.0),
    "rwkv6": Repair(_passing(0.8, zero_share=0.8, zero_probability=0.02), batch_size=192),
}
"""Measured with three seeds each: they are the settings of the recipes in ``recipes/text``."""


def repair_of(family: str) -> Repair:
    """Return the settings that repair a family; one that was not measured has those of Mamba-2 at the rate it had.

    Args:
        family: the name of a mixer, such as ``gla``, or a ``model_type`` of transformers, such as ``mamba2``.
    """
    return _FAMILIES.get(family) or Repair(_passing(0.7, zero_share=0.92))
