"""Every parser, on what fuzzing found before and on what hypothesis makes of real input: a value or a refusal."""

from __future__ import annotations

import pytest
from fuzz.harnesses import HARNESSES, run
from fuzz.run import CORPUS
from hypothesis import given
from hypothesis import strategies as st

PARSERS = pytest.mark.parametrize("name", HARNESSES)
KEPT = sorted(CORPUS.glob("*/*"))
#: What parsers of text and numbers stumble over.
TELLING = [
    b"",
    b"\0",
    b"\r\n",
    b"\x0b",
    b"\x0c",
    b"\x1c",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\xef\xbb\xbf",
    b"\xff",
    b"-1",
    b"_1",
    b"65536",
    b"4294967296",
    b"9" * 5000,
    "٤٩١٥٢²".encode(),
    b"0x10",
    b"\x1b[2J",
    b"<script>",
    b"%s",
    b"\\",
    b"'\"",
]


@PARSERS
def test_real_input_is_understood_or_refused_for_a_reason(name):
    for seed in HARNESSES[name].seeds:
        run(name, seed)


@PARSERS
@given(data=st.binary(max_size=200))
def test_any_bytes(name, data):
    run(name, data)


@PARSERS
@given(data=st.data())
def test_real_input_with_a_part_replaced(name, data):
    real = data.draw(st.sampled_from(HARNESSES[name].seeds))
    start = data.draw(st.integers(0, len(real)))
    end = data.draw(st.integers(start, min(len(real), start + 40)))
    part = data.draw(st.sampled_from(TELLING) | st.binary(max_size=8))
    run(name, real[:start] + part + real[end:])


@PARSERS
@pytest.mark.parametrize("part", TELLING, ids=lambda part: repr(part)[2:20])
def test_what_is_telling_alone_and_among_real_input(name, part):
    run(name, part)
    for real in HARNESSES[name].seeds:
        run(name, real + part)
        run(name, part + real)
        run(name, real.replace(b"0", part, 1))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name[:16]}")
def test_what_was_kept_holds(path):
    run(path.parent.name, path.read_bytes())


def test_nothing_is_kept_for_parsers_that_are_gone():
    assert {path.parent.name for path in KEPT} <= set(HARNESSES)
    assert KEPT
