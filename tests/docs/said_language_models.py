"""Sentences and tables of ``docs/language_models.md`` that hold numbers, as the rows give them."""

from collections.abc import Iterator
from functools import cache

from measured import line, table

from lengthwise.evaluation.losses import perplexity
from lengthwise.evaluation.rows import Row
from lengthwise.report.diagnosed import Diagnosed
from lengthwise.runs.rows import RESERVED

INTERVENTIONS = ("base", "zero", "state_passing", "tbptt")
MIXERS = ("gla", "mamba2", "rwkv6", "mamba1", "lstm", "gru", "deltanet", "gated_deltanet", "ldru")
TRAININGS = {"base": "base", "zero": "zero", "random_noise": "random noise", "fitted_noise": "fitted noise",
             "state_passing": "state passing", "tbptt": "tbptt"}  # fmt: skip


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
        yield from (
            _line(mixer, training, models(mixer)[training]) for training in TRAININGS if training in models(mixer)
        )
    yield from _settings()
    yield from _budgets()
    yield from _reading()


def cost(folder: str, training: str) -> list[float]:
    """Return by how many per cent perplexity in context is above that of the zero-state control, a seed each."""
    zero = {model.head.seed: _inside(model) for model in models(folder)["zero"]}
    return [100 * (_inside(model) / zero[model.head.seed] - 1) for model in models(folder)[training]]


def _inside(model: Diagnosed) -> float:
    return perplexity(model.inside or 0.0)


def _settings() -> Iterator[str]:
    for context in ("32", "64", "128", "256", "512"):
        (model,) = models("context")[context]
        yield line(context, *_numbers(model))
    for times in ("1", "2", "4", "8", "16"):
        (model,) = models("budget")[times]
        yield line(times, *_numbers(model))
    for states in ("8", "16", "32", "64", "128"):
        (model,) = models("context")["64"] if states == "64" else models("state")[states]
        # K states of each of 2 layers' channels; the rows do not hold the size.
        yield line(states, f"{256 * int(states):,}", *_numbers(model))


def _numbers(model: Diagnosed) -> list[str]:
    return [
        f"{_inside(model):.2f}",
        *(f"{value:.2f}" for multiple in (4, 16, 64) for value in _ratios([model], multiple)),
    ]


def _budgets() -> Iterator[str]:
    (base,) = {model.head.sequences for model in models("mamba2")["base"]}
    names = {"1": "1", "3": "3", "10": "10", "30": "30", "": "83"}
    for name, share in names.items():
        passed, zero = (models("repair")[f"{kind}{name}"] if name else models("mamba2")[of]
                        for kind, of in (("", "state_passing"), ("zero_", "zero")))  # fmt: skip
        assert {round(100 * model.head.sequences / base) for model in (*passed, *zero)} == {int(share)}
        columns = [
            text
            for of in (passed, zero)
            for text in (
                " / ".join(f"{_inside(model):.3f}" for model in of),
                " / ".join(f"{value:.3f}" for value in _ratios(of, 64)),
            )
        ]
        yield line(f"*{share} %*", *columns)
    whole = {model.head.seed: _inside(model) for model in models("mamba2")["base"]}
    costs = [_inside(model) / whole[model.head.seed] for model in models("repair")["30"]]
    yield f"at the perplexity in context that the base had ({min(costs):.3f} to {max(costs):.3f} times)"
    left = [100 * (value - 1) for value in ratios("repair", "10")]
    yield f"10 % leave {_span(left)} at 64 T"


def _each(values: list[float], digits: int = 1) -> str:
    *first, last = (f"{value:.{digits}f}" for value in values)
    return f"{', '.join(first)} and {last}"


def _span(values: list[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f} %"


def _reading() -> Iterator[str]:
    for mixer, name in (("mamba2", "Mamba-2"), ("gla", "GLA"), ("rwkv6", "RWKV-6")):
        far = " at 64 T" if mixer == "mamba2" else ""
        yield f"{name} fails with all three seeds** ({_each(ratios(mixer, 'base'))} times{far})"
        yield (
            f"at most {max(ratios(mixer, 'state_passing')):.3f} times after state passing, for "
            f"{_span(cost(mixer, 'state_passing'))} in context, "
            f"at most {max(ratios(mixer, 'tbptt')):.3f} after TBPTT, for {_span(cost(mixer, 'tbptt'))}"
        )
    yield f"Training on from zero states as long leaves {_each(ratios('mamba2', 'zero'))}"
    zero = ", ".join(f"{value:.2f}" for value in ratios("gla", "zero"))
    yield f"mends one seed by itself and not the others ({zero})"
    yield f"Training on from zero leaves {_each(ratios('rwkv6', 'zero'))}"
    lstm, gru, mamba1, deltanet = (ratios(mixer, "base")[0] for mixer in ("lstm", "gru", "mamba1", "deltanet"))
    yield f"{lstm:.1f}, {gru:.0f}, {mamba1:.1f} and {deltanet:.1f} times"
    both = {
        mixer: [(ratios(mixer, training)[0], cost(mixer, training)[0]) for training in ("state_passing", "tbptt")]
        for mixer in ("lstm", "gru", "deltanet", "gated_deltanet")
    }
    (first, one), (second, other) = both["lstm"]
    yield f"mend the LSTM ({first:.2f} and {second:.2f}, for {one:.1f} and {other:.1f} % in context)"
    (first, _), (second, _) = both["gru"]
    yield f"They leave {first:.1f} and {second:.1f} of the GRU's {gru:.0f}"
    (first, one), (second, other) = both["deltanet"]
    yield f"and {first:.2f} and {second:.2f} of DeltaNet's {deltanet:.1f}, for {one:.1f} and {other:.1f} % in context"
    passed, paid = ratios("mamba1", "state_passing")[0], cost("mamba1", "state_passing")[0]
    yield f"state passing brings its {mamba1:.1f} to {passed:.2f}, for {paid:.1f} % in context"
    yield f"hold** ({ratios('gated_deltanet', 'base')[0]:.3f} and {ratios('ldru', 'base')[0]:.3f})"
    (_, one), (_, other) = both["gated_deltanet"]
    yield f"its repairs cost {one:.1f} and {other:.1f} % in context"
    noise = {kind: [ratios(mixer, kind)[0] for mixer in ("gla", "rwkv6")] for kind in ("fitted_noise", "random_noise")}
    bases = [ratios(mixer, "base")[0] for mixer in ("gla", "rwkv6")]
    paid = [cost(mixer, "fitted_noise")[0] for mixer in ("gla", "rwkv6")]
    yield f"fitted noise leaves {_each(noise['fitted_noise'], 2)} of {_each(bases)}, for {_each(paid)} % in context"
    yield f"random noise, as large as the state at T, leaves {_each(noise['random_noise'])}"
    for kind in ("random noise", "fitted noise"):
        of = kind.replace(" ", "_")
        verb = "ends at" if kind == "random noise" else "at"
        yield f"{kind} {verb} {_each(ratios('mamba2', of), 3)} for {_span(cost('mamba2', of))}"


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
