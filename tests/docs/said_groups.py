"""Table and sentences of ``docs/groups.md`` that hold numbers, as rows and kept certificates give them."""

from collections.abc import Iterator

from measured import errors, line, rows, runs, samples

from lengthwise.tasks import get_language

PUBLISHED = {"group:S5/32": "1.2, 1.1", "group:S5/8": "57.4, 100", "group:A5/12": "60.5, 100"}
"""DeltaProduct and PD-SSM, as the authors of the second publish them: trained to 40 symbols, tested to 256."""
NEAR, FAR = 501, (1_000, 10_000, 100_000)


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    found = runs("groups")
    (steps,) = {run.settings["training"]["steps"] for run in found}
    (batch,) = {run.settings["training"]["batch_size"] for run in found}
    (longest,) = {run.settings["task"]["train"]["maximum"] for run in found}
    assert {run.head.sequences for run in found} == {steps * batch}
    yield f"{steps * batch:,} strings of at most {longest} symbols"
    yield "A string of 10 symbols has 19 labels: one for each node of its tree"
    yield "from 25.6 million strings of at most 40 symbols, tested to 256"
    far = [f"{length:,}" for length in FAR]
    yield line("word problem", "elements", "symbols", f"errors to {NEAR}", *far, "proved", "published")
    for task in sorted({run.settings["task"]["language"] for run in found}):
        yield _line(task)


def _line(task: str) -> str:
    """Return the line of one group."""
    found = [run for run in runs("groups") if run.settings["task"]["language"] == task]
    language, measured = get_language(task), rows("groups").filter(task=task)
    parts = [measured.filter(measured["length"] <= 501)] + [
        measured.filter(measured["length"].is_in([length, length + 1])) for length in FAR
    ]
    wrong = [f"{errors(part):,} of {samples(part):,}" for part in parts]
    proofs = [run.attachments["certificate"] for run in found if "certificate" in run.attachments]
    proved = sum(one.verdict == "every_length" for one in proofs)
    seeds = f"{proved} of {len(found)}"
    return line(f"`{task}`", language.classes, language.vocabulary, *wrong, seeds, PUBLISHED.get(task, "-"))
