from pathlib import Path
from typing import Annotated

import pytest
import torch
from models_for_interventions import Prose, Shifted, Stateless, final, generator, tokens
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError, RunError
from lengthwise.interventions import INTERVENTIONS
from lengthwise.interventions.base import Intervention, InterventionConfig, check_carries_state
from lengthwise.models import MIXERS
from lengthwise.models.backbone import BackboneConfig
from lengthwise.registry import OneOf
from lengthwise.state import Kind, State
from lengthwise.training.checkpoint import load_checkpoint, save_checkpoint

NAMES = list(INTERVENTIONS)
CARRYING = [name for name in NAMES if name != "zero"]
OBSERVING = [name for name in CARRYING if INTERVENTIONS.load(name)().build().observes]


def build(name: str, **choices: object) -> Intervention:
    built = INTERVENTIONS.load(name)(**choices).build()
    built.prepare(Prose())
    return built


def assert_same(found: State, expected: State) -> None:
    assert found.kinds == expected.kinds
    for name, entry in expected.items():
        assert found[name].dtype == entry.dtype
        assert torch.equal(found[name], entry), name


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_known_by_name_and_nothing_else_is_taken(name: str) -> None:
    adapter = TypeAdapter(Annotated[InterventionConfig, OneOf(INTERVENTIONS)])
    config = adapter.validate_python({"name": name})
    assert config == INTERVENTIONS.load(name)()
    assert config.build().name == name
    with pytest.raises(ValidationError, match="sigm"):
        adapter.validate_python({"name": name, "sigm": 1})


def test_an_unknown_intervention_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="unknown intervention 'state_pasing'; did you mean 'state_passing'"):
        INTERVENTIONS.load("state_pasing")


def test_only_tbptt_needs_aligned_rows() -> None:
    assert [name for name in NAMES if build(name).aligned] == ["tbptt"]


@pytest.mark.parametrize("name", [*OBSERVING, "zero"])
def test_the_first_step_starts_from_the_initial_state(name: str) -> None:
    model = Shifted()
    assert_same(build(name).begin(model, 3, generator()), model.initial_state(3))


def test_the_control_starts_every_step_from_the_initial_state() -> None:
    model, control = Shifted(), build("zero")
    for seed in range(3):
        state = control.begin(model, 3, generator(seed), torch.tensor([True, False, True]))
        assert_same(state, model.initial_state(3))
        control.observe(model(tokens(3, 4), state).state)
    assert control.state() == ({}, {})


@pytest.mark.parametrize("name", CARRYING)
@pytest.mark.parametrize("kinds", [{}, {"shift": Kind.CONV, "position": Kind.POSITION}], ids=["none", "conv"])
def test_a_model_without_a_recurrent_state_is_refused_before_any_work(name: str, kinds: dict[str, Kind]) -> None:
    model, intervention = Stateless(**kinds), build(name)
    with pytest.raises(InputError, match=rf"'{name}' needs a model with a recurrent state; Stateless carries none"):
        check_carries_state(model, intervention)
    with pytest.raises(InputError, match="Stateless carries none"):
        intervention.begin(model, 2, generator())


def test_the_control_goes_with_every_model() -> None:
    check_carries_state(Stateless(), build("zero"))
    assert len(build("zero").begin(Stateless(), 2, generator())) == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_dtypes_are_those_of_the_initial_state(name: str, dtype: torch.dtype) -> None:
    model, intervention = Shifted(dtype), build(name)
    for _ in range(2):
        state = intervention.begin(model, 3, generator())
        assert {n: t.dtype for n, t in state.items()} == {n: t.dtype for n, t in model.initial_state(3).items()}
        intervention.observe(model(tokens(3, 4), state).state)


# A device that computes nothing cannot read filler.
@pytest.mark.parametrize("name", sorted({*NAMES} - {"filler_passing"}))
def test_a_memory_follows_the_model_to_its_device(name: str) -> None:
    before, after = build(name), build(name)
    model = Shifted()
    before.observe(model(tokens(3, 4), before.begin(model, 3, generator())).state)
    after.restore(*before.state())
    state = after.begin(Shifted().to("meta"), 3, generator())
    assert {entry.device.type for entry in state.values()} == {"meta"}


@pytest.mark.parametrize("name", NAMES)
def test_starts_have_no_history_and_memories_have_none(name: str) -> None:
    model, intervention = Shifted(), build(name)
    for _ in range(2):
        state = intervention.begin(model, 3, generator())
        assert not any(entry.requires_grad for entry in state.values())
        after = model(tokens(3, 4), state).state
        assert after["heads"].requires_grad
        intervention.observe(after)
        assert not any(entry.requires_grad for entry in intervention.state()[0].values())


@pytest.mark.parametrize(("name", "learns"), [("zero", True), ("tbptt", True), ("random_noise", False)])
def test_rows_that_start_from_a_learned_initial_state_still_teach_it(name: str, learns: bool) -> None:
    model, intervention = Shifted(learned_start=True), build(name)
    for _ in range(2):
        state = intervention.begin(model, 3, generator(), torch.tensor([False, True, True]))
        intervention.observe(model(tokens(3, 4), state).state)
    assert state["hidden"].requires_grad is learns
    if name == "tbptt":
        state["hidden"].sum().backward()
        assert torch.equal(model.start.grad, torch.full((4,), 2.0, dtype=torch.float64))


class Training:
    """A plain loop whose state is the parameters, the intervention's memory and a generator."""

    def __init__(self, name: str) -> None:
        self.model, self.intervention, self.rng = Shifted(torch.float32), build(name), generator(3)

    def step(self) -> None:
        read = torch.randint(5, (4, 6), generator=self.rng)
        state = self.intervention.begin(self.model, 4, self.rng, torch.rand(4, generator=self.rng) < 0.2)
        logits, state = self.model(read[:, :-1], state)
        self.intervention.observe(state)
        self.model.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), read[:, 1:].flatten()).backward()
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter -= 0.5 * parameter.grad

    def save(self, path: Path) -> None:
        tensors, values = self.intervention.state()
        parts = {f"intervention.{name}": tensor for name, tensor in tensors.items()} | self.model.state_dict()
        save_checkpoint(path, parts | {"rng": self.rng.get_state()}, {"intervention": values})

    def load(self, path: Path) -> None:
        tensors, values = load_checkpoint(path)
        self.rng.set_state(tensors.pop("rng"))
        memory = {name: tensors.pop(name) for name in list(tensors) if name.startswith("intervention.")}
        names = {name.removeprefix("intervention."): tensor for name, tensor in memory.items()}
        self.intervention.restore(names, values["intervention"])
        self.model.load_state_dict(tensors)


@pytest.mark.parametrize("killed", [0, 1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_training_is_bit_equal(name: str, killed: int, tmp_path: Path) -> None:
    whole, first, second = Training(name), Training(name), Training(name)
    for step in range(6):
        whole.step()
        if step < killed:
            first.step()
    first.save(tmp_path / "c")
    second.load(tmp_path / "c")
    tensors, values = first.intervention.state()
    found, found_values = second.intervention.state()
    assert found_values == values
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[n], tensors[n]) and found[n].dtype == tensors[n].dtype for n in tensors)
    for _ in range(killed, 6):
        second.step()
    for expected, parameter in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(parameter, expected)


@pytest.mark.parametrize("name", OBSERVING)
def test_a_state_that_is_not_finite_is_refused_by_name(name: str) -> None:
    model, intervention = Shifted(), build(name)
    intervention.begin(model, 3, generator())
    seen = final(model, 3)
    seen["heads"][1, 0, 2] = float("nan")
    with pytest.raises(RunError, match=rf"not finite in heads \(heads: rows 1\); '{name}'"):
        intervention.observe(seen)
    assert not intervention.state()[0]


@pytest.mark.parametrize("name", OBSERVING)
def test_a_step_is_begun_before_it_is_observed(name: str) -> None:
    with pytest.raises(InputError, match=f"'{name}' .*call begin first"):
        build(name).observe(final(Shifted(), 3))


@pytest.mark.parametrize("name", NAMES)
def test_the_memory_of_another_intervention_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=name):
        build(name).restore({"heads.mode": torch.zeros(2)}, {"weights": 1.0})


@pytest.mark.parametrize("name", OBSERVING)
def test_the_memory_of_another_model_is_refused(name: str) -> None:
    model, before, after = Shifted(), build(name), build(name)
    before.begin(model, 3, generator())
    before.observe(final(model, 3))
    after.restore(*before.state())
    with pytest.raises(InputError, match=rf"'{name}' .*hidden"):
        after.begin(BackboneConfig(width=8, layers=1).build(5, 5), 3, generator())


@pytest.mark.parametrize("name", CARRYING)
def test_a_cache_of_attention_is_no_state_to_start_from(name: str) -> None:
    attention = BackboneConfig.model_validate({"layers": 1, "mixer": {"name": "attention"}}).build(5, 5)
    with pytest.raises(InputError, match=rf"'{name}' needs a model with a recurrent state.*use 'zero'"):
        build(name).begin(attention, 2, generator())


@pytest.mark.parametrize("mixer", [mixer for mixer in MIXERS if mixer != "attention"])
@pytest.mark.parametrize("name", CARRYING)
def test_every_registered_mixer_goes_on_from_what_it_is_given(name: str, mixer: str) -> None:
    torch.manual_seed(0)
    model = BackboneConfig(layers=2, mixer=MIXERS.load(mixer)()).build(5, 5)
    intervention = build(
        name, **({"conv_states": True} if "conv_states" in INTERVENTIONS.load(name).model_fields else {})
    )
    starts: list[dict[str, Tensor]] = []
    for seed in range(3):
        state = intervention.begin(model, 2, generator(seed))
        starts.append(dict(state))
        logits, state = model(tokens(2, 6, seed), state)
        assert torch.isfinite(logits).all()
        intervention.observe(state)
    assert {n: t.shape for n, t in starts[0].items()} == {n: t.shape for n, t in starts[2].items()}
    recurrent = [name for name, kind in state.kinds.items() if kind is Kind.RECURRENT]
    assert all(starts[2][name].any() for name in recurrent)
