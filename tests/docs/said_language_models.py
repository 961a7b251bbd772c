"""Sentences and tables of ``docs/language_models.md`` that hold numbers, as the rows give them."""

from collections.abc import Iterator
from functools import cache

from measured import line, table

from lengthwise.evaluation.losses import perplexity
from lengthwise.evaluation.rows import Row
from lengthwise.report.diagnosed import Diagnosed
from lengthwise.runs.rows import RESERVED

INTERVENTIONS = ("base", "zero", "state_passing", "tbptt")


@cache
def models(folder: str) -> dict[str, list[Diagnosed]]:
    """Return the runs of a folder below ``results/text`` by the last part of their recipe's name, seeds in order."""
    found: dict[str, list[Diagnosed]] = {}
    kept = table(f"text/{folder}")
    axes = [name for name in kept.rows.columns if name not in RESERVED]
    for run in sorted(kept.runs, key=lambda run: run.head.seed):
        own = kept.rows.filter(digest=run.head.digest, seed=run.head.seed).to_dicts()
        measured = [
            Row(
                **{name: row[name] for name in Row.model_fields if name != "axes"},
                axes={axis: row[axis] for axis in axes if row[axis] is not None},
            )
            for row in own
        ]
        found.setdefault(run.head.recipe.rpartition("/")[2], []).append(Diagnosed(run.head, measured))
    return found


def ratios(folder: str, training: str, multiple: int = 64) -> list[float]:
    """Return perplexity far beyond the context over that near its end, a seed each."""
    found = [model.ratio(multiple) for model in models(folder)[training]]
    return [ratio.ratio for ratio in found if ratio]


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    for mixer in MIXERS:
        for training, runs in models(mixer).items():
            if training not in TRAININGS:
                continue
            yield _line(mixer, training, runs)


MIXERS = ("gla", "mamba2", "rwkv6", "mamba1", "lstm", "gru", "deltanet", "gated_deltanet", "ldru")
TRAININGS = {"base": "base", "zero": "zero", "random_noise": "random noise", "fitted_noise": "fitted noise",
             "state_passing": "state passing", "tbptt": "tbptt"}  # fmt: skip


def _line(mixer: str, training: str, of: list[Diagnosed]) -> str:
    inside = [perplexity(model.inside or 0.0) for model in of]
    zero = models(mixer).get("zero", [])
    control = [perplexity(model.inside or 0.0) for model in zero if model.head.seed in {run.head.seed for run in of}]
    against = [f"{100 * (own / other - 1):+.1f} %" for own, other in zip(inside, control, strict=False)] or ["-"]
    far = [" / ".join(f"{value:.3f}" for value in _ratios(of, multiple)) for multiple in (4, 16, 64)]
    states = [" / ".join(f"{model.deviations[end].value:.2f}" for model in of if model.deviations) for end in (0, 1)]
    return line(
        mixer, TRAININGS[training], " / ".join(f"{value:.3f}" for value in inside), " / ".join(against), *far, *states
    )


def _ratios(of: list[Diagnosed], multiple: int) -> list[float]:
    return [ratio.ratio for model in of if (ratio := model.ratio(multiple))]
