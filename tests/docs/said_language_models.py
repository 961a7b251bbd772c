"""Sentences and tables of ``docs/language_models.md`` that hold numbers, as the rows give them."""

from collections.abc import Iterator

from measured import diagnosed, line, record, runs

from lengthwise.evaluation.losses import perplexity
from lengthwise.report.diagnosed import MULTIPLES, Diagnosed
from lengthwise.runs.recipe import load_recipe

INTERVENTIONS = ("base", "zero", "state_passing", "tbptt")
MIXERS = ("gla", "mamba2", "rwkv6", "mamba1", "lstm", "gru", "deltanet", "gated_deltanet", "ldru")
TRAININGS = {"base": "base", "zero": "zero", "random_noise": "random noise", "fitted_noise": "fitted noise",
             "state_passing": "state passing", "tbptt": "tbptt"}  # fmt: skip


def models(folder: str) -> dict[str, list[Diagnosed]]:
    """Return the runs of a folder below ``results/text`` by the last part of their recipe's name, seeds in order."""
    return diagnosed(f"text/{folder}")


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
    yield from _headers()
    yield from _recipes()
    yield from _settings()
    yield from _budgets()
    yield from _reading()
    yield from _tried()
    yield from _speed()


def _headers() -> Iterator[str]:
    at = [f"at {multiple} T" for multiple in MULTIPLES]
    yield line("mixer", "training", "in context", "against zero", *at, "state at T", f"state at {MULTIPLES[-1]} T")
    for first in (["T"], ["times 20 a parameter"], ["K", "state, elements"]):
        yield line(*first, "in context", *at)
    of = [f"{states}: in context | {at[-1]}" for states in ("from passed states", "from zero")]
    yield line("windows, of those of the training", *of)


def _recipes() -> Iterator[str]:
    base, passed = (load_recipe(f"text/mamba2/{name}") for name in ("base", "state_passing"))
    context, reach = base.settings()["task"]["context"], base.settings()["evaluation"]["perplexity"]["reach"]
    assert reach == MULTIPLES[-1]
    yield f"{context} at a time, and are measured on held-out modules to {reach} times that"
    steps = passed.training.steps
    assert {run.head.step for run in runs(*(f"text/{mixer}" for mixer in MIXERS))} >= {steps}
    yield f"is the same model after {steps} steps from"
    yield f"and {steps} steps of state passing or TBPTT mend it"
    seen = {
        mixer: [models(mixer)[of][0].head.sequences for of in ("base", "zero")] for mixer in ("mamba2", "gla", "rwkv6")
    }
    (all_of, some), (others, more) = seen["mamba2"], seen["gla"]
    assert seen["rwkv6"] == seen["gla"]
    yield (
        f"{steps} steps are {some:,} windows of Mamba-2, {100 * some / all_of:.0f} % of the {all_of:,} that its "
        f"training read, and {more:,} or {100 * more / others:.0f} % of GLA and RWKV-6"
    )
    assert {model.head.seed for mixer in seen for model in models(mixer)["base"]} == {0, 1, 2}
    yield "Three numbers are seeds 0, 1 and 2"
    yield f"over {base.settings()['evaluation']['remembrance']['reach']} T: how far"
    (windows,) = {run.settings["training"]["batch_size"] for run in runs("text/repair")}
    yield f"{windows} windows a step, seeds 0, 1 and 2 (`text/repair`)"
    of_context = runs("text/context")
    (steps,) = {run.head.step for run in of_context}
    (symbols,) = {run.settings["training"]["batch_size"] * run.settings["task"]["context"] for run in of_context}
    yield f"{steps:,} steps of {symbols:,} symbols, one seed"
    few = runs("text/budget")
    (size,), (width,) = {run.head.parameters for run in few}, {run.settings["model"]["width"] for run in few}
    times = [run.head.sequences * run.settings["task"]["context"] / (20 * (size or 0)) for run in few]
    assert sorted(map(round, times)) == sorted(int(run.head.recipe.rpartition("/")[2]) for run in few)
    yield (
        f"Mamba-2 of width {width} ({(size or 0) / 1000:.0f} thousand parameters with the same state for each head) on "
        f"{min(times):.0f} to {max(times):.0f} times 20 symbols a parameter"
    )
    (context,) = {run.settings["task"]["context"] for run in runs("text/state")}
    yield f"The same with T = {context} and K states a channel (`text/state`, and `text/context/64` for {context})"


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
    base_line = [" / ".join(f"{value:.3f}" for value in of) for of in
                 ([_inside(model) for model in models("mamba2")["base"]], ratios("mamba2", "base"))]  # fmt: skip
    yield line("*none*", *base_line, *base_line)
    assert max(ratios("repair", "30")) < 1.005
    yield "**30 % of the windows mend all three seeds**"
    assert max(ratios("repair", "3")) < 1.25
    assert all(
        one < 1 + (before - 1) / 2 for one, before in zip(ratios("repair", "1"), ratios("mamba2", "base"), strict=True)
    )
    yield "and with 1 and 3 % most of the failure is gone"
    above = [
        100 * (_inside(one) / _inside(other) - 1)
        for share in ("1", "3", "10", "30")
        for one, other in zip(models("repair")[share], models("repair")[f"zero_{share}"], strict=True)
    ]
    yield f"the passed states cost {_span(above)} against the control"
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


def _tried() -> Iterator[str]:
    of: dict[tuple[str, int, float, str], list[Diagnosed]] = {}
    for run in runs("text/tried"):
        if not run.settings.get("start"):
            mixer = run.settings["model"]["mixer"]
            rates = " to ".join(f"{rate:g}" for rate in mixer.get("initial_rates", "")) or "-"
            key = mixer["name"], run.settings["task"]["context"], _rate(run.head.digest), rates
            every = [one for each in models("tried").values() for one in each]
            of.setdefault(key, []).extend(one for one in every if one.head == run.head)
    for (mixer, context, rate, rates), own in of.items():
        seeds = ", ".join(str(one.head.seed) for one in own)
        yield line(mixer, context, f"{rate:g}", rates, seeds, ", ".join(f"{value:.2f}" for value in _ratios(own, 64)))
    yield line("mixer", "T", "learning rate", "first decay rates", "seeds", "at 64 T")
    slow, *noise = (
        [one for one in models("tried")[kind] if "gla" in one.head.recipe]
        for kind in ("base", "random_noise", "fitted_noise")
    )
    assert sum(value > 1.05 for value in _ratios(slow, 64)) == 1
    yield f"At a rate of {_rate(slow[0].head.digest):g} GLA failed with one seed of three"
    better, worse = (sorted(map(_inside, some)) for some in (models("gla")["base"], slow))
    spans = [f"{of[0]:.2f} to {of[-1]:.2f}" for of in (better, worse)]
    yield f"are the better ones in context: {' instead of '.join(spans)}"
    left = [_ratios(kind, 64)[0] for kind in noise]
    yield f"({_each(left, 2)} of {_ratios(slow, 64)[0]:.2f}, `results/text/tried`)"
    ends = [models("gla")[name][0].deviations or () for name in ("base", "state_passing")]
    before, after = (last.value / first.value for first, last in ends)
    yield f"GLA's grows {before:.1f}-fold from T to 64 T with seed 0 before its repair, and {after:.1f}-fold after"


def _speed() -> Iterator[str]:
    speed_of, steps = record("mixers"), record("interventions")
    sizes, found = speed_of["sizes"], speed_of["ratios"]
    yield f"width {sizes['width']}, {sizes['layers']} layers, {sizes['batch']} x {sizes['length']} tokens, forward"
    yield f"transformers {speed_of['transformers'].rpartition('.')[0]} without kernels"
    names = {"mamba1": "Mamba-1", "mamba2": "Mamba-2", "gated_deltanet": "Gated DeltaNet", "deltanet": "DeltaNet",
             "gla": "GLA", "rwkv6": "RWKV-6", "lstm": "LSTM"}  # fmt: skip
    peers = {
        "mamba1": f"{found['mamba1, 1 layer: times as fast as transformers Mamba, 1 layer']:.0f} (one layer)",
        "mamba2": f"{found['mamba2: times as fast as transformers Mamba2']:.2f}",
        "gated_deltanet": f"{found['gated_deltanet: times as fast as transformers Qwen3Next']:.2f} (Qwen3-Next)",
    }
    for mixer, name in names.items():
        speed, share = found[f"{mixer}: tokens a second, both ways"], found[f"{mixer}: fraction of the matmul rate"]
        yield line(name, f"{speed:,.0f}", peers.get(mixer, ""), f"{share:.2f}").replace("|  |", "| |")
    of = ("time a token at 131,072", "peak memory at 131,072")
    time, memory = ([value for name, value in found.items() if f"{what} over 1,024" in name] for what in of)
    yield (
        f"A token at 131,072 takes {min(time):.2f} to {max(time):.2f} times as long as one at 1,024, "
        f"in {min(memory):.2f} to {max(memory):.2f} times the memory"
    )
    added = [100 * value for name, value in steps["ratios"].items() if "state_passing: added to a step" in name]
    yield f"State passing adds {_span(added)} to a step"


def _rate(digest: str) -> float:
    (rate,) = {run.settings["training"]["optimiser"]["learning_rate"] for run in runs("text/tried")
               if run.head.digest == digest}  # fmt: skip
    return rate


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
