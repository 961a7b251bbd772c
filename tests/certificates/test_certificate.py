import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import yaml
from automata.fa.dfa import DFA
from automata.fa.nfa import NFA
from forging import rewrite
from typer.testing import CliRunner, Result

from lengthwise.certificates.certificate import FILE_NAME, hash_weights, read_certificate
from lengthwise.certificates.export import to_dot, to_json, to_regex
from lengthwise.certificates.finding import Finding
from lengthwise.certificates.of_run import certify_run
from lengthwise.certificates.product import Counterexample
from lengthwise.certificates.verification import problems_of, verify_certificate
from lengthwise.cli.main import app
from lengthwise.errors import InputError
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.recipe import load_recipe
from lengthwise.tasks import get_language
from lengthwise.tasks.regular.automaton import Automaton


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_a_trained_unit_is_proved_and_its_certificate_holds(trained: dict[str, Path]) -> None:
    certificate, _ = verify_certificate(trained["rounded"])
    assert (certificate.verdict, certificate.task) == ("every_length", "parity")
    assert certificate.training.sequences == 100 * 32
    soft, _ = verify_certificate(trained["soft"])
    assert soft.verdict == "up_to_length"
    assert soft.length is not None


def test_a_certificate_survives_being_written_and_read(trained: dict[str, Path]) -> None:
    path = trained["soft"] / FILE_NAME
    certificate = read_certificate(path)
    assert certificate.to_json() == path.read_text()
    assert problems_of(certificate) == []


def test_checking_needs_no_torch(trained: dict[str, Path]) -> None:
    script = (
        "import sys; from pathlib import Path; from lengthwise.certificates.verification import verify_certificate\n"
        f"verify_certificate(Path({str(trained['rounded'])!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_changed_weights_are_refused(run: Path) -> None:
    tensors = safetensors.numpy.load_file(run / "checkpoint.safetensors")
    tensors["model.classifier.bias"][0] += 1e-6
    safetensors.numpy.save_file(tensors, run / "checkpoint.safetensors")
    with pytest.raises(InputError, match=r"other weights than those in .*: their SHA-256 is"):
        verify_certificate(run)
    with pytest.raises(InputError, match="other weights"):
        verify_certificate(run / FILE_NAME, run)
    alone = run.parent / "alone.json"
    alone.write_text((run / FILE_NAME).read_text())
    assert any("read off the weights that it names" in claim for claim in verify_certificate(alone).unchecked)


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
    with pytest.raises(InputError, match=r"its seed is 1, that of the run beside it 0(.|\n)*do not match its seal"):
        verify_certificate(run)


def test_certificates_that_do_not_hold_are_not_exported(run: Path) -> None:
    rewrite(run, method="black_box")
    refused = call("export", run)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "what it holds gives not_proved" in refused.stderr
    rewrite(run, method="raw", monoid=2)
    assert call("export", run).exit_code == 0
    tensors = safetensors.numpy.load_file(run / "checkpoint.safetensors")
    tensors["model.classifier.bias"][0] += 1e-6
    safetensors.numpy.save_file(tensors, run / "checkpoint.safetensors")
    stale = call("export", run)
    assert (stale.exit_code, stale.stdout) == (2, "")
    assert "their SHA-256" in stale.stderr


def test_an_answer_that_the_network_does_not_confirm_is_not_called_wrong() -> None:
    parity = get_language("parity").automaton.minimal()
    example = Counterexample(symbols=[1], states=[], answer=0, truth=1, model_answer=1)
    found = Finding("raw", parity, Automaton(np.array([[0, 0]]), 0, np.array([0])), counterexample=example)
    assert found.verdict == "not_proved"
    assert found.statement.endswith("the network itself answers 1")
    wrong = replace(found, counterexample=example.model_copy(update={"model_answer": 0}))
    assert wrong.claim == ("wrong", "wrong on a string of 1 symbols: it answers 0, the task 1")


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"schema_version": 1}')
    with pytest.raises(InputError, match=r"is not a certificate: verdict: Field required"):
        verify_certificate(tmp_path / "a.json")
    with pytest.raises(InputError, match="cannot read the certificate"):
        verify_certificate(tmp_path / "b.json")


def test_commands_certify_verify_and_export(run: Path, trained: dict[str, Path]) -> None:
    done = call("certify", run)
    assert done.exit_code == 0, done.output
    assert "right at every length" in done.stdout
    assert "parity\t0\tstochastic\tevery_length\traw\tevery\t2" in done.stdout
    assert "holds\nparity: every_length, right" in call("certify", "--verify", run / FILE_NAME).stdout
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
        (("export", run, "--format", "regexp"), "'regexp' is not one of"),
        (("export", run, "--class", "5", "--format", "json"), "no string has the class 5"),
        (("export", tmp_path), "there is no certificate"),
    ]:
        result = call(*arguments)
        assert result.exit_code == 2, result.output
        assert any(part in result.stderr for part in message.split("|")), result.stderr
    (tmp_path / "empty").mkdir()
    assert "there is no certificate in" in call("certify", "--verify", tmp_path / "empty").stderr
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
    example, extracted = certificate.counterexample, certificate.extracted
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
