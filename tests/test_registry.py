from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from lengthwise.errors import InputError
from lengthwise.registry import OneOf, Registry, nearest_name, plugins

TARGETS = {"lengths": "collections:Counter", "ordered": "collections:OrderedDict", "missing": "no_such_module:Thing"}


@pytest.fixture
def registry() -> Registry:
    return Registry("test thing", dict(TARGETS))


def test_names_come_in_the_order_of_registration(registry: Registry) -> None:
    assert list(registry) == list(TARGETS)
    assert "ordered" in registry
    assert "Ordered" not in registry


def test_an_object_is_imported_only_when_it_is_asked_for(registry: Registry) -> None:
    assert registry.load("ordered").__name__ == "OrderedDict"
    with pytest.raises(ModuleNotFoundError):
        registry.load("missing")


def test_an_unknown_name_is_answered_with_the_nearest(registry: Registry) -> None:
    with pytest.raises(InputError, match="unknown test thing 'orderd'; did you mean 'ordered'"):
        registry.load("orderd")
    with pytest.raises(InputError, match="'xyz'; known: lengths, ordered, missing"):
        registry.load("xyz")


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put packages on the path that consist of their metadata alone."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(package: str, version: str, **entries: str) -> None:
        folder = tmp_path / f"{package}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        lines = [f"[lengthwise.{group}]\n{entry}\n" for group, entry in entries.items()]
        (folder / "entry_points.txt").write_text("".join(lines))

    return install


def test_other_packages_add_names_with_entry_points(registry: Registry, install: Install) -> None:
    install("outer", "1.0", test_things="outside = fractions:Fraction", tasks="elsewhere = fractions:Fraction")
    assert list(registry) == [*TARGETS, "outside"]
    assert registry.load("outside").__name__ == "Fraction"


def test_a_name_tells_which_package_it_comes_from(registry: Registry, install: Install) -> None:
    install("outer", "1.2", test_things="outside = fractions:Fraction")
    assert registry.origin("outside") == "outer==1.2"
    assert registry.origin("ordered") is None
    with pytest.raises(InputError, match="unknown test thing 'outsid'; did you mean 'outside'"):
        registry.origin("outsid")


def test_a_package_cannot_replace_a_built_in(registry: Registry, install: Install) -> None:
    install("outer", "1.0", test_things="ordered = fractions:Fraction")
    message = (
        r"^package outer \(1\.0\) declares an entry point lengthwise\.test_things = ordered, "
        "which is the name of a built-in; give it another name$"
    )
    for use in (lambda: list(registry), lambda: registry.load("ordered"), lambda: "new" in registry):
        with pytest.raises(InputError, match=message):
            use()


def test_two_packages_cannot_share_a_name(registry: Registry, install: Install) -> None:
    install("outer", "1.0", test_things="new = fractions:Fraction")
    install("other", "2.0", test_things="new = decimal:Decimal")
    with pytest.raises(
        InputError, match=r"packages .* both declare an entry point lengthwise\.test_things = new"
    ) as error:
        registry.load("new")
    assert "outer (1.0)" in str(error.value)
    assert "other (2.0)" in str(error.value)


@pytest.mark.parametrize("entry", ["fractions:Fractoin", "no_such_module:Thing"])
def test_a_name_that_cannot_be_imported_tells_whose_it_is(registry: Registry, install: Install, entry: str) -> None:
    install("outer", "1.0", test_things=f"new = {entry}")
    with pytest.raises(InputError, match=rf"package outer \(1\.0\) declares test thing 'new' as {entry}, which cannot"):
        registry.load("new")


@pytest.mark.parametrize("entry", ["new = fractions:Fraction", f"new = {__name__}:Square"])
def test_settings_of_a_package_have_the_class_and_the_name_of_their_kind(install: Install, entry: str) -> None:
    install("outer", "1.0", shapes=entry)
    with pytest.raises(InputError, match=r"package outer==1\.0 declares shape 'new', which is no Shape with name"):
        TypeAdapter(Annotated[Shape, OneOf(Registry("shape", {"square": f"{__name__}:Square"}))]).validate_python(
            {"name": "new"}
        )


def test_packages_are_listed_once_with_their_versions(install: Install) -> None:
    before = plugins()
    install("outer", "1.0", test_things="new = fractions:Fraction", tasks="new = fractions:Fraction")
    install("another", "2.0", tasks="other = fractions:Fraction")
    assert plugins() == dict(sorted((before | {"outer": "1.0", "another": "2.0"}).items()))


@given(place=st.integers(0, 2), at=st.integers(0, 6), letter=st.characters(categories=["Ll"]))
def test_one_wrong_letter_still_finds_the_name(place: int, at: int, letter: str) -> None:
    name = list(TARGETS)[place]
    misspelt = name[:at] + letter + name[at + 1 :]
    assert nearest_name(misspelt, list(TARGETS)) == f"did you mean {name!r}?"


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("states", ["alphabet", "start", "accepting"], "known: alphabet, start, accepting"),
        ("state", ["start", "seeds"], "known: start, seeds"),
        ("test", ["threads", "task"], "known: threads, task"),
        ("batch_size", ["base", "name"], "known: base, name"),
        ("s4", ["s5", "gla"], "known: s5, gla"),
        ("mamba", ["mamba1", "mamba2", "gla"], "did you mean 'mamba1' or 'mamba2'?"),
        ("Dyck 5", ["dyck_2", "dyck_3", "dyck_4", "parity"], "did you mean 'dyck_2', 'dyck_3' or 'dyck_4'?"),
        ("PARITY", ["parity", "even_pairs"], "did you mean 'parity'?"),
        ("gpt", ["regular_gpt", "gru"], "did you mean 'regular_gpt'?"),
        ("mpl", ["mlp", "grc"], "did you mean 'mlp'?"),
        ("eval", ["evaluate", "label"], "did you mean 'evaluate'?"),
        ("", ["a", "b"], "known: a, b"),
        ("-", ["+", "a"], "known: +, a"),
        ("x" * 5000, ["y" * 5000], f"known: {'y' * 5000}"),
        ("nothing", [], "known: "),
    ],
)
def test_only_what_a_misspelt_name_may_stand_for_is_offered(name: str, known: list[str], said: str) -> None:
    assert nearest_name(name, known) == said


class Shape(BaseModel):
    pass


class Square(Shape):
    name: Literal["square"] = "square"
    side: int = 1


class Circle(Shape):
    name: Literal["circle"] = "circle"
    radius: int = 1


class Unknown(Shape):
    name: Literal["unknown"] = "unknown"
    corners: int = 7


SHAPES = Registry("shape", {kind: f"{__name__}:{kind.title()}" for kind in ("square", "circle")})


@pytest.fixture
def adapter() -> TypeAdapter[Shape]:
    return TypeAdapter(Annotated[Shape, OneOf(SHAPES)])


def test_settings_are_read_as_the_member_that_their_name_says(adapter: TypeAdapter[Shape]) -> None:
    assert adapter.validate_python({"name": "circle", "radius": 3}) == Circle(radius=3)
    with pytest.raises(ValidationError, match="'square', 'circle'"):
        adapter.validate_python({"name": "unknown"})


@pytest.mark.parametrize("shape", [Square(side=2), Unknown()])
def test_an_instance_is_taken_and_written_whether_it_has_a_name_here_or_not(
    adapter: TypeAdapter[Shape], shape: Shape
) -> None:
    assert adapter.validate_python(shape) is shape
    assert adapter.dump_python(shape) == shape.model_dump()
    assert adapter.dump_json(shape).decode() == shape.model_dump_json()


def test_the_schema_lists_the_members(adapter: TypeAdapter[Shape]) -> None:
    assert set(adapter.json_schema()["discriminator"]["mapping"]) == {"square", "circle"}
