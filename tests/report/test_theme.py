import itertools
from pathlib import Path

import numpy as np
import pytest
import vl_convert
from numpy.typing import NDArray
from run_folders import read, write_run

from lengthwise.report.parts import Picture
from lengthwise.report.sections.accuracy import Accuracy
from lengthwise.report.sections.grid import build_grid
from lengthwise.report.theme import BLANK, DARK, LIGHT, Theme

THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
SEEN = {
    "all hues": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""What is left of a colour: Machado, Oliveira and Fernandes 2009, on linear RGB."""
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.119192, 0.9503041]])


def linear(colour: str) -> NDArray[np.float64]:
    values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(XYZ[1] @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def as_lab(light: NDArray[np.float64]) -> NDArray[np.float64]:
    xyz = XYZ @ np.clip(light, 0, 1) / np.array([0.95047, 1, 1.08883])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@THEMES
def test_all_that_is_read_stands_out_from_the_ground(theme: Theme) -> None:
    for colour in (theme.ink, theme.muted, *theme.series):
        assert contrast(colour, theme.ground) >= 4.5, colour


@THEMES
@pytest.mark.parametrize("kind", SEEN)
def test_series_differ_for_all_readers(theme: Theme, kind: str) -> None:
    seen = {colour: as_lab(np.array(SEEN[kind]) @ linear(colour)) for colour in theme.series}
    for one, other in itertools.combinations(theme.series, 2):
        assert np.linalg.norm(seen[one] - seen[other]) >= 12, (one, other)


def test_a_drawing_is_painted_as_if_it_were_drawn_in_each_theme(tmp_path: Path) -> None:
    assert len(set(BLANK.colours())) == len(BLANK.colours()) == len(LIGHT.colours())
    for number in range(7):
        write_run(tmp_path, recipe=f"kind{number}/parity", wrong={("standard", 50): 100 * number})
    results = read(tmp_path)
    for piece in (build_grid(results), *Accuracy().draw(results).pieces):
        if isinstance(piece, Picture):
            blank = vl_convert.vegalite_to_svg(piece.specification(BLANK))
            for theme in (LIGHT, DARK):
                assert theme.paint(blank) == vl_convert.vegalite_to_svg(piece.specification(theme))
