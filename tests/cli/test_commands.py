import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from calls_for_tests import call, ok, refused
from typer.testing import CliRunner

from lengthwise import __version__
from lengthwise.cli.main import app
from lengthwise.models import MIXERS, MODELS, OPERATORS
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.rows import read_evaluation
from lengthwise.tasks import LANGUAGES, TASKS, get_language

COMMANDS = (
    *("train", "sweep", "evaluate", "diagnose", "compare-starts", "post-train", "results", "report", "keep", "list"),
    *("show", "check", "sample", "label", "generate", "certify", "export"),
)


def program(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lengthwise.cli.main", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, **options)


def test_help_names_every_command() -> None:
    text = ok("--help")
    assert all(command in text for command in COMMANDS)
    for command in COMMANDS:
        assert "Usage" in ok(command, "--help")
    assert ok("--version") == f"lengthwise {__version__}\n"


IMPORTED = """
import sys
from lengthwise.cli.main import app
try:
    app(sys.argv[1:])
finally:
    print(*(name for name in ("torch", "numpy", "ray", "polars") if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "imported"),
    [
        (["--help"], []),
        (["train", "--help"], []),
        (["sweep", "--help"], []),
        (["results", "--help"], []),
        (["list", "models"], ["torch", "numpy"]),
        (["list", "tasks"], ["numpy"]),
        (["list", "recipes"], []),
        (["list", "runs"], []),
        (["sample", "dyck_2"], ["numpy"]),
        (["label", "regex:(01)*"], ["numpy"]),
    ],
)
def test_light_commands_import_little(arguments: list[str], imported: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", IMPORTED, *arguments]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert set(ended.stderr.split()) <= set(imported)


def test_train_evaluate_and_list(tiny_file: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    lines = ok("train", tiny_file, "--seed", 1, "--seed", 2, "--runs", runs).splitlines()
    assert lines[0] == f"tiny seed 1: 24 steps in {runs}/tiny/seed-1"
    assert lines[1].startswith("tiny seed 1: trained, 24 steps, ")
    assert len(lines) == 4
    assert "finished before; nothing to do" in ok("train", tiny_file, "--seed", 1, "--runs", runs)
    assert ok("list", "runs", "--runs", runs).splitlines()[1].startswith("tiny/seed-1\tfinished\t24\t")

    lines = ok("evaluate", runs).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [f"{runs}/tiny/seed-{seed}" for seed in (1, 2)]
    _, rows = read_evaluation(RunFolder(runs / "tiny" / "seed-1").evaluation)
    row = next(row for row in rows if row.axes["length"] == 16)
    assert f"{row.value:.2%}" in lines[0]
    assert "mean accuracy" in lines[0]
    assert "tiny/seed-2\tevaluated\t24\t" in ok("list", "runs", "--runs", runs)


def test_set_seed_and_device_replace_settings(tiny_file: Path, tmp_path: Path) -> None:
    ok("train", tiny_file, "--set", "training.steps=2", "--set", "name=a/b", "--device", "cpu", "--runs", tmp_path)
    assert RunFolder(tmp_path / "a" / "b" / "seed-0").metrics_rows()[-1]["step"] == 2


def test_show(tiny_file: Path, tmp_path: Path) -> None:
    resolved = ok("show", tiny_file, "--set", "training.steps=7")
    assert "steps: 7\n" in resolved
    (tmp_path / "resolved.yaml").write_text(resolved)
    assert ok("show", tmp_path / "resolved.yaml") == resolved
    schema = json.loads(ok("show", "--schema"))
    kinds = [schema["else"], *(schema["$defs"][name] for name in ("Regular", "LanguageModelling", "TrainingConfig"))]
    assert all(kind["additionalProperties"] is False for kind in kinds)


def test_lists_are_complete() -> None:
    tasks = [tuple(line.split("\t")[:2]) for line in ok("list", "tasks").splitlines()[1:]]
    assert tasks == [*(("task", name) for name in TASKS), *(("language", name) for name in LANGUAGES)]
    names = [line.split("\t")[1] for line in ok("list", "models").splitlines()[1:]]
    assert names == [*MODELS, *MIXERS, *OPERATORS]
    assert ok("list", "recipes").startswith("name\ttask\tmakes\n")


def test_check_prints_every_clause_and_fails_when_one_is_broken() -> None:
    lines = ok("check", "ldru", "--set", "width=8", "--set", "operator.name=grc", "--length", 9).splitlines()
    assert len(lines) > 5
    assert all(line.endswith("\tholds") for line in lines[1:])
    broken = call("check", "broken_model:ForgetfulConfig", "--length", 9)
    assert broken.exit_code == 1
    assert "BROKEN" in broken.stdout


@pytest.mark.parametrize("task", ["parity", "dyck_2", "cycle_navigation", "regex:(ab|c)*"])
def test_sample_and_label_agree(task: str) -> None:
    lines = ok("sample", task, "--length", 12, "--count", 20, "--seed", 5).splitlines()
    assert len(lines) == 20
    assert {len(line.partition("\t")[0].split(" ")) for line in lines} == {12}
    labels = [line.partition("\t")[2] for line in lines]
    assert ok("label", task, stdin="".join(f"{line}\n" for line in lines)).split() == labels
    without = "".join(line.partition("\t")[0] + "\n" for line in lines)
    assert ok("label", task, stdin=without).split() == labels
    assert ok("sample", task, "--length", 12, "--count", 20, "--seed", 5).splitlines() == lines


def test_sample_is_the_sampler() -> None:
    batch = get_language("parity").sample(np.random.default_rng(7), 4, 9)
    expected = "".join(
        f"{' '.join(map(str, tokens))}\t{target}\n"
        for tokens, target in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True)
    )
    assert ok("sample", "parity", "--length", 9, "--count", 4, "--seed", 7) == expected


def test_an_even_length_says_what_is_sampled_instead() -> None:
    result = call("sample", "modular_arithmetic", "--length", 10, "--count", 2)
    assert result.exit_code == 0
    assert result.stderr.endswith("\nmodular_arithmetic has no strings of length 10; these have length 9\n")
    assert {len(line.split("\t")[0].split()) for line in result.stdout.splitlines()} == {9}


def test_a_string_outside_the_domain_has_no_class() -> None:
    assert ok("label", "modular_arithmetic", stdin="1 5 2\n1 5\n5\n") == "3\n-\n-\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "fast/no-such"], "unknown recipe 'fast/no-such'"),
        (["train", "nowhere.yaml"], "there is no recipe file nowhere.yaml"),
        (["show"], "say which recipe to show"),
        (["evaluate", "nowhere"], "there is no run in nowhere"),
        (["sample", "partiy"], "unknown language 'partiy'; did you mean 'parity'?"),
        (["sample", "regx:0*"], "did you mean 'regex'?"),
        (["sample", "regex:(0"], "does not parse"),
        (["sample", "dfa:nowhere.yaml"], "nowhere.yaml"),
        (["label", "partiy"], "unknown language 'partiy'"),
        (["check", "ldrru"], "unknown model 'ldrru'; did you mean 'ldru'?"),
        (["check", "ldru", "--set", "widht=3"], "widht: unknown key; did you mean 'width'?"),
        (["check", "nowhere:Config"], "cannot import nowhere:Config"),
        (["check", "pathlib:Path"], "not a subclass"),
    ],
)
def test_bad_input_ends_with_2_and_one_message(arguments: list[str], message: str) -> None:
    error = refused(*arguments)
    assert error.startswith("error: ")
    assert message in error


@pytest.mark.parametrize("arguments", [["sample", "parity", "--length", "0"], ["train"], ["fly"], ["list", "flies"]])
def test_bad_usage_ends_with_2(arguments: list[str]) -> None:
    refused(*arguments)


@pytest.mark.parametrize(
    ("task", "lines", "labels"),
    [
        ("regex:(ab|ba)*", "abba\na b b a\n0 1 1 0\r\n\r\naab\t1\nb a", "1 1 1 1 0 1"),
        ("parity", "0110\n1 0 1 1\n1", "0 1 1"),
        ("modular_arithmetic", "1+2*3\n1 5 2 7 3", "4 4"),
    ],
)
def test_strings_are_read_by_the_names_of_their_symbols_or_by_their_numbers(task: str, lines: str, labels: str) -> None:
    result = call("label", task, stdin=lines)
    assert result.stdout.split() == labels.split()
    said = {"regex:(ab|ba)*": "symbols: a is 0, b is 1\n", "parity": ""}
    assert result.stderr == said.get(task, result.stderr)


def test_a_string_that_is_one_by_names_and_another_by_numbers_is_refused_until_it_is_said() -> None:
    task = "regex:[1-3]*1"
    assert "1 is 0, 2 is 1, 3 is 2); say --symbols" in call("label", task, stdin="3 3 1\n1 2\n").stderr
    assert ok("label", task, "--symbols", "names", stdin="3 3 1\n21\n12\n").split() == ["1", "1", "0"]
    assert ok("label", task, "--symbols", "numbers", stdin="1 0\n0 1\n").split() == ["1", "0"]
    lines = ok("sample", task, "--length", 5)
    assert ok("label", task, "--symbols", "numbers", stdin=lines).split() == [
        one.split("\t")[1] for one in lines.splitlines()
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (b"0 1\n\xff\xfe\n", "line 2 is not UTF-8: byte 0 is 0xff"),
        (b"1" * (9 << 20), "line 1 is longer than 8,388,608 bytes"),
        (b"0\x000\n", "line 1: '0\\x000' is not a symbol"),
    ],
)
def test_what_is_no_string_on_standard_input_is_one_line(given: bytes, message: str) -> None:
    result = CliRunner().invoke(app, ["label", "parity"], input=given)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("redirected", "code"), [("| head -n 1", 0), (">&-", 0), ("<&-", 2), (">/dev/full", 2)])
def test_streams_that_are_closed_or_full_end_without_a_traceback(redirected: str, code: int) -> None:
    command = f"yes '0 1' | head -n 50000 | {sys.executable} -m lengthwise.cli.main label parity {redirected}"
    result = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True)
    assert "Traceback" not in result.stderr
    assert result.returncode == code


@pytest.mark.parametrize("line", ["0 x", "0 2", "0,1", "-1", "0 1.0", "²"])
def test_a_malformed_line_is_named(line: str) -> None:
    result = call("label", "parity", stdin=f"0 1\n{line}\n1\n")
    assert result.exit_code == 2
    assert result.stdout == "1\n"
    assert result.stderr.startswith("error: line 2: ")


def test_what_needs_a_state_refuses_a_model_without_one(tmp_path: Path) -> None:
    assert "a SequenceModel); RegularGPT reads whole strings only" in refused("check", "regular_gpt")
    (tmp_path / "words.yaml").write_text("{task: language_modelling, model: {name: regular_gpt, width: 16}}")
    message = refused("train", tmp_path / "words.yaml", "--runs", tmp_path)
    assert message.startswith("error: a diagnosis beyond the training length needs a model that carries state")
    assert "RegularGPT" in message
    assert not list(tmp_path.rglob("recipe.yaml"))


def test_an_early_stop_is_said(tiny_file: Path, tmp_path: Path) -> None:
    stop = ["--set", "training.stop.loss_below=100", "--set", "training.stop.steps=3"]
    told = ok("train", tiny_file, "--runs", tmp_path, *stop)
    assert "trained, 3 steps" in told
    assert told.rstrip().endswith("stopped: loss below 100 for 3 steps")


def test_a_corrupt_checkpoint_ends_with_2(tiny_file: Path, tmp_path: Path) -> None:
    ok("train", tiny_file, "--runs", tmp_path)
    checkpoint = tmp_path / "tiny" / "seed-0" / "checkpoint.safetensors"
    os.truncate(checkpoint, 100)
    assert f"checkpoint {checkpoint} is truncated" in refused("evaluate", tmp_path)


def test_a_loss_that_is_not_finite_ends_with_2(tiny_file: Path, tmp_path: Path) -> None:
    settings = ["--set", "training.optimiser.learning_rate=1e38", "--set", "training.optimiser.warm_up=0"]
    message = refused("train", tiny_file, "--runs", tmp_path, *settings)
    assert message.startswith("error: ")
    assert "at step" in message
    assert message.endswith("is kept\n")
    assert RunFolder(tmp_path / "tiny" / "seed-0").checkpoint.exists()


@pytest.mark.slow
def test_results_outlive_their_runs(tiny_file: Path, tmp_path: Path) -> None:
    runs, kept = tmp_path / "runs", tmp_path / "results"
    ok("train", tiny_file, "--runs", runs)
    assert "lengthwise evaluate" in refused("keep", runs, "--out", kept)
    ok("evaluate", runs)
    changes, summary = ok("keep", runs, "--out", kept).splitlines()
    assert changes == "add tiny/seed-0"
    assert summary.startswith(f"{kept}: 1 runs, ")
    shutil.rmtree(runs)
    shown = ok("report", kept, "--out", tmp_path / "report")
    assert "tiny" in shown
    assert "worst length" in shown
    assert shown.splitlines()[-1] == str(tmp_path / "report/index.html")
    assert '"command": ' in (kept / "runs.json").read_text()


@pytest.mark.slow
def test_the_program_never_shows_a_traceback(tmp_path: Path) -> None:
    ended = program("train", "fast/no-such", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: unknown recipe")
    assert ended.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 2), (signal.SIGTERM, 143)])
def test_a_signal_ends_training_after_a_checkpoint(
    tiny_file: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    arguments = ["train", str(tiny_file), "--set", "training.steps=10000000", "--runs", str(tmp_path)]
    command = [sys.executable, "-m", "lengthwise.cli.main", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout
        assert running.stderr
        assert "steps in" in running.stdout.readline()
        running.send_signal(number)
        assert "interrupted and checkpointed after" in running.stdout.read()
        assert running.stderr.read() == ""
    assert running.returncode == code
    assert RunFolder(tmp_path / "tiny" / "seed-0").status == "unfinished"


@pytest.mark.slow
def test_a_terminal_sees_loss_accuracy_and_time_left(tiny_file: Path, tmp_path: Path) -> None:
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "lengthwise.cli.main", "train", str(tiny_file), "--runs", str(tmp_path)]
    environment = os.environ | {"COLUMNS": "120", "TERM": "xterm"}
    with subprocess.Popen(command, stdout=end, stderr=end, env=environment) as running:
        os.close(end)
        seen = b""
        while chunk := _read(terminal):
            seen += chunk
    os.close(terminal)
    assert running.returncode == 0
    assert b"24/24" in seen
    assert b"loss" in seen
    assert b"accuracy" in seen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        # Linux says so when the other end of a pseudo-terminal is closed.
        return b""
