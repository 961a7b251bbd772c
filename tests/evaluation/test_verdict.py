import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recurrent_models import Uniform, random_tokens

from lengthwise.errors import InputError
from lengthwise.evaluation.intervals import student_quantile
from lengthwise.evaluation.losses import PositionLoss
from lengthwise.evaluation.perplexity import octave_losses, unigram_loss
from lengthwise.evaluation.verdict import ENOUGH, Gain, OctaveRatio, judge, unseen_share, verdict

CONTEXT = 64


def losses_in(start: int, end: int, row_means: tuple[float, ...]) -> PositionLoss:
    """Return an octave of which the rows alone are looked at."""
    return PositionLoss(start, end, math.nan, math.nan, len(row_means), row_means)


def octaves_with(ratios: list[float], noise: float, rows: int = 8, seed: int = 0) -> list[PositionLoss]:
    """Rows that differ widely from each other, and by these ratios, give or take a noise, from octave to octave."""
    rng = np.random.default_rng(seed)
    level_B = rng.normal(2, 1, rows)
    spread_B = rng.normal(0, 1, rows)
    spread_B = noise * (spread_B - spread_B.mean()) / spread_B.std(ddof=1)
    beyond = [
        losses_in(CONTEXT * 2**k + 1, CONTEXT * 2 ** (k + 1), tuple(level_B + math.log(ratio) + spread_B))
        for k, ratio in enumerate(ratios)
    ]
    return [losses_in(CONTEXT // 2 + 1, CONTEXT, tuple(level_B)), *beyond]


@pytest.mark.parametrize(
    ("ratios", "noise", "name"),
    [
        ([1.0, 1.0, 1.0], 0.001, "holds"),
        ([0.7, 0.6, 0.5], 0.01, "holds"),
        ([1.0, 1.1, 1.2], 0.01, "drifts"),
        ([1.2, 1.0, 0.9], 0.01, "drifts"),
        ([1.0, 1.6, 5.0], 0.01, "fails"),
        ([2.0, 1.0, 1.0], 0.01, "fails"),
        ([1.6, 1.0, 1.0], 0.1, "drifts"),
        ([1.6, 1.0, 1.0], 1.0, "undecided"),
        ([1.0, 1.0, 1.0], 0.1, "undecided"),
    ],
)
def test_the_rule(ratios: list[float], noise: float, name: str) -> None:
    found = verdict(octaves_with(ratios, noise), CONTEXT)
    assert found.name == name
    assert [octave.ratio for octave in found.ratios] == pytest.approx(ratios)
    assert [(octave.start, octave.end) for octave in found.ratios] == [(65, 128), (129, 256), (257, 512)]
    assert (found.rows_needed is None) == (name != "undecided")


def test_the_interval_is_that_of_paired_differences() -> None:
    found = verdict(octaves_with([1.1, 1.2], 0.3, rows=6), CONTEXT)
    # t at 1 - 0.05 / 4 with 5 degrees of freedom, from a table.
    half = 3.163381 * 0.3 / math.sqrt(6)
    for octave, ratio in zip(found.ratios, (1.1, 1.2), strict=True):
        assert (octave.low, octave.high) == pytest.approx((ratio * math.exp(-half), ratio * math.exp(half)), rel=1e-6)


def test_all_intervals_together_hold_as_often_as_asked() -> None:
    rng, rows, trials, held = np.random.default_rng(1), 5, 1000, 0
    truth_K = np.log([1.0, 1.3, 2.0])
    for _ in range(trials):
        level_B = rng.normal(2, 1, rows)
        losses = [level_B, *(level_B + truth + rng.normal(0, 0.2, rows) for truth in truth_K)]
        octaves = [losses_in(0, CONTEXT * 2**k, tuple(means)) for k, means in enumerate(losses)]
        ratios = verdict(octaves, CONTEXT, confidence=0.9).ratios
        held += all(octave.low <= math.exp(truth) <= octave.high for octave, truth in zip(ratios, truth_K, strict=True))
    assert held / trials > 0.9 - 4 * math.sqrt(0.09 / trials)
    assert held / trials < 0.95


@pytest.mark.parametrize("ratios", [[1.0, 1.01], [1.0, 1.08]])
def test_the_rows_it_asks_for_do_decide(ratios: list[float]) -> None:
    few = verdict(octaves_with(ratios, 0.1), CONTEXT)
    assert few.rows_needed is not None
    assert f"about {few.rows_needed:,} would do" in few.reason
    assert verdict(octaves_with(ratios, 0.1, rows=few.rows_needed), CONTEXT).name != "undecided"
    assert verdict(octaves_with(ratios, 0.1, rows=few.rows_needed // 2), CONTEXT).name == "undecided"


def test_the_reason_gives_the_numbers_that_decided() -> None:
    reason = verdict(octaves_with([1.0, 4.0], 0.01), CONTEXT).reason
    assert reason.startswith("perplexity at positions 129 to 256 is 4.000 times (3.9")
    assert reason.endswith("that at 33 to 64, surely above 1.5 times")


def test_the_thresholds_are_parameters() -> None:
    octaves = octaves_with([1.1, 1.3], 0.001)
    assert verdict(octaves, CONTEXT, holds_within=1.35).name == "holds"
    assert verdict(octaves, CONTEXT, fails_above=1.25).name == "fails"


def test_two_rows_that_differ_widely_leave_it_open() -> None:
    found = verdict(octaves_with([1.0] * 6, 30, rows=2), CONTEXT)
    assert found.name == "undecided"
    assert found.ratios[0].high == math.inf


def test_a_uniform_model_holds() -> None:
    octaves = octave_losses(Uniform(), random_tokens(4, 257), 16)
    assert verdict(octaves, 16).name == "holds"


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    [
        (0.5, 4, 0.0),
        (0.975, 1, 12.706205),
        (0.975, 2, 4.302653),
        (0.995, 5, 4.032143),
        (0.95, 10, 1.812461),
        (0.9995, 3, 12.923979),
        (0.975, 30, 2.042272),
        (0.975, 1000, 1.962339),
    ],
)
def test_student_quantiles_are_those_of_the_tables(probability: float, freedom: int, expected: float) -> None:
    assert student_quantile(probability, freedom) == pytest.approx(expected, abs=6e-7)


@given(probability=st.floats(0.5, 0.99999), freedom=st.integers(1, 40))
def test_student_quantiles_undo_the_integral_of_the_density(probability: float, freedom: int) -> None:
    angle = math.atan(student_quantile(probability, freedom) / math.sqrt(freedom))
    # In the angle atan(t / sqrt(n)) the density is proportional to cos^(n - 1).
    nodes, weights = np.polynomial.legendre.leggauss(60)
    part = angle / 2 * (weights * np.cos(angle / 2 * (nodes + 1)) ** (freedom - 1)).sum()
    half = math.pi / 4 * (weights * np.cos(math.pi / 4 * (nodes + 1)) ** (freedom - 1)).sum()
    assert 0.5 + part / half / 2 == pytest.approx(probability, abs=1e-10)


def test_bad_input_is_refused_with_what_would_be_right() -> None:
    octaves = octaves_with([1.0, 1.0], 0.1)
    with pytest.raises(InputError, match=r"context of 32.*end at 64, 128, 256"):
        verdict(octaves, 32)
    with pytest.raises(InputError, match="one beyond it"):
        verdict(octaves[:1], CONTEXT)
    with pytest.raises(InputError, match="8 and 9 rows"):
        verdict([*octaves[:2], octaves_with([1.0, 1.0], 0.1, rows=9)[2]], CONTEXT)
    with pytest.raises(InputError, match="two or more rows"):
        verdict([octave._replace(row_means=(1.0,)) for octave in octaves], CONTEXT)
    with pytest.raises(InputError, match="finite"):
        verdict([octave._replace(row_means=(1.0, math.nan)) for octave in octaves], CONTEXT)
    spoilt = octaves[2]._replace(row_means=(math.nan, *octaves[2].row_means[1:]))
    with pytest.raises(InputError, match="finite"):
        verdict(octaves, CONTEXT, [*octaves[:2], spoilt])
    with pytest.raises(InputError, match="holds_within"):
        verdict(octaves, CONTEXT, holds_within=2.0)
    with pytest.raises(InputError, match="t quantile"):
        student_quantile(0.975, 0)


def test_texts_that_differ_decide_nothing_where_each_is_paired_with_itself() -> None:
    """Octave by octave the text is harder, which is no failure of the state."""
    octaves = octaves_with([1.3, 1.7, 2.2], 0.05)
    assert verdict(octaves, CONTEXT).name == "fails"
    assert verdict(octaves, CONTEXT, octaves).name == "holds"
    easier = [octave._replace(row_means=tuple(loss - 0.3 for loss in octave.row_means)) for octave in octaves]
    found = verdict(octaves, CONTEXT, easier)
    assert found.name == "drifts"
    assert all(ratio.ratio == pytest.approx(math.exp(0.3)) for ratio in found.ratios)
    with pytest.raises(InputError, match="one to compare each with; these are 4 and 2, of 8 rows"):
        verdict(octaves, CONTEXT, octaves[:2])


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("field", ["ratio", "low", "high"])
def test_a_ratio_that_is_not_a_number_has_no_verdict(place: int, field: str) -> None:
    ratios = [OctaveRatio(65 * 2**k, 64 * 2 ** (k + 1), 1.0, 0.99, 1.01) for k in range(3)]
    ratios[place] = ratios[place]._replace(**{field: math.nan})
    with pytest.raises(InputError, match=f"ratio at positions {ratios[place].start} to .* is not a number"):
        judge(ratios, (33, 64), 8)


@pytest.mark.parametrize(
    ("loss", "guessing", "name", "said"),
    [
        (
            math.log(5486),
            math.log(200),
            "no verdict",
            r"is 5,486, and guessing .* 200: .* tokenizer is another",
        ),
        (math.log(512), math.log(200), "no verdict", "does not predict this text at all; it is hardly trained"),
        (math.log(20), math.log(25), "no verdict", r"is 20, and .* has 25: a model that forgot .* rise by 1\.5 times"),
        (math.log(25), math.log(25), "no verdict", "does not predict this text at all"),
        (math.nan, math.log(25), "no verdict", "guessing"),
        (math.log(20), math.log(31), "holds", "perplexity at positions"),
        (math.log(2), math.log(25), "holds", "perplexity at positions"),
    ],
)
def test_a_model_that_is_hardly_better_than_guessing_has_nothing_that_could_hold(
    loss: float, guessing: float, name: str, said: str
) -> None:
    ratios = [OctaveRatio(65, 128, 1.0, 0.99, 1.01)]
    assert judge(ratios, (33, 64), 64)[0] == "holds"
    found, reason = judge(ratios, (33, 64), 64, Gain(loss, guessing))
    assert found == name
    assert re.search(said, reason)


def test_the_floor_follows_the_threshold_of_a_failure() -> None:
    octaves = octaves_with([1.0, 1.0], 0.001)
    at_context = sum(octaves[0].row_means) / 8
    assert verdict(octaves, CONTEXT, guessing=at_context + math.log(1.6)).name == "holds"
    assert verdict(octaves, CONTEXT, guessing=at_context + math.log(1.4)).name == "no verdict"
    assert verdict(octaves, CONTEXT, guessing=at_context + math.log(1.6), fails_above=1.7).name == "no verdict"


def test_a_uniform_model_has_no_verdict_once_the_text_is_known() -> None:
    tokens = random_tokens(4, 257)
    octaves = octave_losses(Uniform(), tokens, 16)
    found = verdict(octaves, 16, guessing=unigram_loss(tokens))
    assert found.name == "no verdict"
    assert found.rows_needed is None
    assert "is 5, and guessing each symbol by its frequency has" in found.reason


def test_guessing_by_frequency_is_the_entropy_of_what_is_predicted() -> None:
    counts = np.bincount(random_tokens(4, 257)[:, 1:].flatten().numpy())
    shares = counts / counts.sum()
    assert unigram_loss(random_tokens(4, 257)) == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-12)
    assert unigram_loss(torch.full((2, 9), 3)) == 0


@pytest.mark.parametrize(("rows", "share"), [(8, 31.2), (32, 8.9), (59, 5.0), (299, 1.0)])
def test_what_so_many_rows_can_miss_is_said_with_a_verdict_that_holds(rows: int, share: float) -> None:
    assert unseen_share(rows) == pytest.approx(share, abs=0.05)
    reason = verdict(octaves_with([1.0], 0.001, rows=rows), CONTEXT).reason
    assert f"of texts that go astray {rows} rows can miss {share:.2g} %" in reason
    assert (f", {ENOUGH} would miss 1 %" in reason) == (rows < ENOUGH)
    assert unseen_share(ENOUGH) <= 1 < unseen_share(ENOUGH - 1)
