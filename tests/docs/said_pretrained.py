"""Sentences and tables of ``docs/pretrained.md`` that hold numbers, as rows, records and defaults give them."""

import json
from collections.abc import Iterator
from itertools import groupby

from measured import ROOT, diagnosed, in_program, line, lines_of, record

from lengthwise.evaluation.losses import perplexity
from lengthwise.evaluation.rows import Row
from lengthwise.interventions.repair import FAMILIES, LEARNING_RATE, repair_of
from lengthwise.report.diagnosed import MULTIPLES, Diagnosed
from lengthwise.runs.migrate_recipe import FORMAT
from lengthwise.runs.pretrained import AT_ONCE, PIECES
from lengthwise.runs.rows import Head

STUDY = "pretrained/mamba2"


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    yield f"a single file of text is cut into {PIECES} pieces"
    yield f"the peak, {LEARNING_RATE:g} by default"
    default = repair_of("any other").batch_size
    more = {repair.batch_size for repair in FAMILIES.values()} - {default}
    (most,) = more
    assert {name for name, repair in FAMILIES.items() if repair.batch_size == most} == {"gla", "rwkv6"}
    yield (
        f"windows a step, {default} by default, {most} for GLA and RWKV-6; "
        f"read in K parts, {AT_ONCE} windows at a time by default"
    )
    yield f"since recipes are of format {FORMAT}:"
    yield from _study()
    yield from _default(default)
    yield from _alone()
    yield from _speed()


def study() -> dict[tuple[str, int], Diagnosed]:
    """Return the models of the study by recipe and seed; their rows are of before the rows of today."""
    found: dict[tuple[str, int], Diagnosed] = {}
    shared = ("recipe", "digest", "seed", "model", "intervention", "step", "sequences", "commit")
    for (recipe, seed), rows in groupby(lines_of(f"{STUDY}/diagnosis.jsonl"), lambda row: (row["recipe"], row["seed"])):
        kept = list(rows)
        head = {name: kept[0][name] for name in shared}
        measured = [
            Row(
                task="",
                **{name: row[name] for name in ("metric", "value", "low", "high")},
                samples=row["rows"],
                axes={name: row[name] for name in ("start", "end", "part") if row[name] != ""},
            )
            for row in kept
        ]
        found[recipe, seed] = Diagnosed(Head(trained_on="", training_length=kept[0]["context"], **head), measured)
    return found


def _study() -> Iterator[str]:
    found = study()
    models = [found[name, 0] for name in ("mamba2", "mamba2.zero", "mamba2.state_passing")]
    before, control, passed = models
    trained = [row["last_logged"]["sequences"] for row in json.loads(_text("pretraining.json"))]
    (windows,) = set(trained)
    (parameters,) = {model.head.parameters for of in diagnosed("pretrained/default").values() for model in of}
    width, layers = in_program("examples/small_mamba2.py", r"hidden_size=(\d+),\s+num_hidden_layers=(\d+)")
    slow = in_program("examples/small_mamba2.py", r"uniform_\((0\.\d+), (0\.\d+)\)")
    yield (
        f"({(parameters or 0) / 1000:.0f} thousand parameters, {layers} layers of width {width}, heads that forget "
        f"very slowly, tokens are bytes), trained from scratch on {windows:,} windows of {before.context} tokens of "
        f"Python's standard library, until it fails at length, and repaired on {passed.head.sequences:,}, which is "
        f"{100 * passed.head.sequences / windows:.0f} % of them"
    )
    yield f"instead of {slow[0]} to {slow[1]})"
    (rows,) = {row["rows"] for row in lines_of(f"{STUDY}/diagnosis.jsonl") if row["metric"] == "ratio"}
    (steps,) = {model.head.step for model in (control, passed)}
    yield line(
        f"seed 0; T = {before.context}; {rows} rows",
        "before",
        f"{steps} steps from zero states (control)",
        f"{steps} steps of state passing",
    )
    yield line("perplexity within T", *(f"{_inside(model):.3f}" for model in models))
    for multiple in MULTIPLES:
        yield line(f"ratio at {multiple} T", *(_ratio(model, multiple) for model in models))
    kept = [model.remembrance for model in models if model.remembrance]
    ((dropped, read),) = {(row.axes["start"], row.axes["end"]) for row in kept}
    yield line(f"effective remembrance, {dropped} of {read} tokens dropped", *(f"{row.value:.3f}" for row in kept))
    yield line("verdict", *(model.verdict[0] for model in models))
    other = found["untrained.zero", 1]
    assert other.verdict[0] == "fails"
    far = other.ratio(MULTIPLES[-1])
    assert far
    yield f"Seed 1 fails as well before ({far.ratio:.2f} times at {MULTIPLES[-1]} T, {far.low:.2f} to {far.high:.2f})"
    (other,) = {row["commit"][:7] for row in lines_of(f"{STUDY}/diagnosis.jsonl") if row["recipe"] == "mamba2.zero"}
    yield f"its diagnosis was recorded at commit {other}"


def _default(windows: int) -> Iterator[str]:
    found = diagnosed("pretrained/default")
    pairs = list(zip(found["mamba2"], found["mamba2.state_passing"], strict=True))
    heads, (trained,) = [after.head for _, after in pairs], {
        row["last_logged"]["sequences"] for row in json.loads(_text("pretraining.json"))
    }  # fmt: skip
    ((steps, seen),) = {(head.step, head.sequences) for head in heads}
    assert seen == steps * windows
    yield (
        f"which is {windows} windows a step, read {AT_ONCE} at a time, at {LEARNING_RATE:g}; "
        f"{steps} steps of them are {seen:,} windows, or {100 * seen / trained:.0f} % of the training's"
    )
    yield line("T = 64; 32 rows", "within T, before", "after", "at 64 T, before", "after", "verdict, before", "after")
    for before, after in pairs:
        assert (before.context, before.ratios[0].end) == (64, 128)
        inside = [f"{_inside(model):.3f}" for model in (before, after)]
        base = before.ratio(MULTIPLES[-1])
        assert base
        beyond = f"{base.ratio:.3f}", _ratio(after, MULTIPLES[-1])
        yield line(f"seed {before.head.seed}", *inside, *beyond, before.verdict[0], after.verdict[0])


def _alone() -> Iterator[str]:
    length, passes = in_program("examples/library_alone.py", r"LENGTH, ROWS, HELD_OUT = (\d+), (\d+),")
    yield f"its own forward pass over {int(length):,} tokens, {passes} passes that begin anywhere"
    before, after = (
        next(row for row in lines_of(f"{STUDY}/library_alone.jsonl") if row["checkpoint"] == name)
        for name in ("mamba2", "repaired")
    )
    assert before["rows"] == after["rows"] == int(passes)
    for start, end in ((0, 64), (128, 256), (512, 1024), (2048, 4096)):
        name = f"perplexity_{start}_{end}"
        yield line(f"{start + 1:,} to {end:,}", f"{before[name]:.2f}", f"{after[name]:.2f}")


def _speed() -> Iterator[str]:
    found = record("pretrained")
    sizes = found["sizes"]
    yield f"Width {sizes['width']}, two to four layers, {sizes['rows']} x {sizes['length']} tokens, chunks as"
    for family, row in found["tokens a second"].items():
        low, high = row["quartiles"]
        speeds = [f"{row[name]:,}" for name in ("library", "post_training")]
        yield line(family, *speeds, f"{row['ratio']:.2f}", f"{low:.2f} to {high:.2f}", row["rounds"])
    _, _, chunk = in_program("benchmarks/pretrained.py", r'"mamba2": \{(.*), ("n_groups".*), "chunk_size": (\d+)\}')
    yield f"that of Mamba-2 is slow in its default chunks of {chunk}"


def _inside(model: Diagnosed) -> float:
    assert model.inside is not None
    return perplexity(model.inside)


def _ratio(model: Diagnosed, multiple: int) -> str:
    found = model.ratio(multiple)
    assert found
    return f"{found.ratio:.3f} ({found.low:.3f} to {found.high:.3f})"


def _text(name: str) -> str:
    return (ROOT / "results" / STUDY / name).read_text(encoding="utf-8")
