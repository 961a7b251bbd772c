"""Sentences and the table of ``docs/repair.md`` that hold numbers, as rows and defaults give them."""

from collections.abc import Iterator

from measured import diagnosed, line, runs

from lengthwise.interventions.repair import FAMILIES, WARM_UP, repair_of

SMALL = 30
"""Windows of a repair in per cent of those of the training."""
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


def _share(settings: dict[str, float]) -> str:
    chance = settings.get("zero_probability", 0.0)
    return f"{settings['zero_share']:g}" + (f", each other row by a chance of {chance:g}" if chance else "")
