"""Sentences and tables of ``README.md`` that hold numbers, as the rows give them."""

import math
from collections.abc import Iterator, Sequence
from statistics import fmean, median

from measured import ROOT, TRAINED, Cell, cells, errors, exact_mean, line, listed, runs, samples, upper_limit
from said_baselines import MODELS, TASKS, flawless, grid
from said_certificates import certificates
from said_language_models import INTERVENTIONS, models, ratios

from lengthwise.report.words import percent
from lengthwise.tasks import LANGUAGES

MATRIX = ["modular_arithmetic", "parity", "even_pairs", "cycle_navigation", "dyck_2", "dyck_3", "dyck_4", "dyck_6",
          "dyck_8", "dyck_12", *(f"tomita_{n}" for n in range(1, 8)), "prefix_1_2", "prefix_1_4", "prefix_2_2",
          "prefix_2_4", "prefix_4_2"]  # fmt: skip
FAST = ["parity", "even_pairs", "cycle_navigation", "dyck_2", "dyck_3", "dyck_4", *(f"tomita_{n}" for n in range(3, 8)),
        "prefix_1_2", "prefix_1_4", "prefix_2_2", "prefix_2_4", "prefix_4_2", "prefix_4_4"]  # fmt: skip
DEEP = ["dyck_6", "dyck_8", "dyck_12"]
FAR = (1_000, 10_000, 100_000)
SEEDS = (0, 1, 2)


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    yield from _recipes()
    yield from _front()
    yield from _units()
    yield from _proofs()
    yield from _counts()
    yield from _far()
    yield from _repair()
    yield from _families()
    yield from _language_models()
    yield from _baselines()


def _recipes() -> Iterator[str]:
    yield f"{len(list(LANGUAGES))} regular languages with exact samplers"
    trained = runs("matrix", "fast")
    (longest,) = {run.settings["task"]["train"]["maximum"] for run in trained}
    assert {run.head.seed for run in trained} == set(SEEDS)
    yield f"Trained on strings of at most {longest} symbols, three seeds each"
    texts = runs("text/mamba2", "text/gla", "text/rwkv6")
    (context,) = {run.settings["task"]["context"] for run in texts}
    (reach,) = {run.settings["evaluation"]["perplexity"]["reach"] for run in texts}
    assert {run.head.seed for run in texts} == set(SEEDS)
    yield (
        f"trained on windows of T = {context} bytes, seeds 0, 1 and 2. Each number is the perplexity at positions "
        f"{reach // 2} T to {reach} T, divided by that of the same symbols near the end of a window: "
        "1.00 is as it should be."
    )
    (steps,) = {run.head.step for run in texts if run.head.recipe.endswith("zero")}
    yield f"then {steps} steps from zero"


def _front() -> Iterator[str]:
    # What the figure at the top shows.
    unit, *others = (cells("baselines")[model, "cycle_navigation"] for model in ("unit_associative", "lstm", "mamba2"))
    assert not errors(unit.far(FAR[-1], FAR[-1] + 1))
    lstm, mamba = (percent(exact_mean(cell.far(1_000, 1_001)), 1) for cell in others)
    yield (
        f"all models were trained on at most {TRAINED} symbols. At 1,000 symbols the LSTM is right on {lstm} % of the "
        f"strings, and Mamba-2 on {mamba} %; the log-depth unit makes no error at {FAR[-1]:,}"
    )
    yield f"before and after {models('mamba2')['state_passing'][0].head.step} steps of training"
    assert len(MODELS) == 16, "fourteen other models"


def _units() -> Iterator[str]:
    # Words of the table that the rows must bear out, whatever the numbers beside them.
    for folder, tasks in (("matrix", [*MATRIX, "prefix_4_4"]), ("fast", [*FAST, "modular_arithmetic"])):
        for task in tasks:
            cell = _unit(folder, task)
            wrong = {"41 to 500": cell.beyond, "far": cell.far(last=FAR[-1] + 1)}
            wrong |= {"near misses": cell.near} if folder == "matrix" or task == "modular_arithmetic" else {}
            assert cell.seeds == 3, (folder, task)
            assert not any(map(errors, wrong.values())), f"{folder}/{task}: {wrong}"
    far = listed(f"{length:,}" for length in FAR)
    yield f"**no error** at any length from 41 to 500, on near misses, at {far};"
    near = percent(min(exact_mean(_unit("fast", task).near) for task in FAST), 1)
    yield f"**no error** at any length from 41 to 500, at {far}; near misses {near} % or more |"
    modular = _unit("fast", "modular_arithmetic")
    (last,), odd = set(modular.beyond["length"].top_k(1)), sorted(set(modular.far(last=FAR[-1])["length"]))
    at = listed(f"{length:,}" for length in odd)
    yield f"**no error** at any length from 41 to {last}, on near misses, at {at} |"
    rest = [task for task in MATRIX if task not in DEEP]
    yield f"{_strings('matrix', rest)}; D_6 and D_8 {_strings('matrix', DEEP[:2])}; D_12 {_strings('matrix', DEEP[2:])}"
    proved = [run for run in runs("matrix") if run.head.trained_on in MATRIX]
    yield f"all {len(proved)} units [proved](docs/certificates.md) right at every length"
    yield f"P(4,4) | {_strings('matrix', ['prefix_4_4'])} |"
    yield f"{_strings('fast', [task for task in FAST if task != 'dyck_4'])}; D_4 {_strings('fast', ['dyck_4'])}"
    yield f"modular arithmetic | {_strings('fast', ['modular_arithmetic'])} |"
    deep = [_unit("fast", task) for task in DEEP]
    yield f"D_6, D_8, D_12 | {'; '.join(_strings('fast', [task]) for task in DEEP)} |"
    near = _each((exact_mean(cell.near) for cell in deep), 1)
    yield f"{_each(cell.mean for cell in deep)} % from 41 to 500; near misses {near} %"
    yield f"at 1,000 {percent(min(_by_seed(deep, 1_000)), 1)} % or more with every seed"
    far, farther = (_each((exact_mean(cell.far(n, n)) for cell in deep), 1) for n in (10_000, 100_000))
    yield f"at 10,000 {far} %; at 100,000 {farther} %, where 50 is chance"


def _proofs() -> Iterator[str]:
    verdicts: dict[str, list[str]] = {}
    for run in runs("fast"):
        if "certificate" in run.attachments:
            verdicts.setdefault(run.head.trained_on, []).append(run.attachments["certificate"].verdict)
    proved = {task for task, found in verdicts.items() if found == ["every_length_snapped"] * len(SEEDS)}
    assert proved == {*FAST, "modular_arithmetic"}, proved
    yield (
        "the MLP units of parity, even pairs, cycle navigation, D_2, D_3, D_4, Tomita 3 to 7, all P(p,q) and modular "
        "arithmetic are proved right at every length too, three seeds each"
    )
    (found,) = certificates("soft")
    symbols = len(found.counterexample.symbols if found.counterexample else ())
    yield (
        "one of cycle navigation without an error at any length to 500, at 1,000 and 10,000, "
        f"proved right to length {found.length} only, and wrong on a string of {symbols:,} symbols"
    )
    assert not errors(cells("soft")["unit", "cycle_navigation"].far(TRAINED + 1, 10_000))


def _repair() -> Iterator[str]:
    before, after = (ratios("mamba2", training)[0] for training in ("base", "state_passing"))
    yield f"perplexity at 64 T is {before:.2f} times that near T before, {after:.2f} times after"
    base, whole = (models("mamba2")[training][0].head for training in ("base", "state_passing"))
    share = 100 * whole.sequences / base.sequences
    yield f"Its {whole.step} steps read {share:.0f} % as many windows as the training did"
    less, least = (100 * models("repair")[share][0].head.sequences / base.sequences for share in ("30", "10"))
    assert ratios("repair", "30")[0] < 1.005
    yield f"[{less:.0f} % mend it as well](docs/language_models.md#small-budgets)"
    yield f"and {least:.0f} % leave {ratios('repair', '10')[0]:.2f}"


def _unit(folder: str, task: str) -> Cell:
    return cells(folder)["unit", task]


def _strings(folder: str, tasks: Sequence[str]) -> str:
    """Return how many strings training saw: of each task the mean over seeds, in thousands where seeds differ."""
    counts = list[int]()
    for task in tasks:
        of_seeds = [run.head.sequences for run in runs(folder) if run.head.trained_on == task]
        counts.append(of_seeds[0] if len(set(of_seeds)) == 1 else round(fmean(of_seeds) / 1000) * 1000)
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _each(values: Iterator[float], digits: int = 2) -> str:
    return ", ".join(percent(value, digits) for value in values)


def _by_seed(of: Sequence[Cell], length: int) -> list[float]:
    return [exact_mean(part) for cell in of for part in cell.far(length, length).partition_by("seed")]


def _counts() -> Iterator[str]:
    parity, modular = _unit("matrix", "parity"), _unit("matrix", "modular_arithmetic")
    far = samples(parity.far(FAR[-1], FAR[-1]))
    assert parity.shared
    strings = samples(parity.beyond.filter(length=100))
    assert {samples(_unit(folder, task).beyond) for folder, task in (("matrix", "dyck_12"), ("fast", "tomita_3"))} == {
        samples(parity.beyond)
    }
    yield (
        f"{samples(parity.beyond):,} strings from 41 to 500 symbols ({samples(modular.beyond):,} of modular "
        f"arithmetic; the prefixes of {strings:,} strings where all strings of a length are as likely), "
        f"{samples(parity.near):,} near misses, and {far} strings of each longer length"
    )
    yield f"no error on {far} strings leaves, with 95 % confidence, at most {upper_limit(far):.2f} %"


def _far() -> Iterator[str]:
    measured = {task: cell for (unit, task), cell in cells("baselines").items() if unit == "unit_associative"}
    whole = {task: cell for task, cell in measured.items() if cell.seeds == len(SEEDS)}
    if not whole:
        return
    far = [cell.far(FAR[-1] - 1, FAR[-1] + 1) for cell in whole.values()]
    assert not any(map(errors, far))
    (strings,) = set(map(samples, far))
    yield (
        f"no error in {strings:,} strings a language of 100,000 and 100,001 symbols (99,999 instead of 100,000 of "
        f"modular arithmetic), three seeds together, "
        f"which leaves at most {upper_limit(strings):.2f} %"
    )
    named = listed(name for task, name in TASKS.items() if task in whole)
    yield f"On {named} the associative unit"


def _families() -> Iterator[str]:
    page = (ROOT / "docs" / "pretrained_contract.md").read_text(encoding="utf-8")
    families = [row for row in page.splitlines() if row.startswith("| ") and "\N{RIGHTWARDS ARROW}" in row]
    wrong = sum("**" in row for row in families)
    assert (len(families), wrong) == (19, 16), "nineteen, sixteen"
    version = page.partition("made with transformers ")[2].partition(", torch")[0].rpartition(".")[0]
    yield (
        "reads nineteen families of transformers, [sixteen of which carry their state or its gradient wrongly]"
        f"(docs/pretrained_contract.md) with transformers {version} alone"
    )


def _language_models() -> Iterator[str]:
    for mixer in ("mamba2", "gla", "rwkv6"):
        found = {training: ratios(mixer, training) for training in INTERVENTIONS}
        texts = {training: ", ".join(f"{value:.2f}" for value in of) for training, of in found.items()}
        bold = [f"**{texts[name]}**" for name in ("state_passing", "tbptt")]
        before, after = (models(mixer)[training][0].head.sequences for training in ("base", "zero"))
        yield line(f"`text/{mixer}`", texts["base"], f"{100 * after / before:.0f} %", texts["zero"], *bold)
    sizes = [round(run.head.parameters or 0, -3) for run in runs("text/mamba2", "text/gla", "text/rwkv6")]
    yield f"Language models of {min(sizes):,} to {max(sizes):,} weights"


def _baselines() -> Iterator[str]:
    assert len(MODELS) == 16, "fourteen and two units"
    yield f"[Fourteen other models on the same {len(TASKS)} languages](docs/baselines.md)"
    seconds = [run.seconds for run in runs("baselines") if not run.head.recipe.startswith("baselines/unit")]
    yield f"half of the runs trained for less than {math.ceil(median(seconds))} seconds of one core"
    yield f"none for more than {math.ceil(max(seconds))}"
    three = [model for model in MODELS if all(grid()[model, task].seeds == 3 for task in TASKS)]
    ranked = sorted((model for model in three if not model.startswith("unit")), key=lambda model: -flawless(model))
    best = listed(f"{MODELS[model]} on {flawless(model)}" for model in ranked)
    yield f"of 21 tasks the associative unit makes no error on {flawless('unit_associative')}, {best}, "
    yield "near misses and length 1,000 included, three seeds each"
