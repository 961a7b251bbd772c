"""Sentences and tables of ``docs/certificates.md`` that hold numbers, as rows and kept certificates give them."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from measured import STANDARD, cells, errors, exact_mean, rows, runs, samples

from lengthwise.certificates.certificate import Certificate
from lengthwise.certificates.export import REGEX_STATES
from lengthwise.certificates.finding import PROVED
from lengthwise.certificates.leakage import PATHS_LIMIT
from lengthwise.certificates.limits import ELEMENTS
from lengthwise.certificates.packing import MOST_BYTES, write_table
from lengthwise.certificates.rounding import PATH_SYMBOLS
from lengthwise.certificates.stochastic import SATURATION, STATES
from lengthwise.errors import InputError
from lengthwise.models.tree.stochastic import StochasticOperatorConfig
from lengthwise.report.words import percent


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    yield from _limits()
    yield from _proved()
    deep = [cells("fast")["unit", task].beyond for task in ("dyck_6", "dyck_8")]
    of_seeds = [part.filter(seed=seed) for part in deep for seed in range(3)]
    wrong, (strings,) = sorted(map(errors, of_seeds)), set(map(samples, of_seeds))
    yield f"with {wrong[0]} to {wrong[-1]} errors in {strings:,}"
    soft = rows("soft")
    assert not errors(soft.filter(STANDARD, pl.col("length") > 40, pl.col("length") <= 10_000))
    (long,) = {samples(soft.filter(STANDARD, length=length)) for length in (1_000, 10_000)}
    yield f"none in {long} each at 1,000 and 10,000"
    right = exact_mean(soft.filter(STANDARD, length=100_000))
    yield f"no error in {samples(soft.filter(STANDARD, pl.col('length').is_between(41, 500))):,} strings from 41 to 500"
    (found,) = certificates("soft")
    yield f"{percent(right, 0)} % right at 100,000, proved right to length {found.length}"
    yield f"wrong on a string of {len(found.counterexample.symbols if found.counterexample else ()):,} symbols"
    nested, medians = certificates("proofs"), certificates("listops")
    (without,) = (one for one in nested if one.task == "listops")
    yield f"snapped to {without.monoid} elements that the task"
    yield f"{without.training.sequences:,} strings with at most 5 arguments"
    (elements,) = {one.monoid for one in medians}
    yield f"at most 4 arguments of a median, {len(medians)} seeds, snapped to {elements:,} elements"
    assert all("of at most 4 arguments" in one.statement for one in medians)
    lists = rows("proofs").filter(recipe="listops/nested_no_median")
    assert not errors(lists)
    tokens, levels, most = (lists[axis].max() for axis in ("length", "depth", "arguments"))
    yield f"{samples(lists):,} expressions of up to {tokens} tokens, {levels} levels and {most} arguments"
    brackets = [one for one in nested if one.task == "brackets"]
    assert {one.verdict for one in (*nested, *medians)} == {"every_length_snapped"}
    first, second, third = (one.monoid for one in brackets)
    yield f"{first}, {second} and {third} elements"
    measured = rows("proofs").filter(task="brackets", metric="accuracy")
    assert not errors(measured)
    yield f"in {samples(measured):,} strings of up to 10,000 symbols"


def _limits() -> Iterator[str]:
    wrong = InputError.exit_code
    yield "The command ends with 0 when every run was proved right"
    yield "with 1 when one is wrong or not proved"
    yield f"and with {wrong} when it cannot be used"
    yield f"is named, and the command ends with {wrong}; it ends with 1 where one was kept without its proof"
    yield f"is refused, and the command ends with {wrong}."
    yield f"Beyond {STATES:,} states the search ends"
    yield f"ahead by more than {SATURATION:g}, the softmax"
    yield f"(Above {PATHS_LIMIT} cells every symbol counts as the leakiest.)"
    yield f"followed for {PATH_SYMBOLS:,} symbols"
    yield f"({StochasticOperatorConfig().round_from} by default) makes rounding lossless"
    yield f"twenty times as many as the task has values, and {ELEMENTS:,}; `--elements`)"
    # One more is packed.
    assert isinstance(write_table(np.zeros(256, int)), list)
    assert isinstance(write_table(np.zeros(257, int)), str)
    yield "Tables of more than 256 numbers are packed"
    yield f"Reading one takes at most {MOST_BYTES >> 20} MiB"
    yield f"(up to {REGEX_STATES} states, one class)"


def _proved() -> Iterator[str]:
    units = [*certificates("fast"), *certificates("matrix")]
    proved = [one for one in units if one.verdict in PROVED]
    without = [one for one in proved if not one.has_proof()]
    kept = len(proved) - len(without)
    yield f"Of the {len(proved)} units that are called proved here, {kept} are kept with their proof"
    first, last = sorted(one.training.seed for one in without)
    yield f"The units of modular arithmetic with the MLP, seeds {first} and {last}, were kept before"
    assert {one.task for one in without} == {"modular_arithmetic"}
    of_training = [run.settings["task"]["train"]["maximum"] for run in runs("fast", "matrix")]
    assert {one.training.seed for one in proved} == {0, 1, 2}
    yield f"Trained on strings of at most {max(of_training)} symbols, seeds 0, 1 and 2"
    wrong = [one for one in units if one.verdict == "wrong"]
    assert sorted(one.task for one in wrong) == ["dyck_6"] * 3 + ["dyck_8"] * 3, "six"
    lengths = sorted({len(one.counterexample.symbols) for one in wrong if one.counterexample})
    yield f"are wrong, on strings of {' or '.join(map(str, lengths))} symbols"
    brackets = [run for run in runs("proofs") if run.head.trained_on == "brackets"]
    seconds, (strings,) = sorted(run.seconds for run in brackets), {run.head.sequences for run in brackets}
    (longest,) = {run.settings["task"]["train"]["maximum"] for run in brackets}
    yield (
        f"Trained in {seconds[0]:.0f} to {seconds[-1]:.0f} core-seconds on {strings:,} strings "
        f"of at most {longest} symbols with one label each"
    )
    noise = [{run.settings["model"]["noise"] for run in runs(folder)} for folder in ("proofs", "listops")]
    (few,), (more,) = noise
    yield f"(`noise: {few}`, with medians {more})"


def certificates(folder: str) -> list[Certificate]:
    """Return the certificates that a folder keeps."""
    return [run.attachments["certificate"] for run in runs(folder) if "certificate" in run.attachments]
