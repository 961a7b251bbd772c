"""What an intervention adds to a training step: ratios within one run, on one thread.

A step is the forward and backward pass of a small language model and its optimiser's step. The cost of an intervention
is timed inside such steps, around `begin` and `observe` alone, because it is far below what a whole step varies by; the
whole steps of all interventions, taken in turns, stand beside it. Run ``python benchmarks/interventions.py``; it writes
results/benchmarks/interventions.json.
"""

from __future__ import annotations

import gc
import statistics
import time

import torch
from record import Options, write_record
from torch.nn import functional as F  # noqa: N812

from lengthwise.interventions import INTERVENTIONS
from lengthwise.models import MIXERS
from lengthwise.models.backbone import BackboneConfig
from lengthwise.tasks.lengths import TrainLengths
from lengthwise.tasks.passkey import Passkey

WIDTH, LAYERS, BATCH, LENGTH, SYMBOLS = 128, 4, 8, 256, 256


class Training:
    """Steps of one model under one intervention, and what they cost.

    Args:
        mixer: the name of a mixer.
        intervention: the name of an intervention.
    """

    def __init__(self, mixer: str, intervention: str) -> None:
        torch.manual_seed(0)
        config = BackboneConfig(width=WIDTH, layers=LAYERS, mixer=MIXERS.load(mixer)())
        self.model = config.build(SYMBOLS, SYMBOLS)
        self.optimiser = torch.optim.AdamW(self.model.parameters())
        self.intervention = INTERVENTIONS.load(intervention)().build()
        self.intervention.prepare(Passkey(train=TrainLengths(minimum=LENGTH, maximum=LENGTH)))
        self.rng = torch.Generator().manual_seed(0)
        self.steps: list[float] = []
        self.costs: list[float] = []

    def step(self) -> None:
        """Take one step; note the processor time of it all and of the intervention."""
        tokens = torch.randint(SYMBOLS, (BATCH, LENGTH + 1), generator=self.rng)
        began = time.process_time()
        state = self.intervention.begin(self.model, BATCH, self.rng)
        begun = time.process_time()
        logits, state = self.model(tokens[:, :-1], state)
        read = time.process_time()
        self.intervention.observe(state)
        observed = time.process_time()
        self.optimiser.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
        self.optimiser.step()
        self.steps.append(time.process_time() - began)
        self.costs.append(begun - began + observed - read)


def measure(mixer: str, rounds: int) -> dict[str, dict[str, float]]:
    """Let all interventions take turns; return the median seconds of each, without the first round."""
    trainings = {name: Training(mixer, name) for name in INTERVENTIONS}
    gc.collect()
    for _ in range(rounds + 1):
        for training in trainings.values():
            training.step()
    return {
        name: {"step": statistics.median(t.steps[1:]), "intervention": statistics.median(t.costs[1:])}
        for name, t in trainings.items()
    }


def main() -> None:
    """Measure every intervention on the chosen mixers, print the table, write the record."""
    parser = Options(__file__, __doc__, rounds=1, mixers=["gru"])
    parser.add_argument("--rounds", type=int, default=15, help="steps of each intervention")
    parser.add_argument("--mixers", nargs="+", default=list(MIXERS), help="names of mixers")
    arguments = parser.read()
    torch.set_num_threads(1)
    ratios, details = dict[str, float](), dict[str, dict[str, dict[str, float]]]()
    print(f"{'mixer':<16}{'intervention':<16}{'of a step':>10}{'whole step over the control':>30}")
    for mixer in arguments.mixers:
        details[mixer] = measure(mixer, arguments.rounds)
        control = details[mixer]["zero"]
        for name, seconds in details[mixer].items():
            added = (seconds["intervention"] - control["intervention"]) / control["step"]
            ratios[f"{mixer}, {name}: added to a step"] = round(added, 5)
            ratios[f"{mixer}, {name}: whole step over the control"] = round(seconds["step"] / control["step"], 4)
            print(f"{mixer:<16}{name:<16}{added:>10.2%}{seconds['step'] / control['step']:>30.3f}")
    write_record(arguments.out, ratios=ratios, seconds=details)


if __name__ == "__main__":
    main()
