"""The names that other programs rely on."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
from pathlib import Path

import pytest

import portrange

#: The public calls and what they may be given (the design's list).
SIGNATURES = {
    "classify": "(port, *, host)",
    "ephemeral_range": "(*, protocol, family, host)",
    "who_listens": "(port, *, protocol, exhaustive, host)",
    "listeners": "(*, protocol, exhaustive, namespaces, host)",
    "services": "(name)",
    "why_busy": "(port, *, protocol, address, host)",
}


def test_all_is_sorted_and_complete():
    assert portrange.__all__ == sorted(portrange.__all__)
    public = {name for name in vars(portrange) if not name.startswith("_")} | {"__version__"}
    assert set(portrange.__all__) == public


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


@pytest.mark.parametrize("name", [name for name in portrange.__all__ if name[0] != "_"])
def test_every_public_name_says_what_it_is(name):
    thing = getattr(portrange, name)
    if callable(thing):
        assert inspect.getdoc(thing)


def test_answers_are_frozen_and_slotted():
    answers = [thing for thing in map(vars(portrange).get, portrange.__all__) if dataclasses.is_dataclass(thing)]
    assert len(answers) >= 8
    for answer in answers:
        assert answer.__dataclass_params__.frozen, answer
        assert "__dict__" not in dir(answer), answer


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
