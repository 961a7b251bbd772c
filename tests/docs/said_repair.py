"""Sentences and the table of ``docs/repair.md`` that hold numbers, as rows and defaults give them."""

from collections.abc import Iterator

from measured import diagnosed, line, runs

from lengthwise.evaluation.starts import COST, MULTIPLES, Starts
from lengthwise.interventions.repair import FAMILIES, WARM_UP, repair_of
from lengthwise.models.backbone import BackboneConfig
from lengthwise.tasks.signals import Signals

SMALL = 30
"""Windows of a repair in per cent of those of the training."""
CONTEXT = 32
KINDS = ("state_passing", "tbptt")


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    base, repaired = (diagnosed("text/mamba2")[name][0].head.sequences for name in ("base", "state_passing"))
    yield f"here {repaired:,} after {base:,}, or {100 * repaired / base:.0f} %"
    small = [run for run in runs("text/repair") if run.head.recipe == f"text/repair/{SMALL}"]
    ((steps, windows),) = {(run.head.step, run.settings["training"]["batch_size"]) for run in small}
    assert round(100 * steps * windows / base) == SMALL
    settings = f"`--steps {steps} --set training.batch_size={windows}`"
    yield f"[{SMALL} % mend it as well](language_models.md#small-budgets): {settings}"
    assert WARM_UP == 0.1, "a tenth"
    for family in (*FAMILIES, "any other"):
        repair = repair_of(family)
        name = f"`{family}`" if family in FAMILIES else family
        yield line(name, repair.batch_size, f"{repair.rate:g}", *map(_share, map(repair.settings_of, KINDS)))
    yield from _starts()


def _starts() -> Iterator[str]:
    *multiples, most = (f"{multiple} T" for multiple in MULTIPLES)
    yield f"the octaves that end at {', '.join([*multiples, most])} and at the end".replace("1 T", "T", 1)
    task = Signals.model_validate({"train": {"maximum": CONTEXT}})
    model = BackboneConfig(width=4, layers=1).build(task.inputs, task.outputs)
    costs = {
        row.axes["way"]: f"{row.value:.0f} |" for row in Starts(rows=2).measure(model, task, 0) if row.metric == COST
    }
    yield f"the model as it is used | {costs['whole']}"
    yield f"windows of N, each from the initial state | {costs[f'reset every {CONTEXT}']}"
    yield "burn-in of N (`--burn-in`, T / 2 by default)"
    yield f"before each N symbols the N before them, from the initial state | {costs[f'burn-in of {CONTEXT // 2}']}"
    yield f"the state in which another sequence ended | {costs['carried from another']}"
    yield f"everything, by the model of `--repaired` | {costs['whole']}"


def _share(settings: dict[str, float]) -> str:
    chance = settings.get("zero_probability", 0.0)
    return f"{settings['zero_share']:g}" + (f", each other row by a chance of {chance:g}" if chance else "")
