"""Forecasts from four training contexts."""

import pytest

from lengthwise.evaluation.forecast import expected, forecast
from lengthwise.evaluation.verdict import OctaveRatio


def octaves(*ratios: float, spread: float = 0.001) -> list[OctaveRatio]:
    """Return the octaves beyond a context of 64."""
    return [OctaveRatio(64 * 2**k + 1, 128 * 2**k, one, one - spread, one + spread) for k, one in enumerate(ratios)]


@pytest.mark.parametrize(("ratio", "multiple"), [(0.99, None), (1.0, None), (1.01, 16), (1.03, 8), (1.2, 4)])
def test_the_steeper_the_rise_at_four_contexts_the_sooner_it_fails(ratio: float, multiple: int | None) -> None:
    assert expected(ratio).multiple == multiple


def test_nothing_is_said_where_it_was_measured_or_cannot_be_told() -> None:
    assert forecast(octaves(1.0), 64) is None
    assert forecast(octaves(1.0, 1.01, 1.03, 1.06, 1.2, 1.4), 64) is None
    assert forecast(octaves(1.0, 1.03, 1.12), 64) is None
    assert forecast(octaves(1.0, 1.006, spread=0.01), 64) is None


def test_a_forecast_is_of_lengths_beyond_what_was_read() -> None:
    said = forecast(octaves(1.0, 1.01), 64)
    assert said is not None
    assert said.sentence == "expected to rise above 1.1 times at about 16 T"
    said = forecast(octaves(1.0, 1.0, 1.0), 64)
    assert said is not None
    assert said.sentence == "expected to stay below 1.1 times to 64 T"
