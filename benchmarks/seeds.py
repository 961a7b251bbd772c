"""Several seeds of one small model trained together or one by one: ratios within one run, on one thread.

Together, the parameters of all seeds are stacked, `torch.func.vmap` maps the gradient of the loss over them, and all
seeds read the same strings under the same brackets, so that only their initialisation differs. One by one, each seed
draws strings of its own, as `Trainer` does. Between them lies a plain loop over the seeds that shares the strings: what
it gains is owed to the strings, the rest to the stacking. Run ``python benchmarks/seeds.py``; it writes
results/benchmarks/seeds.json.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from record import Options, write_record
from torch import Tensor, nn
from torch._C._functorch import get_unwrapped, is_functorch_wrapped_tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch.func import functional_call, grad, vmap

from lengthwise.models.tree.ldru import LDRU, LDRUConfig
from lengthwise.models.tree.level import Nodes
from lengthwise.models.tree.stochastic import StochasticOperatorConfig
from lengthwise.tasks.base import Batch, Ints, Point
from lengthwise.tasks.regular.task import Regular
from lengthwise.training.config import OptimiserConfig, TrainingConfig
from lengthwise.training.objectives import nodes
from lengthwise.training.objectives.tree import TreeConfig
from lengthwise.training.optimisation import build_optimisers, prepare_gradients

SEEDS = 3
LENGTHS = (8, 16, 24, 32, 40)
PROGRESS = 0.5
"""Halfway, a stochastic operator is neither soft nor rounded, and all terms of its loss are there."""

TASK = Regular(language="parity", mixture={"standard": 0.5, "near_miss": 0.25, "hard": 0.25})
UNITS = {
    "stochastic, width 1024": LDRUConfig(width=1024, operator=StochasticOperatorConfig(), level="plain"),
    "stochastic, width 256": LDRUConfig(width=256, operator=StochasticOperatorConfig(), level="plain"),
    "MLP, width 64": LDRUConfig(width=64),
}
OBJECTIVES = {"stochastic": TreeConfig(bracketing="shifted"), "mlp": TreeConfig(bracketing="random")}
"""As the recipes have them."""
OPTIMISER = OptimiserConfig(centralise=False)
TRAINING = TrainingConfig(batch_size=128, optimiser=OPTIMISER)


def look_up(level: Nodes, spans_BTT: Ints) -> Ints:
    """Look the labels of nodes up outside of `vmap`, which wraps even tensors that no parameter reaches."""
    index_BM = level.shared.index_BM
    while is_functorch_wrapped_tensor(index_BM):
        index_BM = get_unwrapped(index_BM)
    with temporarily_clear_interpreter_stack():
        return LOOK_UP(replace(level, shared=replace(level.shared, index_BM=index_BM)), spans_BTT)


LOOK_UP, nodes.look_up = nodes.look_up, look_up


class Objective(nn.Module):
    """The loss of a batch as a module, so that its parameters can be replaced by others."""

    def __init__(self, model: LDRU) -> None:
        super().__init__()
        self.model = model
        self.objective = OBJECTIVES[model.config.operator.name].build(model, TASK, TRAINING)

    def forward(self, batch: Batch, seed: int) -> Tensor:
        """Return the loss; the seed is that of the brackets."""
        generator = torch.Generator().manual_seed(seed)
        return self.objective.loss(batch, None, PROGRESS, generator).total


def build(config: LDRUConfig, seed: int) -> Objective:
    """Return a unit in training, halfway."""
    torch.manual_seed(seed)
    model = config.build(TASK.inputs, TASK.outputs).train()
    model.anneal(PROGRESS)
    return Objective(model)


def strings(rng: np.random.Generator, length: int) -> Batch:
    """Draw a training batch."""
    return TASK.sample(rng, TRAINING.batch_size, Point({"length": length}))


class OneByOne:
    """Each seed by itself, on strings of its own or on the same."""

    def __init__(self, config: LDRUConfig, seeds: int, shared: bool) -> None:
        self.rng = np.random.default_rng(0)
        self.objectives = [build(config, seed) for seed in range(seeds)]
        self.optimisers = [build_optimisers(objective, OPTIMISER)[0] for objective in self.objectives]
        self.shared = shared

    def step(self, length: int) -> None:
        """Take one step of every seed."""
        batch = strings(self.rng, length) if self.shared else None
        for objective, optimiser in zip(self.objectives, self.optimisers, strict=True):
            optimiser.zero_grad(set_to_none=True)
            objective(batch or strings(self.rng, length), length).backward()
            prepare_gradients(objective.parameters(), OPTIMISER)
            optimiser.step()


class Together:
    """All seeds at once, their parameters stacked."""

    def __init__(self, config: LDRUConfig, seeds: int) -> None:
        self.rng = np.random.default_rng(0)
        objectives = [build(config, seed) for seed in range(seeds)]
        self.objective = objectives[0]
        names = [name for name, _ in self.objective.named_parameters()]
        rows = zip(*(objective.parameters() for objective in objectives), strict=True)
        self.stacked = {name: nn.Parameter(torch.stack(row).detach()) for name, row in zip(names, rows, strict=True)}
        (self.optimiser,) = build_optimisers(nn.ParameterList(self.stacked.values()), OPTIMISER)

    def gradients(self, batch: Batch, seed: int) -> dict[str, Tensor]:
        """Return the gradients of every seed, stacked."""

        def loss(parameters: dict[str, Tensor]) -> Tensor:
            return functional_call(self.objective, parameters, (batch, seed))

        values = {name: parameter.detach() for name, parameter in self.stacked.items()}
        return vmap(grad(loss), randomness="same")(values)

    def step(self, length: int) -> None:
        """Take one step of every seed; each has a gradient norm of its own."""
        gradients = self.gradients(strings(self.rng, length), length)
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients.values()]).norm(dim=0)
        scales = (OPTIMISER.clip / (norms + 1e-6)).clamp(max=1.0)
        for name, parameter in self.stacked.items():
            parameter.grad = gradients[name] * scales.view(-1, *[1] * (parameter.ndim - 1))
        self.optimiser.step()


def largest_difference(config: LDRUConfig) -> float:
    """Return how far gradients of stacked seeds are from those of each seed alone, over the largest gradient."""
    batch = strings(np.random.default_rng(1), 24)
    together = Together(config, SEEDS).gradients(batch, 1)
    worst = list[float]()
    for seed in range(SEEDS):
        objective = build(config, seed)
        objective(batch, 1).backward()
        alone = {name: p.grad for name, p in objective.named_parameters() if p.grad is not None}
        scale = max(float(g.abs().max()) for g in alone.values())
        worst += [float((together[name][seed] - g).abs().max()) / scale for name, g in alone.items()]
    # Unlike Python's maximum, numpy's does not pass over NaN.
    return float(np.max(worst))


def measure(config: LDRUConfig, rounds: int) -> dict[str, float]:
    """Return the median over rounds of the milliseconds of processor time that one step of one seed takes."""
    ways: dict[str, tuple[int, Callable[[int], None]]] = {
        "alone": (1, OneByOne(config, 1, shared=False).step),
        "one by one, strings shared": (SEEDS, OneByOne(config, SEEDS, shared=True).step),
        "stacked": (SEEDS, Together(config, SEEDS).step),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (seeds, step) in ways.items():
            begin = time.process_time()
            for length in LENGTHS:
                step(length)
            seconds[name].append((time.process_time() - begin) / seeds / len(LENGTHS))
    # The first round also pays for what is built once: tables of words, caches, moments of the optimiser.
    return {name: 1000 * statistics.median(values[1:]) for name, values in seconds.items()}


def main() -> None:
    """Measure both units, print the ratios, write the record."""
    parser = Options(__file__, __doc__, rounds=1, units=["MLP, width 64"])
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each comparison")
    parser.add_argument("--units", nargs="+", default=list(UNITS), choices=list(UNITS))
    arguments = parser.read()
    torch.set_num_threads(1)
    record = dict[str, Any]()
    for name in arguments.units:
        config = UNITS[name]
        difference = largest_difference(config)
        milliseconds = measure(config, arguments.rounds + 1)
        faster = {way: round(milliseconds["alone"] / value, 3) for way, value in milliseconds.items()}
        record[name] = {
            "times faster a seed than alone": faster,
            "milliseconds a step and seed": {way: round(value, 3) for way, value in milliseconds.items()},
            "largest relative difference of gradients": difference,
        }
        for way, ratio in faster.items():
            print(f"{name:<24} {way:<28} {milliseconds[way]:8.2f} ms  {ratio:6.2f} times as fast as alone")
        print(f"{name:<24} gradients differ by {difference:.1e}")
    write_record(arguments.out, **record)


if __name__ == "__main__":
    main()
