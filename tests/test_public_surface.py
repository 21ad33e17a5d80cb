"""The names that other programs rely on."""

from __future__ import annotations

import ast
import inspect
import pickle
from pathlib import Path

import pytest

import portrange
from portrange._answers.record import Record

#: The public calls and what they may be given (the design's list).
SIGNATURES = {
    "classify": "(port, *, targets, host)",
    "ephemeral_range": "(*, protocol, family, host)",
    "who_listens": "(port, *, protocol, exhaustive, host)",
    "listeners": "(*, protocol, process, exhaustive, namespaces, host)",
    "who_answers": "(port, address, *, protocol, host)",
    "services": "(name)",
    "who_uses": "(port, *, protocol, remote, host)",
    "wait_for_listener": "(process, port, *, protocol, timeout, host)",
    "why_busy": "(port, *, protocol, address, host)",
}


def test_all_is_sorted_and_complete():
    assert portrange.__all__ == sorted(portrange.__all__)
    imported = {name for names in portrange._MODULES.values() for name in names}
    assert set(portrange.__all__) == imported | {"__version__"}


def test_every_name_is_imported_from_the_module_that_type_checkers_see():
    tree = ast.parse(Path(portrange.__file__).read_text(encoding="utf-8"))
    seen = {
        node.module: tuple(alias.name for alias in node.names)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }
    assert seen == portrange._MODULES


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'clasify'"):
        getattr(portrange, "clasify")  # noqa: B009 - mypy and pyright reject the attribute itself


def test_dir_shows_the_public_names_only():
    assert dir(portrange) == portrange.__all__


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name):
    parts = []
    for parameter in inspect.signature(getattr(portrange, name)).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        parts.append(parameter.name)
    assert f"({', '.join(parts)})" == SIGNATURES[name]


def test_signature_of_a_result_has_its_fields_annotations_and_defaults():
    signature = inspect.signature(portrange.Process)
    assert str(signature).startswith("(pid: 'int', name: 'str | None' = None, ")
    assert list(signature.parameters) == list(portrange.Process.__match_args__)
    assert signature.bind(7, name="web").arguments == {"pid": 7, "name": "web"}
    inherited = inspect.signature(portrange.Listener).parameters
    assert [*inherited][:2] == ["protocol", "family"]
    assert inherited["backlog"].default is None


@pytest.mark.parametrize("name", [name for name in portrange.__all__ if name[0] != "_"])
def test_every_public_name_says_what_it_is(name):
    thing = getattr(portrange, name)
    if callable(thing):
        assert inspect.getdoc(thing)


def test_answers_are_frozen_and_slotted():
    answers = results()
    assert len(answers) >= 8
    for answer in answers:
        assert "__dict__" not in dir(answer), answer
        blank = answer.__new__(answer)
        with pytest.raises(AttributeError, match="cannot assign to field"):
            setattr(blank, answer.__match_args__[0], None)
        with pytest.raises(AttributeError):
            blank.another = None


def results() -> list[type]:
    """The public result classes."""
    public = [getattr(portrange, name) for name in portrange.__all__]
    return [thing for thing in public if isinstance(thing, type) and issubclass(thing, Record)]


@pytest.mark.parametrize("result", results(), ids=lambda result: result.__name__)
def test_every_public_field_has_a_docstring(result):
    [body] = [node.body for node in ast.parse(inspect.getsource(result)).body]
    undocumented = [
        field.target.id
        for field, following in zip(body, [*body[1:], None], strict=True)
        if isinstance(field, ast.AnnAssign) and not field.target.id.startswith("_")
        if not (isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant))
    ]
    assert undocumented == []


def test_the_version_is_a_literal():
    assert f'__version__ = "{portrange.__version__}"' in Path(portrange.__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "answer",
    [
        lambda: portrange.classify(80),
        portrange.ephemeral_range,
        portrange.listeners,
        lambda: portrange.why_busy(80),
    ],
)
def test_answers_are_hashable_and_picklable(answer):
    value = answer()
    again = pickle.loads(pickle.dumps(value))
    assert again == value
    assert hash(again) == hash(value)
