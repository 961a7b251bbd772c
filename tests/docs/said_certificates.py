"""Sentences and tables of ``docs/certificates.md`` that hold numbers, as rows and kept certificates give them."""

from collections.abc import Iterator

import polars as pl
from measured import STANDARD, cells, errors, exact_mean, rows, runs, samples

from lengthwise.certificates.certificate import Certificate
from lengthwise.report.words import percent


def sentences() -> Iterator[str]:
    """Yield what the page says."""
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
    yield f"{samples(lists):,} expressions of up to 900 tokens"
    brackets = [one for one in nested if one.task == "brackets"]
    assert {one.verdict for one in (*nested, *medians)} == {"every_length_snapped"}
    first, second, third = (one.monoid for one in brackets)
    yield f"{first}, {second} and {third} elements"
    measured = rows("proofs").filter(task="brackets", metric="accuracy")
    assert not errors(measured)
    yield f"in {samples(measured):,} strings of up to 10,000 symbols"


def certificates(folder: str) -> list[Certificate]:
    """Return the certificates that a folder keeps."""
    return [run.attachments["certificate"] for run in runs(folder) if "certificate" in run.attachments]
