"""Drawings of automata: states on a circle, so that no arrow runs through a state that is not its own.

Shape letters: S states, E arrows, P points of a curve. Places are in pixels, y upwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from lengthwise.certificates.export import arrows
from lengthwise.report.panels import Drawing
from lengthwise.report.theme import INK
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.automaton import Automaton

Floats = NDArray[np.float64]

_MOST_STATES, _MOST_ARROWS = 24, 60
"""Of an automaton that is drawn; the arrows of more cannot be followed."""
WIDTH, HEIGHT = 320, 300
_FEW = 10
"""Up to as many states, circles are large."""
_BEND = 0.16
"""How far an arrow bows, of its length."""
_POINTS = 14
_HEAD = 6.0
"""Length of an arrowhead."""
_HEAD_SHAPE = "M0,0L-2,0.8L-2,-0.8Z"
"""Its tip is its place; Vega scales by half of the root of the size."""
_NO_CLASS = "\N{EN DASH}"


@dataclass(frozen=True)
class Arrow:
    """An arrow between two states, or into the start.

    Args:
        points_P2: [P, 2] its line from end to end.
        text: its symbols.
        place: [2] where they stand.
    """

    points_P2: Floats
    text: str
    place: Floats


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
        radius = _radius(automaton.states)
        places_S2 = layout(automaton)
        drawn = _arrows(automaton, places_S2, radius)
        self._size = (2 * radius) ** 2
        self._lines = self.chart([row for number, arrow in enumerate(drawn) for row in _line(number, arrow)])
        self._heads = self.chart([_head(arrow) for arrow in drawn])
        self._labels = self.chart([_at(arrow.place) | {"text": arrow.text} for arrow in drawn if arrow.text])
        states = range(automaton.states)
        self._states = self.chart([_at(places_S2[state]) | _said(automaton, state) for state in states])

    def described(self) -> str:
        """Say the automaton in words."""
        return describe(self.title, self._automaton)

    def layers(self, hover: bool) -> list[alt.Chart]:
        """Return arrows, states and symbols; with `hover`, a state under the pointer says where its arrows lead."""
        x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, WIDTH], nice=False, zero=False))
        y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, HEIGHT], nice=False, zero=False))
        charts = (self._lines, self._heads, self._labels, self._states)
        lines, heads, labels, states = (chart.encode(x=x, y=y) for chart in charts)
        scale = alt.Scale(domain=self.kinds)
        colour = alt.Color("class:N", scale=scale, legend=None)
        labelled, other = (states.transform_filter(f"datum.class {sign} '{_NO_CLASS}'") for sign in ("!=", "=="))
        layers = [
            lines.mark_line(style="guide", interpolate="linear", aria=False).encode(detail="arrow:N", order="step:Q"),
            heads.mark_point(style="head", shape=_HEAD_SHAPE, filled=True, size=_HEAD**2, opacity=1, aria=False).encode(
                angle=alt.Angle("angle:Q", scale=None)
            ),
            labelled.mark_point(shape="circle", size=self._size, strokeWidth=2, filled=False, fillOpacity=0.16).encode(
                color=colour, fill=alt.Fill("class:N", scale=scale, legend=None)
            ),
            other.mark_point(shape="circle", size=self._size, style="guide", filled=False, strokeDash=[3, 2]),
            states.mark_text(style=INK, fontSize=11 if self._automaton.states <= _FEW else 9, aria=False).encode(
                text="class:N"
            ),
            *(labels.mark_text(style=style, fontSize=10, aria=False).encode(text="text:N") for style in ("halo", INK)),
        ]
        if not hover:
            return layers
        tooltip = [alt.Tooltip(name, type="nominal") for name in ("state", "class", "leads to")]
        probe = states.mark_point(shape="circle", size=self._size, filled=True, opacity=0, aria=False)
        return [*layers, probe.encode(tooltip=tooltip)]


def can_be_drawn(automaton: Automaton) -> bool:
    """Whether a reader could follow the arrows of an automaton."""
    count = sum(len(arrows(automaton, state)) for state in range(automaton.states))
    return automaton.states <= _MOST_STATES and count <= _MOST_ARROWS


def layout(automaton: Automaton) -> Floats:
    """Return the places of the states: on a circle, the start at its left end.

    States that are joined by arrows come to lie near each other: from the order of a breadth-first search, pairs are
    swapped as long as the squares of the distances sum up to less.

    Args:
        automaton: the automaton.

    Returns:
        [S, 2] the places.
    """
    states = automaton.states
    centre = np.array([WIDTH / 2, HEIGHT / 2])
    if states == 1:
        return centre[None]
    turn_S = np.pi - 2 * np.pi * np.arange(states) / states
    circle_S2 = np.stack([np.cos(turn_S), np.sin(turn_S)], axis=1)
    distance_SS = ((circle_S2[:, None] - circle_S2[None]) ** 2).sum(-1)
    source_E = np.repeat(np.arange(states), automaton.vocabulary)
    target_E = automaton.transitions_SA.reshape(-1)
    joined_E2 = np.unique(np.sort(np.stack([source_E, target_E], axis=1), axis=1), axis=0)
    seat_S = _seats(automaton)

    def cost() -> float:
        return float(distance_SS[seat_S[joined_E2[:, 0]], seat_S[joined_E2[:, 1]]].sum())

    best, improved = cost(), True
    while improved:
        improved = False
        for one, other in combinations([state for state in range(states) if state != automaton.start], 2):
            seat_S[[one, other]] = seat_S[[other, one]]
            # Above the rounding error of the sums, so that it ends.
            if (now := cost()) < best - 1e-9:
                best, improved = now, True
            else:
                seat_S[[one, other]] = seat_S[[other, one]]
    return centre + _circle(states) * circle_S2[seat_S]


def describe(title: str, automaton: Automaton) -> str:
    """Say an automaton in words, for who does not see it.

    Args:
        title: what it is of.
        automaton: the automaton.
    """
    said = [
        f"state {row['state']}, class {row['class']}: {row['leads to']}"
        for row in (_said(automaton, state) for state in range(automaton.states))
    ]
    return f"Automaton of {title}, start in state {automaton.start}. {'. '.join(said)}."


def symbols_in_short(symbols: list[int], vocabulary: int) -> str:
    """Return the symbols of an arrow: runs of three or more by their ends, and ``all`` where no other is left."""
    if len(symbols) == vocabulary > 2:
        return "all"
    runs: list[list[int]] = []
    for symbol in symbols:
        if runs and symbol == runs[-1][-1] + 1:
            runs[-1].append(symbol)
        else:
            runs.append([symbol])
    short = [[f"{run[0]}\N{EN DASH}{run[-1]}"] if len(run) > 2 else list(map(str, run)) for run in runs]
    return ", ".join(text for run in short for text in run)


def _seats(automaton: Automaton) -> NDArray[np.int64]:
    """Return the place of each state in a breadth-first search, those that it does not reach last."""
    order = [automaton.start]
    for state in order:
        order += [target for target in arrows(automaton, state) if target not in order]
    order += [state for state in range(automaton.states) if state not in order]
    return np.argsort(order)


def _circle(states: int) -> float:
    """Return the radius of the circle that the states stand on."""
    return 96.0 if states <= _FEW else 112.0


def _radius(states: int) -> float:
    """Return the radius of a state."""
    return 15.0 if states <= _FEW else 10.0


def _said(automaton: Automaton, state: int) -> dict[str, str]:
    label = int(automaton.outputs_S[state])
    led = [
        f"{symbols_in_short(symbols, automaton.vocabulary)} to {'itself' if target == state else target}"
        for target, symbols in arrows(automaton, state).items()
    ]
    shown = _NO_CLASS if label == IGNORE else str(label)
    return {"state": str(state), "class": shown, "leads to": "; ".join(led)}


def _arrows(automaton: Automaton, places_S2: Floats, radius: float) -> list[Arrow]:
    centre = np.array([WIDTH / 2, HEIGHT / 2])
    found = [_start_arrow(places_S2[automaton.start], radius)]
    for source in range(automaton.states):
        for target, symbols in arrows(automaton, source).items():
            text = symbols_in_short(symbols, automaton.vocabulary)
            here, there = places_S2[source], places_S2[target]
            if source != target:
                found.append(_bow(here, there, radius, text, _bend(automaton, places_S2, source, target)))
            elif automaton.states == 1:
                found.append(_loop(here, np.pi / 2, radius, text))
            else:
                outwards = float(np.arctan2(*(here - centre)[::-1]))
                # The arrow into the start comes from outside.
                found.append(_loop(here, outwards - (0.9 if source == automaton.start else 0), radius, text))
    return found


def _start_arrow(place: Floats, radius: float) -> Arrow:
    tip = place - [radius + 1, 0]
    return Arrow(np.linspace(tip - [20, 0], tip, _POINTS), "", tip)


def _bend(automaton: Automaton, places_S2: Floats, source: int, target: int) -> float:
    """Return how far an arrow bows to its right, of its length.

    Neighbours on the circle have room on both sides of them. All other arrows bow towards the middle, past the states
    between their ends, and of the two between a pair of states one does so twice as far.
    """
    here, there = places_S2[source], places_S2[target]
    side = np.array([WIDTH / 2, HEIGHT / 2]) - here
    along = there - here
    inwards = round(float(along[1] * side[0] - along[0] * side[1]), 3)
    if inwards == 0 or np.hypot(*along) <= 2.01 * _circle(automaton.states) * np.sin(np.pi / automaton.states):
        return _BEND
    twice = source > target and source in automaton.transitions_SA[target]
    return float(np.sign(inwards)) * _BEND * (2 if twice else 1)


def _bow(here: Floats, there: Floats, radius: float, text: str, bend: float) -> Arrow:
    along = there - here
    right = np.array([along[1], -along[0]])
    control = (here + there) / 2 + 2 * bend * right
    points_P2 = _bezier(np.stack([here, control, there]))
    outside = (np.hypot(*(points_P2 - here).T) > radius + 1) & (np.hypot(*(points_P2 - there).T) > radius + 1)
    middle = (here + there) / 2 + bend * right
    return Arrow(points_P2[outside], text, middle)


def _loop(here: Floats, angle: float, radius: float, text: str) -> Arrow:
    reach = 2.6 * radius + 8
    left, right = (here + reach * np.array([np.cos(angle + turn), np.sin(angle + turn)]) for turn in (0.6, -0.6))
    points_P2 = _bezier(np.stack([here, left, right, here]))
    outside = np.hypot(*(points_P2 - here).T) > radius + 1
    place = here + (0.75 * reach * np.cos(0.6) + 4) * np.array([np.cos(angle), np.sin(angle)])
    return Arrow(points_P2[outside], text, place)


def _bezier(controls: Floats) -> Floats:
    """Return a curve by repeated interpolation, so finely that its pieces can be told apart by no eye."""
    t = np.linspace(0, 1, 240)[:, None]
    points = [np.broadcast_to(control, (len(t), 2)) for control in controls]
    while len(points) > 1:
        points = [(1 - t) * one + t * other for one, other in pairwise(points)]
    return points[0]


def _line(number: int, arrow: Arrow) -> list[dict[str, Any]]:
    points_P2 = arrow.points_P2
    before_head = points_P2[np.hypot(*(points_P2 - points_P2[-1]).T) >= _HEAD - 1]
    chosen = before_head[np.linspace(0, len(before_head) - 1, _POINTS).round().astype(int)]
    return [_at(point) | {"arrow": number, "step": step} for step, point in enumerate(chosen)]


def _head(arrow: Arrow) -> dict[str, float]:
    tip = arrow.points_P2[-1]
    distance_P = np.hypot(*(arrow.points_P2 - tip).T)
    back = arrow.points_P2[int(np.flatnonzero(distance_P >= _HEAD - 1)[-1])]
    # Vega turns clockwise.
    return _at(tip) | {"angle": round(-float(np.degrees(np.arctan2(*(tip - back)[::-1]))), 1)}


def _at(place: Floats) -> dict[str, float]:
    return {"x": round(float(place[0]), 1), "y": round(float(place[1]), 1)}
