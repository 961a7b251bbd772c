"""The part of a report that is about runs on text: its figures and what they show.

T is the training context in symbols.
"""

from __future__ import annotations

from collections.abc import Sequence

from lengthwise.report import text_charts
from lengthwise.report.charts import COLUMN
from lengthwise.report.diagnosed import number
from lengthwise.report.figures import Figure
from lengthwise.report.layout import Group, Layout, arrange
from lengthwise.report.panels import Panel
from lengthwise.report.rows import TextResults
from lengthwise.report.sweeps import sweep_panel, sweeps
from lengthwise.report.text_summary import TextSummary

_WIDE = 560
_MOST_ENTRIES = 24
_SEEDS = "Line: mean over seeds; band: lowest to highest seed"
_INTERVAL = f"{_SEEDS}, or the 95 % interval of a single one."
TABLE_NOTE = (
    "Perplexity to T: over the positions 1 to T. Ratio: perplexity of the octave that ends there over that of the "
    "octave that ends at T. Means over seeds are geometric; below each stands the span from the lowest seed to the "
    "highest, or the 95 % interval of the ratio where there is one seed. 'Then': post-trained from another run."
)


def text_figures(results: TextResults, summaries: Sequence[TextSummary]) -> list[Figure]:
    """Return the figures of runs on text; those for which nothing was measured are left out.

    Args:
        results: the runs.
        summaries: of all series.
    """
    layout = arrange(results)
    drawn = {
        name: text_charts.panels(draw, results, layout)
        for name, draw in (
            ("perplexity", text_charts.perplexity_by_position),
            ("remembrance", text_charts.remembrance),
            ("state", text_charts.state_by_position),
            ("perplexity-learning", text_charts.learning_curve),
        )
    }
    figures = [
        _figure("perplexity", "Perplexity by position", _INTERVAL, text_caption(summaries), drawn["perplexity"]),
        _figure(
            "remembrance",
            "Effective remembrance",
            _INTERVAL,
            "How far the next prediction moves, from 0 to 1, when the first symbols are dropped. A healthy curve is "
            "low at first and rises only towards the end.",
            drawn["remembrance"],
        ),
        _figure(
            "state",
            "Standard deviation of the state by position",
            f"{_SEEDS}.",
            "Over all elements of the recurrent state. A curve that still rises beyond T leads to states that training "
            "never saw.",
            drawn["state"],
        ),
        *_entries(results, layout),
        *_sweeps(results, summaries),
        _figure(
            "perplexity-learning",
            "Perplexity far beyond T over that at T, as training went on",
            f"{_SEEDS}.",
            "Of the last octave that was read, against the training symbols seen.",
            drawn["perplexity-learning"],
        ),
    ]
    return [figure for figure in figures if figure.panels]


def text_caption(summaries: Sequence[TextSummary]) -> str:
    """Say what the figure of perplexity by position shows.

    Args:
        summaries: of all series in it.
    """
    if len(summaries) == 1:
        return f"{summaries[0].series} {summaries[0].verdict}: {summaries[0].reason}."
    plural = {"holds": "hold", "drifts": "drift", "fails": "fail", "undecided": "undecided"}
    verdicts = [summary.verdict for summary in summaries]
    counts = {name: verdicts.count(name) for name in plural}
    said = ", ".join(f"{count} {name if count == 1 else plural[name]}" for name, count in counts.items() if count)
    highest = max(summaries, key=lambda summary: summary.last.mean)
    return (
        f"Of {len(summaries)} series: {said}. The highest ratio of the last octave to that at T is "
        f"{number(highest.last.mean)}, of {highest.series}."
    )


def _entries(results: TextResults, layout: Layout) -> list[Figure]:
    """One figure, where the series are few enough to be looked at layer by layer."""
    if len(layout.groups) > 1:
        return []
    (group,) = layout.groups
    parts = text_charts.entries(results, group)
    if not 1 < len(parts) <= _MOST_ENTRIES:
        return []
    panels = [_entry(results, layout, group, part) for part in parts]
    return [
        Figure(
            "state-entries",
            "Standard deviation of each entry of the state by position",
            f"{_SEEDS}.",
            "One panel an entry of the recurrent state, layers in order. The axes differ from panel to panel.",
            [panel for panel in panels if panel is not None],
        )
    ]


def _entry(results: TextResults, layout: Layout, group: Group, part: str) -> Panel | None:
    return text_charts.state_by_position(results, layout, group, part)


def _sweeps(results: TextResults, summaries: Sequence[TextSummary]) -> list[Figure]:
    found = sweeps(results, summaries)
    caption = "Perplexity of the last octave that was read over that of the octave that ends at T."
    note = "Dot: mean over seeds; bar and band: lowest to highest seed, or the 95 % interval of a single one."
    return [_figure("sweep", "What a setting does far beyond T", note, caption, [sweep_panel(one) for one in found])]


def _figure(name: str, heading: str, note: str, caption: str, panels: Sequence[Panel]) -> Figure:
    return Figure(name, heading, note, caption, panels, _WIDE if len(panels) == 1 else COLUMN)
