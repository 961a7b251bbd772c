import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import yaml
from automata.fa.dfa import DFA
from automata.fa.nfa import NFA
from typer.testing import CliRunner, Result

from lengthwise.certificates.certificate import (
    FILE_NAME,
    AlgebraTable,
    AutomatonTable,
    Finding,
    hash_weights,
    read_certificate,
)
from lengthwise.certificates.decision import conclude, decide
from lengthwise.certificates.equivalence import Counterexample
from lengthwise.certificates.export import to_dot, to_json, to_regex
from lengthwise.certificates.of_run import certify_run
from lengthwise.certificates.verification import verify_claims
from lengthwise.certificates.verify_run import verify_certificate
from lengthwise.cli.main import app
from lengthwise.errors import InputError
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.recipe import load_recipe
from lengthwise.runs.run import train_run
from lengthwise.tasks import get_language


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


RECIPE = {
    "task": "parity",
    "model": {"name": "ldru", "width": 64, "operator": {"name": "stochastic"}, "level": "plain"},
    "training": {
        "steps": 100,
        "batch_size": 32,
        "lengths": {"name": "uniform", "maximum": 12},
        "supervision": "nodes",
        "optimiser": {"learning_rate": 0.03, "warm_up": 0.1, "tail": "cosine"},
    },
}


def train(root: Path, name: str, **operator: object) -> Path:
    settings = json.loads(json.dumps(RECIPE))
    settings["name"] = name
    settings["model"]["operator"] |= operator
    file = root / f"{name}.yaml"
    file.write_text(yaml.safe_dump(settings))
    train_run(load_recipe(str(file)), 0, root / name)
    return root / name


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    runs = {
        "rounded": train(root, "rounded"),
        "soft": train(root, "soft", round_from=1.0, sharpness=[3.0, 3.0]),
    }
    for run in runs.values():
        certify_run(run)
    return runs


@pytest.fixture
def run(trained: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(trained["rounded"], tmp_path / "run")


def rewrite(run: Path, **changes: Any) -> Path:
    """Change a certificate as somebody would who knows about the seal."""
    certificate = read_certificate(run / FILE_NAME)
    settings = certificate.model_dump(mode="json") | changes
    (run / FILE_NAME).write_text(type(certificate).model_validate(settings).to_json())
    return run


@pytest.mark.slow
def test_a_trained_unit_is_proved_and_its_certificate_holds(trained: dict[str, Path]) -> None:
    certificate, weights = verify_certificate(trained["rounded"])
    assert weights
    assert (certificate.verdict, certificate.task) == ("every_length", "parity")
    assert certificate.training.sequences == 100 * 32
    assert certificate.minimal == certificate.task_automaton
    soft, _ = verify_certificate(trained["soft"])
    assert soft.verdict == "up_to_length"
    assert soft.length is not None


def test_a_certificate_survives_being_written_and_read(trained: dict[str, Path]) -> None:
    path = trained["soft"] / FILE_NAME
    certificate = read_certificate(path)
    assert certificate.to_json() == path.read_text()
    assert verify_claims(certificate) == []


def test_checking_needs_no_torch(trained: dict[str, Path]) -> None:
    script = (
        "import sys; from pathlib import Path; from lengthwise.certificates.verify_run import verify_certificate\n"
        f"verify_certificate(Path({str(trained['rounded'])!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_changed_weights_are_refused(run: Path) -> None:
    tensors = safetensors.numpy.load_file(run / "checkpoint.safetensors")
    tensors["model.classifier.bias"][0] += 1e-6
    safetensors.numpy.save_file(tensors, run / "checkpoint.safetensors")
    with pytest.raises(InputError, match=r"weights in .* changed: their SHA-256 is"):
        verify_certificate(run)
    with pytest.raises(InputError, match="changed"):
        verify_certificate(run / FILE_NAME, run)
    alone = run.parent / "alone.json"
    alone.write_text((run / FILE_NAME).read_text())
    assert verify_certificate(alone)[1] is False


def test_moments_of_the_optimiser_are_no_weights(run: Path) -> None:
    before = hash_weights(run / "checkpoint.safetensors")
    tensors = safetensors.numpy.load_file(run / "checkpoint.safetensors")
    name = next(name for name in tensors if "exp_avg" in name)
    tensors[name] += 1
    safetensors.numpy.save_file(tensors, run / "checkpoint.safetensors")
    assert hash_weights(run / "checkpoint.safetensors") == before


def test_a_change_by_accident_breaks_the_seal(run: Path) -> None:
    text = (run / FILE_NAME).read_text()
    (run / FILE_NAME).write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(InputError, match="do not match its seal"):
        verify_certificate(run)


def test_tampering_is_found_though_the_seal_is_renewed(run: Path) -> None:
    certificate = read_certificate(run / FILE_NAME)
    table = certificate.model_dump(mode="json")
    assert certificate.extracted is not None
    assert certificate.isomorphism is not None
    extracted = table["extracted"]
    outputs = [1 - label for label in extracted["outputs"]]
    changes: list[tuple[dict[str, Any], str]] = [
        ({"extracted": extracted | {"outputs": outputs}}, "extracted automaton is wrong on the string"),
        ({"isomorphism": certificate.isomorphism[::-1]}, "isomorphism is none"),
        ({"minimal": table["minimal"] | {"start": 1}}, "minimal automaton is not that"),
        ({"task": "tomita_4"}, "task automaton is not that of tomita_4"),
        ({"task": "parrity"}, "did you mean 'parity'"),
        ({"task_version": 99}, "version 99 of the task"),
        ({"verdict": "up_to_length", "length": 7}, "claims up_to_length 7, the weights give every_length"),
        ({"verdict": "wrong"}, "without a counterexample"),
        ({"extracted": extracted | {"transitions": [[0]]}}, "classes, not an array|cannot solve"),
    ]
    for change, message in changes:
        with pytest.raises(InputError, match=message):
            verify_certificate(rewrite(shutil.copytree(run, run.parent / message[:20]), **change))


@pytest.mark.slow
def test_a_proof_up_to_a_length_cannot_be_made_into_more(trained: dict[str, Path], tmp_path: Path) -> None:
    certificate = read_certificate(trained["soft"] / FILE_NAME)
    table = certificate.model_dump(mode="json")
    every = {"verdict": "every_length", "length": None, "statement": "right at every length", "counterexample": None}
    example = table["counterexample"]
    assert example is not None
    algebra = {"product": [[0, 1], [1, 0]], "leaves": [0, 1], "outputs": [0, 1]}
    snapped = AlgebraTable.model_validate(algebra).table()
    said = {"statement": decide(snapped, get_language("parity").automaton.minimal()).statement, "monoid": 2}
    extracted = {"extracted": AutomatonTable.of(snapped.automaton()).model_dump()}
    changes: list[tuple[dict[str, Any], str]] = [
        (every, "claims every_length, the weights give up_to_length"),
        (every | {"method": "black_box"}, "answers of a black box, which never are one"),
        (every | {"method": "snapped"}, "no multiplication table, which its proof rests on"),
        (every | {"method": "snapped", "algebra": algebra} | said | extracted, "claims a proof by snapped; a unit of"),
        ({"length": table["length"] + 1}, "the weights give up_to_length"),
        ({"length": len(example["symbols"])}, "is no longer than the"),
        ({"counterexample": None}, "without a counterexample(.|\n)*is not the one that the weights give"),
        ({"counterexample": example | {"states": []}}, "counterexample is not the one that the weights give"),
        ({"counterexample": example | {"model_answer": 5}}, "the network does not answer 5"),
        ({"counterexample": example | {"model_answer": example["truth"]}}, "statement is not what the weights give"),
        ({"monoid": 3}, "3 is not the number of elements"),
        ({"monoid": None}, "claims None elements of the monoid, the weights give 2"),
        ({"margins": table["margins"] | {"margin": 99.0}}, "margins are not those"),
        ({"margins": {}}, "margins are not those"),
        ({"statement": table["statement"] + "."}, "statement is not what the weights give"),
        ({"statement": "right at every length"}, "statement does not say its verdict up_to_length"),
        ({"operator": "mlp"}, "about the operator 'mlp', the run has 'stochastic'"),
    ]
    for number, (change, message) in enumerate(changes):
        with pytest.raises(InputError, match=message):
            verify_certificate(rewrite(shutil.copytree(trained["soft"], tmp_path / str(number)), **change))


def test_a_counterexample_is_missed_and_compared_without_weights(trained: dict[str, Path]) -> None:
    certificate = read_certificate(trained["soft"] / FILE_NAME)
    example = certificate.counterexample
    assert example is not None
    assert verify_claims(certificate) == []
    for change in (None, example.model_copy(update={"model_answer": example.truth})):
        changed = certificate.model_copy(update={"counterexample": change}).sealed()
        assert any("counterexample" in problem for problem in verify_claims(changed))


def test_certificates_that_do_not_hold_are_not_exported(run: Path) -> None:
    rewrite(run, method="black_box")
    refused = call("export", run)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "black box" in refused.stderr
    rewrite(run, method="raw")
    assert call("export", run).exit_code == 0
    tensors = safetensors.numpy.load_file(run / "checkpoint.safetensors")
    tensors["model.classifier.bias"][0] += 1e-6
    safetensors.numpy.save_file(tensors, run / "checkpoint.safetensors")
    stale = call("export", run)
    assert (stale.exit_code, stale.stdout) == (2, "")
    assert "changed: their SHA-256" in stale.stderr


def test_an_answer_that_the_network_does_not_confirm_is_not_called_wrong() -> None:
    found = Finding("wrong", "raw", "wrong on a string of 1 symbols: it answers 1, the task 0")
    example = Counterexample(symbols=[1], states=[], answer=1, truth=0, model_answer=0)
    verdict, statement = conclude(found, example)
    assert verdict == "not_proved"
    assert statement.endswith("the network itself answers 0")
    assert conclude(found, example.model_copy(update={"model_answer": 1})) == (found.verdict, found.statement)


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"schema_version": 1}')
    with pytest.raises(InputError, match=r"is not a certificate: verdict: Field required"):
        verify_certificate(tmp_path / "a.json")
    with pytest.raises(InputError, match="cannot read certificate"):
        verify_certificate(tmp_path / "b.json")


def test_commands_certify_verify_and_export(run: Path, trained: dict[str, Path]) -> None:
    done = call("certify", run)
    assert done.exit_code == 0, done.output
    assert "right at every length" in done.stdout
    assert "parity\t0\tstochastic\tevery_length\traw\tevery\t2" in done.stdout
    assert "holds; the weights are those it is about" in call("certify", "--verify", run / FILE_NAME).stdout
    assert "right up to length" in call("certify", trained["soft"]).stdout
    assert "\trounded\tevery" in call("certify", run, "--method", "rounded").stdout
    assert call("export", run, "--format", "dot").stdout.startswith('digraph "parity"')
    assert call("export", run, "--format", "regex").exit_code == 0


def test_commands_refuse_what_they_cannot_use(run: Path, tmp_path: Path) -> None:
    for arguments, message in [
        (("certify", run, "--method", "roundd"), "did you mean 'rounded'?"),
        (("certify",), "needs a run folder"),
        (("certify", tmp_path / "nothing"), "there is no run in"),
        (("certify", "--verify", run, "--method", "raw"), "takes neither runs nor --method"),
        (
            ("certify", "--verify", run, "--run", tmp_path / "nothing"),
            "cannot read its recipe.yaml|cannot read the weights",
        ),
        (("certify", run, "--states", "1"), "more than 1 states: 1 of them are new with strings of 0 symbols"),
        (("certify", "--verify", run, "--elements", "9"), "nor limits"),
        (("export", run, "--format", "regexp"), "did you mean 'regex'?"),
        (("export", run, "--class", "5", "--format", "json"), "no string has the class 5"),
        (("export", tmp_path), "there is no certificate"),
    ]:
        result = call(*arguments)
        assert result.exit_code == 2, result.output
        assert any(part in result.stderr for part in message.split("|")), result.stderr
    (run / "finished").unlink()
    assert "not trained to its end" in call("certify", run).stderr


def say_of_another_task(run: Path, task: str) -> None:
    """Let a run's folder say that it was trained on a task that it was not trained on, all through."""
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"task": task}))
    environment = json.loads((run / "environment.json").read_text())
    forged = environment | {"recipe_sha256": RunFolder(run).recipe_hash()}
    (run / "environment.json").write_text(json.dumps(forged))


def test_a_wrong_unit_is_told_by_the_exit_code(run: Path) -> None:
    say_of_another_task(run, "tomita_6")
    wrong = call("certify", run)
    assert wrong.exit_code == 1
    certificate = read_certificate(run / FILE_NAME)
    assert certificate.verdict == "wrong"
    assert certificate.counterexample is not None
    assert certificate.counterexample.symbols == [1]
    assert certificate.counterexample.model_answer == certificate.counterexample.answer == 1
    assert verify_certificate(run)[0].verdict == "wrong"
    states = " ".join(map(str, certificate.counterexample.states))
    shown = f"  symbols: 1\n  states: {states}\n  answer 1, truth 0, the network itself answers 1\n"
    assert shown in wrong.stdout
    assert shown in call("certify", "--verify", run).stdout


def test_a_black_box_shows_the_states_of_what_was_learned_from_it(run: Path) -> None:
    say_of_another_task(run, "tomita_6")
    assert call("certify", run, "--method", "black_box").exit_code == 1
    certificate, _ = verify_certificate(run)
    assert certificate.counterexample is not None
    assert certificate.extracted is not None
    example, extracted = certificate.counterexample, certificate.extracted.automaton()
    assert example.states == [extracted.start, *extracted.trace(np.array([example.symbols]))[0].tolist()]


def test_a_long_counterexample_can_be_read() -> None:
    symbols = [1, 0] + [1] * 1320
    example = Counterexample(symbols=symbols, states=[0, 2] + [5] * 1321, answer=0, truth=4)
    assert example.in_words() == [
        "symbols: 1 0 1^1320",
        "states: 0 2 5^1321",
        "answer 0, truth 4, the network itself was not asked",
    ]
    assert example.in_words(most=2)[0] == "symbols: 1 0 ... 1,320 more symbols"


def test_runs_on_text_have_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(load_recipe("text/context/32").to_yaml())
    with pytest.raises(InputError, match="a certificate needs a task that is decided by a finite automaton"):
        certify_run(tmp_path)


@pytest.mark.parametrize("name", ["parity", "dyck_3", "tomita_7", "even_pairs"])
def test_exports_describe_the_same_language(name: str) -> None:
    task = get_language(name).automaton.minimal()
    arguments = json.loads(to_json(task, 1))
    sets = {key: set(arguments[key]) for key in ("states", "input_symbols", "final_states")}
    dfa = DFA(**(arguments | sets))
    expression = NFA.from_regex(to_regex(task, 1), input_symbols={"0", "1"})
    for length in range(1, 9):
        for number in range(2**length):
            string = format(number, f"0{length}b")
            truth = int(task.label(np.array([[int(symbol) for symbol in string]]))[0])
            assert dfa.accepts_input(string) == bool(truth)
    assert DFA.from_nfa(expression) == dfa
    assert to_dot(task, name).count("->") >= task.states
