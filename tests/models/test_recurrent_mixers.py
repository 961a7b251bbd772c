import math

import pytest
import torch
from pydantic import ValidationError
from random_tensors import normal
from torch.nn import functional as F  # noqa: N812
from transformers import MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer

from lengthwise.models.mixers.mamba1 import Mamba1Config
from lengthwise.models.mixers.recurrent import ElmanConfig, GRUConfig, LSTMConfig
from lengthwise.state import Kind, State

WIDTH = 12


def build(config, width=WIDTH):
    torch.manual_seed(0)
    return config.build(width).double()


def elman_step(x, state, p, nonlinearity):
    state["hidden"] = nonlinearity(
        p["weight_ih_l0"] @ x + p["bias_ih_l0"] + p["weight_hh_l0"] @ state["hidden"] + p["bias_hh_l0"]
    )


def gru_step(x, state, p):
    reset, update, new = (p["weight_ih_l0"] @ x + p["bias_ih_l0"]).chunk(3)
    reset_h, update_h, new_h = (p["weight_hh_l0"] @ state["hidden"] + p["bias_hh_l0"]).chunk(3)
    update = (update + update_h).sigmoid()
    new = torch.tanh(new + (reset + reset_h).sigmoid() * new_h)
    state["hidden"] = (1 - update) * new + update * state["hidden"]


def lstm_step(x, state, p):
    gates = p["weight_ih_l0"] @ x + p["bias_ih_l0"] + p["weight_hh_l0"] @ state["hidden"] + p["bias_hh_l0"]
    enter, forget, new, out = gates.chunk(4)
    state["cell"] = forget.sigmoid() * state["cell"] + enter.sigmoid() * new.tanh()
    state["hidden"] = out.sigmoid() * state["cell"].tanh()


@pytest.mark.parametrize(
    ("config", "step"),
    [
        (ElmanConfig(hidden_size=5), lambda *a: elman_step(*a, torch.tanh)),
        (ElmanConfig(hidden_size=5, nonlinearity="relu"), lambda *a: elman_step(*a, F.relu)),
        (GRUConfig(hidden_size=5), gru_step),
        (GRUConfig(hidden_size=5, longest_memory=50), gru_step),
        (LSTMConfig(hidden_size=5), lstm_step),
        (LSTMConfig(hidden_size=5, longest_memory=50), lstm_step),
        (LSTMConfig(hidden_size=5, initial_forget_bias=1.0), lstm_step),
    ],
)
def test_the_equations_are_those_of_the_papers(config, step):
    mixer = build(config)
    weights = dict(mixer.recurrence.named_parameters())
    start = State({name: normal(2, 5, seed=i) for i, name in enumerate(mixer.initial_state(2))})
    x = normal(2, 9, WIDTH)
    y, state = mixer(x, start)
    for row in range(2):
        now = {name: start[name][row] for name in start}
        for t in range(9):
            step(x[row, t], now, weights)
            torch.testing.assert_close(y[row, t], mixer.output.weight @ now["hidden"], rtol=1e-10, atol=1e-12)
        for name, value in now.items():
            torch.testing.assert_close(state[name][row], value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("config", [GRUConfig, LSTMConfig])
def test_chrono_initialisation_spreads_memories_up_to_the_longest(config):
    torch.manual_seed(0)
    recurrence = config(hidden_size=1000, longest_memory=300).build(1).recurrence
    bias = recurrence.bias_ih_l0 + recurrence.bias_hh_l0
    enter, forget = bias[:1000], bias[1000:2000]
    memories = 1 / (1 - forget.double().sigmoid())
    assert memories.min().item() == pytest.approx(2, abs=1)
    assert memories.max().item() == pytest.approx(300, abs=1)
    assert memories.mean().item() == pytest.approx(151, abs=10)
    if config is LSTMConfig:
        assert torch.equal(enter, -forget)


def test_the_forget_gates_of_an_lstm_can_start_at_a_bias_and_nothing_else_changes():
    torch.manual_seed(0)
    plain = LSTMConfig(hidden_size=5).build(WIDTH).recurrence
    torch.manual_seed(0)
    biased = LSTMConfig(hidden_size=5, initial_forget_bias=1.0).build(WIDTH).recurrence
    torch.testing.assert_close((biased.bias_ih_l0 + biased.bias_hh_l0)[5:10], torch.ones(5))
    for name, parameter in biased.named_parameters():
        kept = [i for i in range(20) if not ("bias" in name and 5 <= i < 10)]
        assert torch.equal(parameter[kept], plain.get_parameter(name)[kept]), name


def test_an_lstm_is_not_given_two_initialisations_of_its_forget_gates():
    with pytest.raises(ValidationError, match="longest_memory and initial_forget_bias both set the forget gates"):
        LSTMConfig(longest_memory=50, initial_forget_bias=1.0)


@pytest.mark.parametrize("config", [GRUConfig, LSTMConfig])
def test_a_unit_with_a_long_memory_still_tells_its_starts_apart_when_others_have_forgotten(config):
    def left_of_a_difference(longest_memory):
        mixer = build(config(hidden_size=64, longest_memory=longest_memory))
        start = mixer.initial_state(1)
        other = start.map(lambda x: x + 0.1 * normal(*x.shape))
        x = normal(1, 100, WIDTH)
        return (mixer(x, other)[1]["hidden"] - mixer(x, start)[1]["hidden"]).norm()

    assert left_of_a_difference(1000) > 1000 * left_of_a_difference(None)


THEIR_NAMES = {
    "expand.weight": "in_proj.weight",
    "convolution.weight": "conv1d.weight",
    "convolution.bias": "conv1d.bias",
    "select.weight": "x_proj.weight",
    "step.weight": "dt_proj.weight",
    "step_bias": "dt_proj.bias",
    "log_rates": "A_log",
    "skip": "D",
    "contract.weight": "out_proj.weight",
}


def in_their_layout(name, value):
    return value.t()[:, None] if name == "convolution.weight" else value


@pytest.mark.parametrize("cut", [1, 3, 10])
def test_mamba1_is_transformers_mixer(cut):
    mixer = build(Mamba1Config(state_size=5, dt_rank=3, convolution=4, chunk=4))
    config = MambaConfig(
        vocab_size=2, hidden_size=WIDTH, state_size=5, num_hidden_layers=1, conv_kernel=4, time_step_rank=3
    )
    theirs = MambaMixer(config, 0).double()
    theirs.load_state_dict({THEIR_NAMES[n]: in_their_layout(n, p.detach()) for n, p in mixer.named_parameters()})
    x, weight = normal(2, 21, WIDTH), normal(2, 21, WIDTH, seed=1)
    first, state = mixer(x[:, :cut], mixer.initial_state(2))
    second, _ = mixer(x[:, cut:], state)
    found, expected = torch.cat([first, second], 1), theirs(x)
    # Theirs takes part of the way in float32.
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    for y in (found, expected):
        (y * weight).sum().backward()
    for name, parameter in mixer.named_parameters():
        gradient = theirs.get_parameter(THEIR_NAMES[name]).grad
        difference = (in_their_layout(name, parameter.grad) - gradient).abs().max()
        assert difference <= 1e-5 * gradient.abs().max(), name


def test_mamba1_starts_with_the_rates_and_steps_of_the_paper():
    mixer = build(Mamba1Config(), width=256)
    assert mixer.select.weight.shape == (16 + 2 * 16, 512)
    torch.testing.assert_close(mixer.log_rates.exp(), torch.arange(1.0, 17.0).double().expand(512, -1))
    steps = F.softplus(mixer.step_bias)
    assert steps.min().item() == pytest.approx(1e-3, rel=0.05)
    assert steps.max().item() == pytest.approx(1e-1, rel=0.05)
    assert steps.log().mean().item() == pytest.approx(math.log(1e-2), abs=0.2)
    assert mixer.step.weight.abs().max().item() == pytest.approx(1 / 4, rel=0.01)


def test_slow_rates_and_small_steps_keep_a_state_for_as_long_as_they_say():
    mixer = build(Mamba1Config(initial_rates=(0.01, 0.1), initial_steps=(1e-3, 1e-3)))
    start = mixer.initial_state(1)
    full = State({**start, "hidden": torch.ones_like(start["hidden"])}, start.kinds)
    with torch.no_grad():
        # Without a bias, inputs of zero leave the step sizes where they start.
        mixer.convolution.bias.zero_()
        _, state = mixer(torch.zeros(1, 10_000, WIDTH, dtype=torch.float64), full)
    left = torch.linspace(0.01, 0.1, 16, dtype=torch.float64).mul(-10).exp()
    torch.testing.assert_close(state["hidden"][0], left.expand(24, -1), rtol=1e-4, atol=0)


def test_mamba1_says_which_entry_is_its_conv_state():
    state = build(Mamba1Config(convolution=3)).initial_state(2)
    assert dict(state.kinds) == {"hidden": Kind.RECURRENT, "convolution": Kind.CONV}
    assert state["convolution"].shape == (2, 2, 24)


@pytest.mark.parametrize("field", ["initial_rates", "initial_steps"])
@pytest.mark.parametrize("value", [[0.0, 1.0], [2.0, 1.0], [-1.0, 1.0]])
def test_ranges_that_are_none_are_refused(field, value):
    with pytest.raises(ValidationError, match=r"smallest comes first|greater than 0"):
        Mamba1Config.model_validate({field: value})
