import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from calls_for_tests import call, ok, refused

from lengthwise.runs.folder import RunFolder
from lengthwise.runs.rows import read_evaluation, read_head


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with one trained language model."""
    folder, rng = tmp_path_factory.mktemp("text"), np.random.default_rng(0)
    for number in range(10):
        words = rng.choice(["the cat sat ", "on the mat ", "and then ", "it ran\n"], size=80)
        (folder / f"{number}.txt").write_text("".join(words))
    recipe = {
        "text": {"source": {"name": "files", "paths": [str(folder)]}, "held_out": 0.4},
        "model": {"name": "backbone", "width": 8, "layers": 1, "mixer": {"name": "gru", "hidden_size": 6}},
        "training": {"steps": 8, "batch_size": 4, "context": 8},
        "evaluation": {"reach": 8, "rows": 6, "remembrance_starts": 4, "state_rows": 2},
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(recipe))
    ok("train", path, "--runs", folder / "runs")
    return folder / "runs"


def test_evaluate_says_the_verdict(runs: Path) -> None:
    shown = ok("evaluate", runs / "small")
    # Eight steps teach next to nothing.
    assert "seed-0: no verdict: perplexity at positions 5 to 8 is" in shown
    assert re.search(
        r"; perplexity [\d.]+ within T \(by frequency alone [\d.]+, [\d.]+ against [\d.]+ bits a byte\)", shown
    )
    head = read_head(runs / "small" / "seed-0" / "evaluation.jsonl")
    assert head.guessing is not None
    assert 1 < head.guessing < np.log(20)
    # Every document has its separator.
    assert 0.99 < (head.symbol_bytes or 0) < 1


@pytest.mark.slow
def test_diagnose_makes_a_page_with_charts(runs: Path, tmp_path: Path) -> None:
    shown = ok("diagnose", runs / "small" / "seed-0", "--out", tmp_path / "page")
    assert str(tmp_path / "page" / "index.html") in shown
    assert "small" in (tmp_path / "page" / "index.html").read_text()
    assert len(list((tmp_path / "page").glob("*.svg"))) >= 6


def test_post_training_makes_a_run_beside_the_old_one(runs: Path) -> None:
    shown = ok("post-train", runs / "small" / "seed-0", "--intervention", "fitted_noise", "--steps", 3)
    after = RunFolder(runs / "small.fitted_noise" / "seed-0")
    assert after.status == "evaluated"
    assert after.metrics_rows()[-1]["step"] == 3
    assert read_head(after.evaluation).intervention == "fitted_noise"
    assert all(word in shown for word in ("before", "after", "perplexity within T", "verdict"))
    assert ["32", "384", "(1200%", "of", "before)"] in [line.split()[-5:] for line in shown.splitlines()]
    again = ok("post-train", runs / "small" / "seed-0", "--intervention", "fitted_noise", "--steps", 3)
    assert "finished before; nothing to do" in again


def test_post_training_needs_no_labels(runs: Path) -> None:
    chosen = ["--set", "objective.name=distil", "--set", "objective.burn_in=2", "--set", "name=small.distil"]
    ok("post-train", runs / "small" / "seed-0", "--steps", 2, *chosen)
    recipe = yaml.safe_load((runs / "small.distil" / "seed-0" / "recipe.yaml").read_text())
    assert recipe["objective"] == {"name": "distil", "burn_in": 2}
    assert RunFolder(runs / "small.distil" / "seed-0").status == "evaluated"


def test_ways_to_start_are_compared_in_one_table(runs: Path, tmp_path: Path) -> None:
    base = runs / "small" / "seed-0"
    ok("post-train", base, "--steps", 1, "--set", "name=small.mended")
    options = ("--reach", 4, "--rows", 3, "--every", 4, "--out", tmp_path / "page")
    shown = ok("compare-starts", base, "--repaired", runs / "small.mended" / "seed-0", *options)
    for way in ("whole", "reset every 4", "burn-in of 4", "carried from another"):
        assert way in shown
    ways = [line.split("  ")[1:] for line in shown.splitlines() if " x " in line]
    assert len(ways) == 5
    assert "Ways to start" in (tmp_path / "page" / "index.html").read_text()
    # The parameters are those of the run, although no step was taken.
    measured = read_evaluation(next(runs.glob("small.starts-*/seed-0/evaluation.jsonl")))[1]
    found = {
        row.axes["contexts"]: row.value for row in measured if row.axes.get("way") == "whole" and "contexts" in row.axes
    }
    ok("evaluate", base)
    losses = [row for row in read_evaluation(base / "evaluation.jsonl")[1] if row.metric == "loss"]
    octave = [row for row in losses if row.axes["start"] >= 16 and row.axes["end"] <= 32]
    mean = sum(row.value * (row.axes["end"] - row.axes["start"]) for row in octave) / 16
    assert found[4] == pytest.approx(mean, rel=0.2)
    assert "go with hf:PATH" in refused("compare-starts", base, "--context", 9)
    assert "starts.every needs windows of 99" in refused("compare-starts", base, "--reach", 2, "--every", 99)


def test_post_training_is_measured_on_another_text_before_and_after(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("a dog and a log and a fog sat on a mat. " * 60)
    base = runs / "small" / "seed-0"
    command = (
        "post-train",
        base,
        "--steps",
        2,
        "--set",
        "name=small.elsewhere",
        "--also-measure",
        tmp_path / "other.txt",
    )
    shown = ok(*command)
    own, other = shown.split(f"on {tmp_path / 'other.txt'}:")
    assert own.count("perplexity within T") == other.count("perplexity within T") == 1
    losses = []
    for name in ("small", "small.elsewhere"):
        (path,) = runs.glob(f"{name}.perplexity-*/seed-0/evaluation.jsonl")
        losses.append([row.value for row in read_evaluation(path)[1] if row.metric == "loss"])
    here = [row.value for row in read_evaluation(base / "evaluation.jsonl")[1] if row.metric == "loss"]
    assert losses[0] != losses[1]
    assert here != losses[0]
    assert "finished before" in ok(*command)
    assert "nowhere" in refused(*command[:-1], tmp_path / "nowhere")


def test_a_run_without_steps_that_starts_from_another_has_its_parameters(runs: Path) -> None:
    again = yaml.safe_load((runs / "small" / "seed-0" / "recipe.yaml").read_text())
    again |= {"name": "small_again", "start": "small", "training": again["training"] | {"steps": 0}}
    again.pop("content", None)
    path = runs.parent / "again.yaml"
    path.write_text(yaml.safe_dump(again))
    ok("train", path, "--runs", runs)
    ok("evaluate", runs / "small" / "seed-0", runs / "small_again" / "seed-0")
    rows = [read_evaluation(runs / name / "seed-0" / "evaluation.jsonl")[1] for name in ("small", "small_again")]
    assert rows[0] == rows[1]


def test_post_training_tells_paths_as_they_were_given(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    shown = ok("post-train", "small/seed-0", "--steps", 1).splitlines()
    assert shown[0] == "small.state_passing seed 0: 1 steps in small.state_passing/seed-0"
    assert shown[-1] == "the charts: lengthwise diagnose small/seed-0 small.state_passing/seed-0"


def test_a_diagnosis_that_cannot_be_written_is_told(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "afile").touch()
    result = call("diagnose", runs / "small" / "seed-0", "--out", tmp_path / "afile")
    assert result.exit_code == 2
    assert result.stderr == f"error: cannot write the report in {tmp_path / 'afile'}: File exists\n"


def test_settings_of_an_intervention_are_set_by_path(runs: Path) -> None:
    chosen = ("--set", "intervention.zero_probability=0.5", "--set", "name=mixed")
    ok("post-train", runs / "small" / "seed-0", "--intervention", "tbptt", "--steps", 2, *chosen)
    recipe = yaml.safe_load((runs / "mixed" / "seed-0" / "recipe.yaml").read_text())
    assert recipe["intervention"] == {"name": "tbptt", "zero_probability": 0.5, "conv_states": True, "zero_share": 0.92}
    assert recipe["start"] == "small"


def test_an_unknown_intervention_offers_the_nearest(runs: Path) -> None:
    message = refused("post-train", runs / "small" / "seed-0", "--intervention", "state_pasing")
    assert "did you mean 'state_passing'?" in message


@pytest.mark.parametrize("option", [("--out", "elsewhere"), ("--replace",)])
def test_an_option_of_checkpoints_is_refused_for_a_run(runs: Path, option: tuple[str, ...]) -> None:
    message = refused("post-train", runs / "small" / "seed-0", *option)
    assert f"{option[0]}: these options go with hf:PATH; a run gets a new one beside it" in message


@pytest.mark.parametrize(("command", "missing"), [("diagnose", "language model"), ("post-train", "objective")])
def test_a_run_on_strings_is_told_what_it_lacks(command: str, missing: str, tiny_file: Path, tmp_path: Path) -> None:
    ok("train", tiny_file, "--set", "training.steps=1", "--runs", tmp_path / "strings")
    (run,) = (path.parent for path in (tmp_path / "strings").rglob("recipe.yaml"))
    assert missing in refused(command, run)


def test_a_run_of_any_task_is_post_trained_from_states(tmp_path: Path) -> None:
    recipe = {
        "task": {"name": "copying", "symbols": 3, "lengths": [2, 4], "samples": 8, "train": {"maximum": 4}},
        "model": {"name": "backbone", "width": 8, "layers": 1},
        "training": {"steps": 2, "batch_size": 4},
    }
    (tmp_path / "copy.yaml").write_text(yaml.safe_dump(recipe))
    ok("train", tmp_path / "copy.yaml", "--runs", tmp_path / "runs")
    shown = ok("post-train", tmp_path / "runs" / "copy" / "seed-0", "--steps", 2)
    after = RunFolder(tmp_path / "runs" / "copy.state_passing" / "seed-0")
    assert read_head(after.evaluation).intervention == "state_passing"
    assert all(word in shown for word in ("before", "after", "accuracy"))


def test_a_missing_corpus_is_named(tmp_path: Path) -> None:
    recipe = {"text": {"source": {"name": "files", "paths": ["nowhere.txt"]}}, "model": {"name": "backbone"}}
    (tmp_path / "lost.yaml").write_text(yaml.safe_dump(recipe))
    assert "nowhere.txt" in refused("train", tmp_path / "lost.yaml", "--runs", tmp_path / "runs")


def test_generate_goes_on_from_a_prompt(runs: Path) -> None:
    begun = ("generate", runs / "small" / "seed-0", "--prompt", "the cat")
    shown = ok(*begun, "--tokens", 20)
    assert shown.startswith("the cat")
    assert len("the cat") + 5 < len(shown) <= len("the cat") + 20 + 1
    assert shown == ok(*begun, "--tokens", 20)
    # The last byte may be the first half of a sign.
    assert shown.startswith(ok(*begun, "--tokens", 9)[:-2])
    drawn = [ok(*begun, "--tokens", 20, "--temperature", 2, "--seed", seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert ok(*begun, "--tokens", 20, "--temperature", 2, "--top-k", 1) == shown


def test_generate_says_what_it_cannot_go_on_from(runs: Path, tiny_file: Path, tmp_path: Path) -> None:
    run = runs / "small" / "seed-0"
    assert "the prompt has no token" in refused("generate", run, "--prompt", "")
    assert "top_p above 0 and at most 1" in refused("generate", run, "--prompt", "a", "--top-p", 2)
    assert "a run says this in its recipe" in refused("generate", run, "--prompt", "a", "--tokenizer", "bytes")
    ok("train", tiny_file, "--set", "training.steps=1", "--runs", tmp_path / "strings")
    (strings,) = (path.parent for path in (tmp_path / "strings").rglob("recipe.yaml"))
    assert "is not of a language model" in refused("generate", strings, "--prompt", "a")
    for seed in ("seed-0", "seed-1"):
        shutil.copytree(run, tmp_path / "small" / seed)
    assert "holds 2 runs: give one of them" in refused("generate", tmp_path / "small", "--prompt", "a")
