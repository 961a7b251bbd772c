"""Drawings of automata: states on a circle, so that no arrow runs through a state that is not its own.

Shape letters: S states. Places are in pixels, y upwards; inside this file they are complex numbers.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from lengthwise.certificates.export import arrows
from lengthwise.report.panels import Drawing
from lengthwise.report.theme import INK
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.automaton import Automaton
from lengthwise.tasks.regular.search import Search

Places = NDArray[np.complexfloating[Any, Any]]

_MOST_STATES, _MOST_ARROWS = 24, 60
"""Of an automaton that is drawn; the arrows of more cannot be followed."""
WIDTH, HEIGHT = 320, 300
_CENTRE = complex(WIDTH / 2, HEIGHT / 2)
_FEW = 10
"""Up to as many states, circles are large."""
_BEND = 0.16
"""How far an arrow bows, of its length."""
_HEAD = 6.0
"""Length of an arrowhead."""
_HEAD_SHAPE = "M0,0L-2,0.8L-2,-0.8Z"
"""Its tip is its place; Vega scales by half of the root of the size."""
_PLACES = np.array([1, 2, 4, 6, 7]) / 8
_WEIGHTS = np.stack(
    [(1 - _PLACES) ** 3, 3 * _PLACES * (1 - _PLACES) ** 2, 3 * _PLACES**2 * (1 - _PLACES), _PLACES**3], 1
)
"""Of the controls of a Bezier curve at these fractions of it."""
_NO_CLASS = "\N{EN DASH}"


class AutomatonPanel(Drawing):
    """An automaton as a panel of a figure.

    Args:
        title: its heading.
        automaton: one that `can_be_drawn`.
        classes: the number of classes of all panels of the figure, which share their colours.
    """

    def __init__(self, title: str, automaton: Automaton, classes: int) -> None:
        super().__init__(title, [str(label) for label in range(classes)], height=HEIGHT)
        self.place = {"width": WIDTH, "padding": 0, "autosize": "none"}
        self._automaton = automaton
        few = automaton.states <= _FEW
        self._radius, self._font = (15.0, 11) if few else (10.0, 9)
        places_S = layout(automaton) @ [1, 1j]
        self._rows: dict[str, list[dict[str, Any]]] = {"lines": [], "heads": [], "labels": []}
        self._add_arrow("", places_S[automaton.start] - np.array([2, 1, 1, 0]) * (self._radius + 11))
        for source, target, text in _named_arrows(automaton):
            self._add_arrow(text, _controls(automaton, places_S, source, target, self._radius))
        states = [_at(place) | _said(automaton, state) for state, place in enumerate(places_S)]
        self._charts = [self.chart(rows) for rows in (*self._rows.values(), states)]

    def described(self) -> str:
        """Say the automaton in words, for who does not see it."""
        rows = [_said(self._automaton, state) for state in range(self._automaton.states)]
        states = [f"state {row['state']}, class {row['class']}: {row['leads to']}" for row in rows]
        return f"Automaton of {self.title}, start in state {self._automaton.start}. {'. '.join(states)}."

    def layers(self) -> list[alt.Chart]:
        """Return arrows, states and symbols; a state under the pointer says where its arrows lead."""
        x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, WIDTH], nice=False, zero=False))
        y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, HEIGHT], nice=False, zero=False))
        lines, heads, labels, states = (chart.encode(x=x, y=y) for chart in self._charts)
        circle: dict[str, Any] = {"shape": "circle", "size": (2 * self._radius) ** 2}
        scale = alt.Scale(domain=self.kinds)
        colour = alt.Color("class:N", scale=scale, legend=None)
        labelled, other = (states.transform_filter(f"datum.class {sign} '{_NO_CLASS}'") for sign in ("!=", "=="))
        tooltip = [alt.Tooltip(name, type="nominal") for name in ("state", "class", "leads to")]
        return [
            lines.mark_line(style="guide", interpolate="natural", aria=False).encode(
                detail=alt.Detail("arrow:N"), order=alt.Order("step:Q")
            ),
            heads.mark_point(style="head", shape=_HEAD_SHAPE, filled=True, size=_HEAD**2, opacity=1, aria=False).encode(
                angle=alt.Angle("angle:Q", scale=None)
            ),
            labelled.mark_point(**circle, strokeWidth=2, filled=False, fillOpacity=0.16).encode(
                color=colour, fill=alt.Fill("class:N", scale=scale, legend=None)
            ),
            other.mark_point(**circle, style="guide", filled=False, strokeDash=[3, 2]),
            states.mark_text(style=INK, fontSize=self._font, aria=False).encode(text=alt.Text("class:N")),
            *(
                labels.mark_text(style=style, fontSize=10, aria=False).encode(text=alt.Text("text:N"))
                for style in ("halo", INK)
            ),
            states.mark_point(**circle, filled=True, opacity=0, aria=False).encode(tooltip=tooltip),
        ]

    def _add_arrow(self, text: str, controls_4: Places) -> None:
        """Add an arrow along a Bezier curve, from where it leaves a state to where it touches the next one."""
        here, there = controls_4[[0, -1]]
        leaving, *inner, arriving = _WEIGHTS @ controls_4
        aside, back = _unit(leaving - here), _unit(arriving - there)
        tip = there + (self._radius + 1) * back
        outside = [one for one in inner if min(abs(one - here), abs(one - there)) > self._radius + _HEAD]
        points = [here + (self._radius + 1) * aside, *outside, tip + (_HEAD - 1) * back]
        number = len(self._rows["heads"])
        self._rows["lines"] += [_at(point) | {"arrow": number, "step": step} for step, point in enumerate(points)]
        # Vega turns clockwise.
        self._rows["heads"].append(_at(tip) | {"angle": round(float(np.angle(-back.conjugate(), deg=True)), 1)})
        if text:
            # Beside a loop, on any other arrow.
            self._rows["labels"].append(
                _at(inner[1] + (4 * _unit(inner[1] - here) if here == there else 0)) | {"text": text}
            )


def can_be_drawn(automaton: Automaton) -> bool:
    """Whether a reader could follow the arrows of an automaton."""
    return automaton.states <= _MOST_STATES and len(_named_arrows(automaton)) <= _MOST_ARROWS


def layout(automaton: Automaton) -> NDArray[np.floating[Any]]:
    """Return the places [S, 2] of the states: on a circle, the start at its left end.

    States that are joined by arrows come to lie near each other: from the order of a breadth-first search, pairs are
    swapped as long as the squares of the distances sum up to less.
    """
    states = automaton.states
    if states == 1:
        return np.array([[_CENTRE.real, _CENTRE.imag]])
    # It takes longer to import than an automaton to draw, and few pages have one.
    from scipy.optimize import quadratic_assignment

    circle_S = -np.exp(-2j * np.pi * np.arange(states) / states)
    # Whole numbers: sums that rounding makes smaller would be swapped for without end.
    distance_SS = (np.abs(circle_S[:, None] - circle_S) ** 2 * 1e6).round().astype(int)
    joined_SS = np.zeros((states, states), int)
    joined_SS[np.arange(states)[:, None], automaton.transitions_SA] = 1
    order = [*Search(automaton.start, automaton.transitions_SA.tolist().__getitem__, states)]
    options = {
        "partial_match": [[automaton.start, 0]],
        "partial_guess": np.stack([np.arange(states), np.argsort(order)], 1),
        "rng": np.random.default_rng(0),
    }
    seats_S = quadratic_assignment(joined_SS | joined_SS.T, distance_SS, "2opt", options).col_ind
    places_S = _CENTRE + _ring(states) * circle_S[seats_S]
    return np.stack([places_S.real, places_S.imag], 1)


def symbols_in_short(symbols: list[int], vocabulary: int) -> str:
    """Return the symbols of an arrow: runs of three or more by their ends, and ``all`` where no other is left."""
    if len(symbols) == vocabulary > 2:
        return "all"
    steps = groupby(enumerate(symbols), lambda pair: pair[1] - pair[0])
    runs = [[symbol for _, symbol in run] for _, run in steps]
    short = [[f"{run[0]}\N{EN DASH}{run[-1]}"] if len(run) > 2 else list(map(str, run)) for run in runs]
    return ", ".join(text for run in short for text in run)


def _ring(states: int) -> float:
    """Return the radius of the circle that the states stand on."""
    return 96.0 if states <= _FEW else 112.0


def _named_arrows(automaton: Automaton) -> list[tuple[int, int, str]]:
    """Return source, target and symbols of each arrow."""
    return [
        (source, target, symbols_in_short(symbols, automaton.vocabulary))
        for source in range(automaton.states)
        for target, symbols in arrows(automaton, source).items()
    ]


def _said(automaton: Automaton, state: int) -> dict[str, str]:
    label = int(automaton.outputs_S[state])
    led = [
        f"{text} to {'itself' if target == state else target}"
        for source, target, text in _named_arrows(automaton)
        if source == state
    ]
    shown = _NO_CLASS if label == IGNORE else str(label)
    return {"state": str(state), "class": shown, "leads to": "; ".join(led)}


def _controls(automaton: Automaton, places_S: Places, source: int, target: int, radius: float) -> Places:
    """Return the four controls of the Bezier curve of an arrow.

    Neighbours on the circle have room on both sides of them, and arrows between them bow to their right. All others
    bow towards the middle, past the states between their ends, one of two between a pair of states twice as far.
    """
    here, there = places_S[source], places_S[target]
    along, inwards = there - here, _CENTRE - here
    if source == target:
        # Away from the middle; the arrow into the start comes from outside.
        outwards = -_unit(inwards) * np.exp(-0.9j * (source == automaton.start)) if inwards else 1j
        return here + (2.6 * radius + 8) * outwards * np.array([0, np.exp(0.6j), np.exp(-0.6j), 0])
    bend, side = _BEND, round(float((inwards * along.conjugate()).imag), 3)
    if side and abs(along) > 2.01 * _ring(automaton.states) * np.sin(np.pi / automaton.states):
        twice = source > target and source in automaton.transitions_SA[target]
        bend *= -np.sign(side) * (2 if twice else 1)
    turn = 4 / 3 * bend * -1j
    return here + along * np.array([0, 1 / 3 + turn, 2 / 3 + turn, 1])


def _unit(vector: complex) -> complex:
    return vector / abs(vector)


def _at(place: complex) -> dict[str, float]:
    return {"x": round(float(place.real), 1), "y": round(float(place.imag), 1)}
