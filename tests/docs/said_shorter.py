"""Sentences of ten pages that hold few numbers: defaults, limits of the code, records."""

from array import array
from collections.abc import Iterator

import torch
from measured import PUBLISHED, ROOT, TRAINED, in_program, line, record

from lengthwise.certificates.algebra import STATES
from lengthwise.certificates.learning import EXHAUSTIVE
from lengthwise.certificates.limits import USUAL
from lengthwise.errors import InputError
from lengthwise.evaluation.contract import TOLERANCES
from lengthwise.evaluation.serving import HALF
from lengthwise.interventions import INTERVENTIONS
from lengthwise.interventions.passing import StatePassingConfig
from lengthwise.report.diagnosed import MULTIPLES
from lengthwise.report.sections.grid import STEPS
from lengthwise.report.significance import LEVEL, flips_p
from lengthwise.runs.recipe import load_recipe
from lengthwise.tasks import LANGUAGES, get_language
from lengthwise.tasks.corpus import TextConfig
from lengthwise.tasks.splitting import IN_MEMORY
from lengthwise.tasks.tokenizer import load_tokenizer

SCORED = f"{TRAINED + 2} to {PUBLISHED}"
"""The lengths that the publication scores."""
DEMO = sorted((ROOT / "recipes" / "demo").glob("[!.]*[!p].yaml"))
"""Recipes of the demonstration."""


def algebra() -> Iterator[str]:
    """Yield what the page on certificates from algebras says."""
    yield "## The algebra of a unit"
    yield "1. **The language.** What the unit says"
    yield f"on all strings of each length of which there are at most {EXHAUSTIVE:,}, and on those"
    yield f"Learning ends at {STATES} states. 2. **The elements.**"
    yield f"There may be {USUAL.elements:,}. 3. **The operator.**"
    yield f"With more than {USUAL.products:,} products, one whose nearest vector"
    automaton = get_language("prefix_4_4").automaton
    elements = automaton.transition_monoid().size - 1
    assert USUAL.elements > elements
    yield f"A unit of P(4,4), with {automaton.states} states and {elements} elements, closes"
    yield f"asks any model about strings, {USUAL.queries:,} at most"


def interventions() -> Iterator[str]:
    """Yield what the page on interventions says."""
    assert len(list(INTERVENTIONS)) == 6, "six"
    yield "| N(0, sigma^2) for every element |"
    yield "| N(mu, sigma^2), fitted to the final states seen in training, or once to those after filler |"
    chance = StatePassingConfig().zero_probability
    yield f"each row starts from the initial state with probability {chance} (`zero_probability`)"
    assert 1 / chance == 10, "ten contexts"
    yield f"A chance p of starting anew makes states 1/p steps old at most on average: at {chance}, ten contexts"
    yield "`spans: [2, 64]` cuts rows out of sequences of 2 to 64 training lengths, each octave alike"
    yield "`after: 16` is fitted once, to the states after 16 training lengths of filler"
    yield "one mean and one standard deviation for each head (dimension 1)"


def reports() -> Iterator[str]:
    """Yield what the page on reports says."""
    least = {pairs: flips_p([1.0 + 0.1 * pair for pair in range(pairs)]) for pairs in (3, 5, 6)}
    assert all(p == 2 / 2**pairs for pairs, p in least.items())
    assert least[5] > LEVEL > least[6], "three seeds, and five pairs"
    yield "Of k pairs no p is below 2 / 2^k"
    yield f"(`task.test.longest: 0`), the first is over its single lengths up to {PUBLISHED}."
    yield "Rounded down: 100.0 only where no string was misclassified"
    assert (len(STEPS) + 1, STEPS[-1]) == (8, 1), "eight"
    yield f"Eight steps of colour, from below {100 * STEPS[0]:.0f} to *no error*"
    (apart,) = in_program("src/lengthwise/report/sections/published.py", r"_NEAR = (\d+)\.0")
    yield f"and marks gaps of more than {apart} points"
    (plain,) = in_program("src/lengthwise/certificates/product.py", r"_PLAIN = (\d+)")
    yield f"Beyond {plain} symbols repetitions are counted"
    yield f"the report names it and ends with {InputError.exit_code}"
    states, arrows = in_program("src/lengthwise/certificates/automaton_drawing.py", r"_ARROWS = (\d+), (\d+)")
    yield f"Automata of more than {states} states or {arrows} arrows are named only"
    yield f"Wilson intervals, lengths {SCORED} as in the publication"
    (rows,) = in_program("src/lengthwise/report/templates/table.html.j2", r"\|length > (\d+) and")
    yield f"It is folded where it is longer than {rows} rows"


def index() -> Iterator[str]:
    """Yield what the first page says."""
    lengths = {max(load_recipe(f"demo/{path.stem}").settings()["task"]["test"]["long_lengths"]) for path in DEMO}
    (farthest,) = lengths
    yield f"evaluates all to length {farthest:,}, and writes"
    yield f"| {SCORED}: {TRAINED + 1} is skipped | both {TRAINED + 1} to {PUBLISHED} and {SCORED} |"


def text() -> Iterator[str]:
    """Yield what the page on text says."""
    yield "a number from 0 where the first row is no header"
    yield f"by the largest document and by {sum(array(kind).itemsize for kind in 'dqq')} bytes for each"
    yield f"Symbols of more than {IN_MEMORY >> 20} MiB lie in a file"
    settings = TextConfig()
    tokenizer = load_tokenizer(settings.tokenizer, settings.separator)
    yield f"has {tokenizer.vocabulary} symbols: the bytes, and {tokenizer.separator} as the separator"
    yield "Each document gets a number in [0, 1) from a hash of the seed and its name"


def sweeps() -> Iterator[str]:
    """Yield what the page on sweeps says."""
    (retries,) = in_program("src/lengthwise/cli/sweep.py", r"retries: Annotated\[.*\] = (\d+),")
    yield f"is tried again, after all others; {retries} by default"
    yield "with exit code 1; the next call tries them again"
    (hours,) = in_program("src/lengthwise/runs/engines/slurm.py", r"_MINUTES = (\d+) \* 60")
    yield f"without them a job may take {hours} hours"
    times = record("sweep")["times the throughput of one worker"]
    yield f"Two workers on two cores finish {times:.2f} times as many runs a second as one"


def glossary() -> Iterator[str]:
    """Yield what the glossary says."""
    assert 16 in MULTIPLES
    yield "ratio at 16 T"
    yield "of positions that ends at 16 T, divided by that of the octave that ends at T |"


def parts() -> Iterator[str]:
    """Yield what the page on the parts says."""
    yield f"one of {len(list(LANGUAGES))} regular languages, a language model"


def language_reports() -> Iterator[str]:
    """Yield what the page on reports of language models says."""
    (before,) = in_program("src/lengthwise/report/sections/by_position.py", r"_BEFORE = (\d+)")
    yield f"perplexity against position, both logarithmic, from T/{before} on"
    yield "A single seed has the 95 % interval over its stretches of text instead"
    yield "over the positions 1 to T, every position with the same weight"
    yield "over the positions T/2 + 1 to T |"
    yield f"| ratio at {', '.join(f'{multiple} T' for multiple in MULTIPLES)} |"
    yield "those of all octaves hold together with 95 %"


def state() -> Iterator[str]:
    """Yield what the page on states says."""
    single, double = (f"{TOLERANCES[dtype]:.0e}".replace("e-0", "e-") for dtype in (torch.float32, torch.float64))
    yield f"relative to the largest logit, within {single} in float32 and {double} in float64:"
    assert HALF == 0.1, "a tenth"
    (sizes,) = in_program("src/lengthwise/evaluation/serving.py", r"sizes = \((\d, \d, \d)\)")
    first, second, third = sizes.split(", ")
    yield f"chunks of {first}, {second} and {third} tokens"
    yield "In bfloat16 the allowed difference is a tenth of the L2 norm of the logits"
    yield "Exit code 1 says that a clause is broken"
    found = record("generation")
    settings, ratios = found["sizes"], found["ratios"]
    yield f"{settings['tokens']:,} tokens drawn one at a time"
    yield f"width {settings['width']}, {settings['layers']} layers, one thread"
    for name, shown in {"lstm": "LSTM", "mamba2": "Mamba-2", "gla": "GLA", "ldru": "log-depth unit"}.items():
        time, memory, each = (
            next(value for row, value in ratios.items() if row.startswith(f"{name}: {what}"))
            for what in ("time a token", "resident memory", "milliseconds")
        )
        yield line(shown, f"{time:.3f}", f"{memory:.3f}", f"{each:.2f}")
