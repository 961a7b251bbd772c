"""Sentences of ``docs/evaluation.md`` that hold numbers, as settings, counts of strings and the code give them."""

from collections.abc import Iterator
from statistics import fmean

from measured import PUBLISHED, TRAINED

from lengthwise.tasks import get_language
from lengthwise.tasks.lengths import LONGEST, RegularTestLengths, TrainLengths


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    test = RegularTestLengths()
    assert (TrainLengths().maximum, test.longest) == (TRAINED, PUBLISHED)
    yield f"from 1 to `longest`, {test.longest}: `samples` ({test.samples}) fresh strings each"
    *far, farthest = (f"{length:,}" for length in test.long_lengths)
    yield f"{', '.join(far)} and {farthest}, or what `long_lengths` says, up to {LONGEST:,}"
    first = TRAINED + 1
    yield (
        f"{first} to {test.longest}, which is all that lies beyond training to {TRAINED}; and {first + 1} to "
        f"{test.longest}, which is what the paper scores ({first} is skipped there"
    )
    dyck = {f"{100 * always_rejecting(f'dyck_{depth}', test.longest):.0f}" for depth in (2, 3, 4, 6, 8, 12)}
    tomita = always_rejecting("tomita_5", test.longest)
    yield f"is right on about {', '.join(dyck)} % of the strings over all lengths, on {100 * tomita:.1f} % of Tomita 5"
    two, after, last = test.near_misses[0], test.near_misses[1], test.near_misses[-1]
    assert test.near_misses == tuple(range(two, last + 1, after - two))
    yield f"at `task.test.near_misses`, {two}, {after}, ... {last}"
    yield (
        f"all lengths up to {test.longest} are read off the prefixes of one set of {test.samples} strings: the "
        f"blocks of the trees"
    )
    yield f"Each length is still measured on {test.samples} fair strings"
    yield "Tables give 95 % Wilson score intervals of accuracies"
    yield "a row has Student's 95 % interval of their mean"
    yield "The accuracy of a string over its prefixes lies between 0 and 1"


def always_rejecting(name: str, longest: int) -> float:
    """Return how often class 0 is right on standard strings: half accepted ones, and half of all."""
    language = get_language(name)
    lengths = list[float]()
    for length in range(1, longest + 1, 7):
        rejected, accepted = (float(count) for count in language.class_counts(length))
        lengths.append(0.5 * rejected / (rejected + accepted) if accepted else 1.0)
    return fmean(lengths)
