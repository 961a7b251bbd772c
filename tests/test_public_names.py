import subprocess
import sys

import pytest

import lengthwise


@pytest.mark.parametrize("name", lengthwise.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(lengthwise, name).__module__.startswith("lengthwise.")


@pytest.mark.slow
def test_names_are_imported_when_they_are_used() -> None:
    told = "print('torch' in sys.modules)"
    program = f"import lengthwise, sys; dir(lengthwise); {told}; lengthwise.LDRU; {told}"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["False", "True"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Nothing"):
        lengthwise.Nothing  # noqa: B018
