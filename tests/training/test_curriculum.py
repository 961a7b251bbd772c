import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lengthwise.tasks.base import Point
from lengthwise.tasks.lengths import TrainLengths
from lengthwise.training.config import TrainingConfig
from lengthwise.training.curriculum import Curriculum, Growing, LogUniform, Uniform

KINDS = (Uniform, LogUniform, Growing)
FALSE_ALARM_QUANTILE = 4.9
"""The normal quantile of one false alarm in a million, both sides."""


def points(minimum: int, maximum: int) -> list[Point]:
    return [Point({"length": length}) for length in range(minimum, maximum + 1)]


def draw(curriculum: Curriculum, rng: np.random.Generator, progress: float, minimum: int, maximum: int) -> int:
    length = curriculum.draw(rng, progress, points(minimum, maximum)).length
    assert length is not None
    return length


def draws(curriculum: Curriculum, progress: float, count: int, minimum: int, maximum: int) -> list[int]:
    rng, those = np.random.default_rng(0), points(minimum, maximum)
    return [curriculum.draw(rng, progress, those).length or 0 for _ in range(count)]


def assert_share(found: int, expected: float, count: int) -> None:
    assert abs(found - expected * count) < FALSE_ALARM_QUANTILE * math.sqrt(count * expected * (1 - expected))


@given(
    kind=st.sampled_from(KINDS),
    bounds=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    progress=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_lengths_stay_in_their_bounds(
    kind: type[Curriculum], bounds: tuple[int, int], progress: float, seed: int
) -> None:
    low, high = sorted(bounds)
    length = draw(kind(), np.random.default_rng(seed), progress, low, high)
    assert low <= length <= high
    assert length == draw(kind(), np.random.default_rng(seed), progress, low, high)


@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_uniform_lengths_are_uniform_all_along(progress: float) -> None:
    found = draws(Uniform(), progress, 10_000, 3, 12)
    for length in range(3, 13):
        assert_share(found.count(length), 0.1, 10_000)


def test_log_uniform_lengths_hit_every_octave_alike() -> None:
    found = draws(LogUniform(), 0.5, 12_000, 1, 63)
    for octave in range(6):
        inside = sum(2**octave <= length < 2 ** (octave + 1) for length in found)
        assert_share(inside, 1 / 6, 12_000)


def test_growing_lengths_are_uniform_up_to_a_bound_that_grows() -> None:
    growing = Growing(until=0.5)
    for progress, bound in ((0.0, 1), (0.125, 11), (0.25, 21), (0.5, 41), (1.0, 41)):
        found = draws(growing, progress, 4000, 1, 41)
        assert (min(found), max(found)) == (1, bound)
        if bound > 1:
            assert_share(found.count(bound), 1 / bound, 4000)


def test_points_without_a_length_are_drawn_by_their_place() -> None:
    splits = [Point({"split": name}) for name in "abcd"]
    for kind in KINDS:
        rng = np.random.default_rng(0)
        found = {str(kind().draw(rng, 1.0, splits).axes["split"]) for _ in range(200)}
        assert found == set("abcd"), kind


def test_bounds_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ValidationError, match="minimum 5 exceeds maximum 4"):
        TrainLengths(minimum=5, maximum=4)


def test_settings_choose_the_curriculum_by_name() -> None:
    config = TrainingConfig.model_validate({"curriculum": {"name": "growing", "until": 0.25}})
    assert config.curriculum == Growing(until=0.25)
    with pytest.raises(ValidationError, match="uniform"):
        TrainingConfig.model_validate({"curriculum": {"name": "gaussian"}})
