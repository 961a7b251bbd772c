from pathlib import Path

import pytest

from lengthwise.errors import InputError
from lengthwise.runs.shipped import find_results, result_names


def test_shipped_results_have_names_and_folders_have_theirs(tmp_path: Path) -> None:
    assert {"baselines", "text", "text/mamba2"} <= set(result_names())
    assert (find_results("baselines") / "runs.json").is_file()
    assert find_results(str(tmp_path)) == tmp_path


def test_a_misspelt_name_is_told_the_nearest() -> None:
    with pytest.raises(InputError, match=r"there are no results 'baseline', .*; did you mean 'baselines'"):
        find_results("baseline")
