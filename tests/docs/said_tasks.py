"""What guessing gets at the tasks of ``docs/tasks.md``, measured or by the rows of published files."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from measured import table

from lengthwise.evaluation.floors import Floors
from lengthwise.tasks import TASKS
from lengthwise.tasks.babilong import BabiLong
from lengthwise.tasks.base import Point
from lengthwise.tasks.listops import ListOps
from lengthwise.tasks.signals import Signals

GUESSES = {
    "majority": "| `listops`, 40 tokens | the most frequent digit",
    "first_symbol": "| | the most frequent digit for the first operation",
    "top_digits": "| | the first operation, of the digits at the top alone",
}


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    task = ListOps(lengths=(40,), test_depths=(), samples=1_000)
    rows = list(Floors().measure(None, task, seed=0))  # pyright: ignore[reportArgumentType]
    for guess, start in GUESSES.items():
        few, many = (
            next(row.value for row in rows if row.metric == f"floor_{guess}" and row.axes["arguments"] == arguments)
            for arguments in (5, 15)
        )
        yield f"{start} (`floor_{guess}`) | {_share(few)} with at most 5 arguments, {_share(many)} with 15 |"
    for name, of in (("copying", "symbols"), ("selective_copying", "symbols"), ("mqar", "values")):
        settings = TASKS.load(name)()
        assert settings.outputs.size == getattr(settings, of)
        yield f"| `{name}` | a {'value' if of == 'values' else 'letter'} | 1 / `{of}` |"
    assert TASKS.load("passkey")().outputs.size == 10
    yield "| `passkey` | a digit | .1 |"
    story = BabiLong()
    yield f"| `babilong` | a place | 1/{len(story.answers)} |"
    one, two, five = (_share(named_last(story, facts)) for facts in (1, 2, 5))
    assert one == "1.00", "one fact names the answer"
    yield f"| | the place named last | 1 of 1 fact, {two} of 2, {five} of 5 |"
    frames_BTF = Signals().sample(np.random.default_rng(0), 1_000, Point({"length": 64})).inputs
    assert abs(float(np.mean(np.square(frames_BTF))) - 1) < 0.05
    yield "| `signals` | the mean | squared error 1 |"
    found = table("listops").rows.filter(pl.col("metric") == "floor_top_digits", pl.col("file").is_not_null())
    weighed = (pl.col("value") * pl.col("samples")).sum() / pl.col("samples").sum()
    shares = found.filter(recipe="listops/published", seed=0).group_by("file").agg(weighed)["value"]
    yield f"where most are short, the third is {_share(shares.min())} to {_share(shares.max())}."


def named_last(task: BabiLong, facts: int, rows: int = 4_000) -> float:
    """Return how often the place that a story names last is the answer."""
    batch = task.sample(np.random.default_rng(0), rows, Point({"length": 64, "facts": facts}))
    numbers = {task._numbers[place]: answer for answer, place in enumerate(task.answers)}
    named_BT = np.isin(batch.inputs, list(numbers))
    last_B = named_BT.shape[1] - 1 - named_BT[:, ::-1].argmax(1)
    guess_B = np.vectorize(numbers.get)(batch.inputs[np.arange(rows), last_B])
    return float(np.mean(guess_B == batch.targets[:, -1]))


def _share(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")
