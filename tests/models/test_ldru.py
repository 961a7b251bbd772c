import itertools
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.evaluation.contract import check_contract
from lengthwise.models import OPERATORS
from lengthwise.models.tree.ldru import LDRU, LDRUConfig
from lengthwise.models.tree.operators import MLPOperatorConfig, OperatorConfig
from lengthwise.models.tree.stochastic import StochasticOperatorConfig
from lengthwise.scans import Rounds, balanced_rounds, random_bracketing, random_tree
from lengthwise.state import Kind, State
from lengthwise.tasks import get_language
from lengthwise.tasks.base import IGNORE

ODD = ("carry", "zero", "pad")
VOCABULARY, CLASSES = 3, 4
SHAPES = [*(("root", odd) for odd in ODD), ("prefixes", "carry")]


def unit(operator: str | OperatorConfig = "mlp", **choices: object) -> LDRU:
    torch.manual_seed(0)
    chosen = OPERATORS.load(operator)() if isinstance(operator, str) else operator
    return LDRUConfig(**{"width": 16, "operator": chosen} | choices).build(VOCABULARY, CLASSES).double().eval()


def strings(rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("operator", "readout", "odd"),
    [*(("mlp", *shape) for shape in SHAPES), *((name, "root", "pad") for name in OPERATORS if name != "mlp")],
)
def test_the_state_contract_holds(operator: str, readout: str, odd: str) -> None:
    findings = check_contract(unit(operator, readout=readout, odd=odd), VOCABULARY, length=19)
    assert [finding for finding in findings if not finding.holds] == []


@pytest.mark.slow
@pytest.mark.parametrize("level", ["residual", "plain"])
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("operator", ["mlp", "stochastic"])
def test_all_ways_of_reading_strings_agree(operator: str, odd: str, level: str) -> None:
    model = unit(operator, odd=odd, level=level)
    tokens = strings(5, 37)
    lengths = list(range(1, 38))
    prefixes = model.prefix_logits(tokens, lengths)
    for length in lengths:
        expected = model(tokens[:, :length]).logits
        assert_close(prefixes[:, length - 1], expected)
        assert_close(model.readout(model.roots(tokens[:, :length])), expected)
        for chunk in (1, 2, 8, 64):
            assert_close(model.string_logits(tokens[:, :length], chunk), expected)


def test_chosen_prefixes_are_those_among_all() -> None:
    model, tokens = unit(), strings(3, 30)
    every = model.prefix_logits(tokens, range(1, 31))
    assert_close(model.prefix_logits(tokens, [2, 3, 19, 28]), every[:, [1, 2, 18, 27]])


def test_a_unit_that_reads_every_prefix_brackets_each_from_the_left() -> None:
    model, tokens = unit(readout="prefixes"), strings(3, 13)
    logits = model(tokens).logits
    assert logits.shape == (3, 13, CLASSES)
    join = model.join
    leaves = model.leaves(tokens).dense()
    for length in range(1, 14):
        place, value = 0, None
        for size in (8, 4, 2, 1):
            if length & size:
                block = model.roots(tokens[:, place : place + size])
                value, place = block if value is None else join(value, block), place + size
        assert_close(logits[:, length - 1], model.readout(value))
    assert_close(logits[:, 0], model.readout(leaves[:, 0]))
    assert_close(model.string_logits(tokens, 4), logits[:, -1])
    assert_close(model.prefix_logits(tokens, [2, 11]), logits[:, [1, 10]])
    assert_close(model.readout(model.prefixes(tokens)), logits)


@pytest.mark.parametrize(("readout", "odd"), SHAPES)
def test_an_initial_state_is_a_left_operand(readout: str, odd: str) -> None:
    model, tokens = unit(readout=readout, odd=odd), strings(4, 11)
    left = torch.randn(4, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    begin = State({**model.initial_state(4), "left": left}, {"position": Kind.POSITION})
    whole = model(tokens, begin)
    if readout == "root":
        assert_close(whole.logits, model.readout(model.join(left, model.roots(tokens))))
    else:
        values = model.join(model.join(model.join(left, model.roots(tokens[:, :8])), model.roots(tokens[:, 8:10])),
                            model.roots(tokens[:, 10:]))  # fmt: skip
        assert_close(whole.logits[:, -1], model.readout(values))
    for cut in range(1, 11):
        second = model(tokens[:, cut:], model(tokens[:, :cut], begin).state)
        assert_close(second.logits if readout == "root" else second.logits[:, -1],
                     whole.logits if readout == "root" else whole.logits[:, -1])  # fmt: skip
        assert_close(second.state["left"], left)


@given(length=st.integers(1, 300))
@settings(max_examples=25)
def test_a_state_holds_one_partial_reduction_for_each_set_bit(length: int) -> None:
    state = unit("sum")(strings(2, length)).state
    names = [f"partial.{level}" for level in range(9) if length >> level & 1]
    assert sorted(state) == sorted([*names, "position"])
    assert state["position"].tolist() == [length, length]
    assert state.kinds["position"] is Kind.POSITION
    assert {state.kinds[name] for name in names} == {Kind.RECURRENT}
    assert state.numel() == 2 * (16 * len(names) + 1)


def brackets(kind: str, length: int, seed: int) -> Rounds:
    generator = torch.Generator().manual_seed(seed)
    if kind == "random":
        return random_tree(length, generator)
    return balanced_rounds(length, random_bracketing(length, generator) if kind == "shifted" else [])


@given(length=st.integers(1, 24), seed=st.integers(0, 99), kind=st.sampled_from(["balanced", "shifted", "random"]))
@settings(max_examples=30)
def test_every_node_has_the_value_that_its_joins_give_one_by_one(length: int, seed: int, kind: str) -> None:
    model, tokens = unit(), strings(3, length, seed)
    rounds = brackets(kind, length, seed)
    levels = model.nodes(tokens, rounds)
    values = list(model.leaves(tokens).dense().unbind(1))
    assert_close(levels[0].shared.dense(), torch.stack(values, 1))
    for lefts, level in zip(rounds, levels[1:], strict=True):
        for left in reversed(lefts):
            values[left : left + 2] = [model.join(values[left], values[left + 1])]
        assert_close(level.shared.dense(), torch.stack(values, 1))
    assert len(values) == 1


@given(length=st.integers(1, 40), seed=st.integers(0, 99), shifted=st.booleans())
@settings(max_examples=30)
def test_the_last_node_is_the_root(length: int, seed: int, shifted: bool) -> None:
    model, tokens = unit(), strings(4, length, seed)
    flags = random_bracketing(length, torch.Generator().manual_seed(seed), 0.5 if shifted else 0.0)
    shared = model.nodes(tokens, balanced_rounds(length, flags))[-1].shared
    assert_close(shared.dense()[:, 0], model.roots(tokens, flags))


@pytest.mark.parametrize("name", ["dyck_3", "modular_arithmetic"])
@pytest.mark.parametrize("kind", ["balanced", "shifted", "random"])
def test_spans_of_nodes_tile_the_string_and_have_the_label_of_their_substring(name: str, kind: str) -> None:
    task = get_language(name)
    model = LDRUConfig(width=4).build(task.vocabulary, task.classes)
    for length in (1, 2, 7, 16, 21):
        batch = task.sample(np.random.default_rng(length), 4, task.nearest_length(length))
        length = batch.tokens.shape[1]
        spans = task.automaton.label_spans(batch.tokens)
        for level in model.nodes(torch.from_numpy(batch.tokens), brackets(kind, length, 5)):
            assert level.starts[0] == 0
            assert level.ends[-1] == length
            assert level.starts[1:] == level.ends[:-1]
            assert level.shared.index_BM.shape == (4, len(level.starts))
            for row, (start, end) in itertools.product(range(4), zip(level.starts, level.ends, strict=True)):
                expected = task.automaton.label(batch.tokens[row : row + 1, start:end])
                assert spans[row, start, end] == expected[0]
        assert (spans[:, 0, length] == batch.targets).all()
    assert (spans == IGNORE).any()


def test_equal_substrings_are_computed_once() -> None:
    model, tokens = unit("mlp"), torch.zeros(7, 64, dtype=torch.int64)
    applications: list[int] = []
    model.join.operator.register_forward_hook(
        lambda module, inputs, output: applications.append(output[..., 0].numel())
    )
    model.nodes(tokens, balanced_rounds(64))
    assert applications == [1] * 6
    applications.clear()
    model.string_logits(tokens, 16)
    assert sum(applications) < 40


def test_dropout_and_noise_act_in_training_only() -> None:
    for choice in ({"dropout": 0.5}, {"noise": 0.5}):
        model, tokens = unit(**choice), strings(2, 9)
        assert torch.equal(model(tokens).logits, model(tokens).logits)
        model.train()
        assert not torch.equal(model(tokens).logits, model(tokens).logits)
        model.eval()
        assert_close(model(tokens).logits, unit()(tokens).logits)


def test_noise_has_its_standard_deviation() -> None:
    quiet, noisy = unit("sum", level="plain"), unit("sum", level="plain", noise=0.3).train()
    left, right = torch.randn(2, 4000, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noise = noisy.join(left, right) - quiet.join(left, right)
    assert noise.std().item() == pytest.approx(0.3, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.01)


def test_noise_grows_in_over_its_warm_up() -> None:
    model = unit(noise=0.4, noise_warm_up=0.5)
    found = []
    for progress in (0.125, 0.25, 0.5, 1.0):
        model.anneal(progress)
        found.append(model.join.noise)
    assert found == pytest.approx([0.1, 0.2, 0.4, 0.4])
    steady = unit(noise=0.4)
    steady.anneal(0.01)
    assert steady.join.noise == 0.4


def test_leaves_of_a_sharpened_unit_are_rounded_with_the_gradient_of_the_soft_rows() -> None:
    model = unit("stochastic", level="plain")
    symbols = torch.arange(VOCABULARY)
    weights = torch.randn(VOCABULARY, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    model.anneal(1.0)
    model.join.operator.rounded.fill_(False)
    soft = model.encoder(symbols)
    (of_soft,) = torch.autograd.grad((soft * weights).sum(), model.encoder.embedding.weight)
    model.anneal(1.0)
    hard = model.encoder(symbols)
    (of_hard,) = torch.autograd.grad((hard * weights).sum(), model.encoder.embedding.weight)
    assert set(hard.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(hard.view(-1, 4).sum(-1), torch.ones(12, dtype=torch.float64))
    assert torch.equal(hard.view(-1, 4).argmax(-1), soft.view(-1, 4).argmax(-1))
    assert_close(of_hard, of_soft)
    assert of_soft.abs().max() > 0


def test_a_rounded_unit_is_exact_at_any_length() -> None:
    model = unit("stochastic", level="plain")
    model.anneal(1.0)
    value = model.string_logits(torch.zeros(1, 10_000, dtype=torch.int64))
    state, table = 0, model.encoder(torch.tensor([0]))[0].view(4, 4).argmax(-1).tolist()
    for _ in range(10_000):
        state = table[state]
    assert_close(value[0], model.classifier(torch.eye(4, dtype=torch.float64)[state]))


def test_sharpness_and_rounding_are_part_of_what_is_saved() -> None:
    trained, fresh = unit("stochastic", level="plain"), unit("stochastic", level="plain")
    trained.anneal(1.0)
    tokens = strings(4, 9)
    assert not torch.allclose(fresh(tokens).logits, trained(tokens).logits)
    fresh.load_state_dict(trained.state_dict())
    assert fresh.join.operator.rounded
    assert fresh.join.operator.sharpness == 15.0
    assert torch.equal(fresh(tokens).logits, trained(tokens).logits)


def test_the_operators_penalty_is_that_of_the_embeddings() -> None:
    assert unit().penalty() is None
    model = unit(operator=StochasticOperatorConfig(determinism=0.1), level="plain")
    model.anneal(0.7)
    penalty = model.penalty()
    assert penalty is not None
    rows = torch.softmax(model.encoder.embedding.weight.view(-1, 4) * model.join.operator.sharpness, -1)
    growth = (0.7 - 0.4) / 0.6
    assert penalty.item() == pytest.approx(-0.1 * growth * (rows * rows.log()).sum(-1).mean().item())


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"position": torch.tensor([3]), "partial.0": torch.zeros(1, 16)}, r"3 elements .* levels \[0, 1\], got \[0\]"),
        ({"position": torch.tensor([0]), "partial.2": torch.zeros(1, 16)}, r"levels \[\], got \[2\]"),
    ],
)
def test_a_state_that_does_not_fit_its_position_is_refused(state: dict[str, Tensor], message: str) -> None:
    with pytest.raises(InputError, match=message):
        unit()(strings(1, 2), State(state, {"position": Kind.POSITION}))


def test_an_empty_string_is_refused() -> None:
    for model in (unit(), unit(readout="prefixes")):
        with pytest.raises(InputError):
            model(torch.zeros(2, 0, dtype=torch.int64))
        with pytest.raises(InputError):
            model.string_logits(torch.zeros(2, 0, dtype=torch.int64))


def test_settings_choose_the_operator_by_name() -> None:
    config = LDRUConfig.model_validate({"width": 18, "operator": {"name": "stochastic", "heads": 2}})
    assert config.operator == StochasticOperatorConfig(heads=2)
    assert LDRUConfig().operator == MLPOperatorConfig()
    with pytest.raises(InputError, match="nearest: 16 and 25"):
        LDRUConfig(width=18, operator=StochasticOperatorConfig()).build(2, 2)


@pytest.mark.parametrize("heads", [1, 3])
def test_what_is_read_out_without_the_tree_equals_the_tree(heads):
    operator = StochasticOperatorConfig(heads=heads)
    model = LDRUConfig(width=heads * 16, operator=operator, level="plain").build(3, 4).double()
    tokens = torch.randint(3, (5, 9), generator=torch.Generator().manual_seed(0))
    weights = torch.randn(5, 9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = model.every_prefix(tokens)
    wanted = torch.stack([model(tokens[:, :length]).logits for length in range(1, 10)], 1)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    for one, other in zip(
        torch.autograd.grad((found * weights).sum(), list(model.parameters())),
        torch.autograd.grad((wanted * weights).sum(), list(model.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(model.string_logits(tokens, chunk=4), wanted[:, -1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.prefix_logits(tokens, [2, 9]), wanted[:, [1, 8]], rtol=1e-12, atol=1e-12)
    lengths = torch.tensor([3, 9, 1, 4, 4])
    ends = wanted[torch.arange(5), lengths - 1]
    asked = torch.arange(9) == lengths[:, None] - 1
    torch.testing.assert_close(model.asked_logits(tokens, asked), ends, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "config",
    [
        LDRUConfig(width=16),
        LDRUConfig(width=16, level="plain", operator=StochasticOperatorConfig(readout="all")),
        LDRUConfig(width=16, level="plain", operator=StochasticOperatorConfig(), noise=0.1),
    ],
)
def test_a_unit_needs_its_tree_where_the_first_row_is_not_enough(config):
    assert not config.build(2, 2).gives_every_prefix()


@pytest.mark.parametrize(("readout", "heads"), [("all", 1), ("all", 2), ("start", 4)])
def test_rows_are_hidden_from_the_readout_in_training_only(readout: Literal["all", "start"], heads: int):
    config = StochasticOperatorConfig(readout=readout, heads=heads, drop_rows=0.5)
    operator = config.build(16 * heads)
    value = torch.softmax(torch.randn(3, 5, heads, 4, 4), -1).flatten(-3)
    shown = operator.eval().features(value)
    rows = operator.train().features(value).unflatten(-1, (-1, 4))
    seen = rows.ne(0).any(-1)
    assert 0 < seen.float().mean() < 1
    # Those that are seen count twice as much, as many others are not.
    torch.testing.assert_close(rows, 2 * seen[..., None] * shown.unflatten(-1, (-1, 4)))
    # The readout learns from all of the rounded rows.
    operator.anneal(1.0)
    torch.testing.assert_close(operator.features(value), shown)


def test_hiding_rows_is_left_out_at_its_default_and_needs_several_rows():
    assert "drop_rows" not in StochasticOperatorConfig().model_dump()
    with pytest.raises(ValueError, match="several rows"):
        StochasticOperatorConfig(drop_rows=0.5)


def test_a_state_that_no_row_moves_to_takes_over_some_of_the_rows_of_the_busiest():
    config = StochasticOperatorConfig(readout="all", revive=1, sharpen_from=0.5)
    model = LDRUConfig(width=16, operator=config, level="plain").build(8, 2)
    moves_VK = torch.tensor([[0, 0, 1, 2], [1, 2, 0, 0]]).repeat(4, 1)
    with torch.no_grad():
        model.encoder.embedding.weight.copy_(torch.nn.functional.one_hot(moves_VK, 4).flatten(1) * 2.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.anneal(0.2)
    assert torch.equal(model.encoder.embedding.weight, before["encoder.embedding.weight"])
    model.anneal(0.25)
    rows_VKK = model.encoder.embedding.weight.unflatten(1, (4, 4)).detach()
    targets_VK = rows_VKK.argmax(-1)
    shared = moves_VK[:, :3] == 0
    assert set(targets_VK[:, :3][shared].tolist()) == {0, 3}
    assert torch.equal(targets_VK[:, :3][~shared], moves_VK[:, :3][~shared])
    readout_CKK = model.classifier.weight.unflatten(1, (4, 4))
    assert torch.equal(readout_CKK[..., 3], readout_CKK[..., 0])
    # Once is once, also where training goes on from a checkpoint, and nothing where every state is in use.
    after = {name: value.clone() for name, value in model.state_dict().items()}
    again = LDRUConfig(width=16, operator=config, level="plain").build(8, 2)
    again.load_state_dict(after)
    again.anneal(0.3)
    again.anneal(1.0)
    assert torch.equal(again.encoder.embedding.weight, after["encoder.embedding.weight"])


def test_states_are_revived_only_where_all_rows_are_read():
    assert "revive" not in StochasticOperatorConfig().model_dump()
    with pytest.raises(ValueError, match="readout: all"):
        StochasticOperatorConfig(revive=3)


def test_gumbel_noise_draws_other_rows_in_training_and_none_in_evaluation():
    model = LDRUConfig(width=16, operator=StochasticOperatorConfig(gumbel=1.0), level="plain").build(2, 2)
    symbols = torch.arange(2)
    torch.manual_seed(0)
    one, other = model.encoder(symbols), model.encoder(symbols)
    assert not torch.equal(one, other)
    torch.testing.assert_close(one.unflatten(-1, (4, 4)).sum(-1), torch.ones(2, 4))
    model.eval()
    assert torch.equal(model.encoder(symbols), model.encoder(symbols))
