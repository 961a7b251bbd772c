"""Sentences and the table of ``docs/training.md`` that hold numbers, as settings, recipes and a record give them."""

from collections.abc import Iterator

import numpy as np
from measured import ROOT, in_program, line, record

from lengthwise.runs.recipe import load_recipe
from lengthwise.tasks import get_language
from lengthwise.tasks.regular.monoid import separating_contexts
from lengthwise.training.objectives.tree import TreeConfig

PUBLISHED = [f"paper/{path.stem}" for path in sorted((ROOT / "recipes" / "paper").glob("*.yaml"))]


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    symbols = load_recipe("paper/parity").settings()["task"]["train"]["maximum"]
    yield f"A string of {symbols} symbols then gives {2 * symbols - 1} labels instead of one"
    yield f"times `node_weight` ({TreeConfig().node_weight:g} by default)"
    yield "the root alone learns, one label a string"
    yield "each level carries its *first* element up unpaired with probability 1/2 |"
    pairs = 256 * symbols // 2
    yield f"256 binary strings of {symbols} symbols have {pairs:,} pairs at the first level, and {2**2} distinct ones"
    yield from _contexts()
    yield from _seeds()
    yield from _published()


def _contexts() -> Iterator[str]:
    automaton = get_language("dyck_12").automaton
    monoid = automaton.transition_monoid()
    _, classes_MK = separating_contexts(
        automaton.outputs_S, automaton.start, monoid.elements_MS[1:], monoid.elements_MS
    )
    # Twelve opened at once: nothing may come before, and only twelve closed behind.
    (deepest,) = (m for m in range(1, monoid.size) if monoid.word(m) == [0] * 12)
    accepted = int(np.sum(classes_MK[deepest - 1] == 1))
    assert accepted == 1, "one context"
    yield f"a product that spans all depths of D_12 is accepted in one context of {classes_MK.shape[1]}"


def _seeds() -> Iterator[str]:
    found = record("seeds")
    (batch,) = in_program("benchmarks/seeds.py", r"TrainingConfig\(batch_size=(\d+),")
    yield f"alone on {('no', 'one')[found['threads']]} thread at batch {batch}"
    units = {
        "stochastic, width 1024": "stochastic operator, width 1024",
        "stochastic, width 256": "stochastic operator, width 256",
        "MLP, width 64": "MLP operator, width 64",
    }
    for name, unit in units.items():
        times = found[name]["times faster a seed than alone"]
        yield line(unit, *(f"{times[way]:.2f}" for way in ("stacked", "one by one, strings shared")))


def _published() -> Iterator[str]:
    recipes = {name.removeprefix("paper/"): load_recipe(name) for name in PUBLISHED}
    trainings = [recipe.training for recipe in recipes.values()]
    ((batch, betas, clip, warm_up),) = {
        (of.batch_size, of.optimiser.betas, of.optimiser.clip, of.optimiser.warm_up) for of in trainings
    }
    (lengths,) = {
        tuple(recipe.settings()["task"]["train"][end] for end in ("minimum", "maximum")) for recipe in recipes.values()
    }
    for of in (training.optimiser for training in trainings):
        assert of.amsgrad
        assert of.centralise
        assert (of.weight_decay, of.tail) == (0, "constant")
    yield (
        f"batch {batch}, lengths uniform in {lengths[0]} to {lengths[1]}, AMSGrad ({betas[0]}, {betas[1]}), gradient "
        f"centralisation, clip {clip}, no weight decay, warm-up over the first {100 * warm_up:.0f} % of steps and then "
    )
    dyck = {name for name in recipes if name.startswith("dyck")}
    (rate,), (lower,) = (
        {recipes[name].training.optimiser.learning_rate for name in names} for names in (recipes.keys() - dyck, dyck)
    )
    yield f"learning rate {rate * 1e3:g}e-3, and {lower * 1e4:g}e-4 on the Dyck languages"
    less = {"parity", "even_pairs", "cycle_navigation", "modular_arithmetic", "modular_arithmetic_precedence"}
    (dropout,), (small,) = (
        {recipes[name].settings()["model"]["dropout"] for name in names} for names in (recipes.keys() - less, less)
    )
    yield f"dropout {dropout}, and {small} on parity, even pairs, cycle navigation and modular arithmetic"
    more = {"modular_arithmetic", "modular_arithmetic_precedence", *(f"dyck_{depth}" for depth in (4, 6, 8, 12))}
    (steps,), (most,) = ({recipes[name].training.steps for name in names} for names in (recipes.keys() - more, more))
    yield f"{steps:,} steps, and {most:,} on modular arithmetic and on the Dyck languages of depth 4, 6, 8 and 12"
