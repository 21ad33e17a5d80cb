"""Every parser returns a value or an allowed error for kept inputs and for variations of real input."""

from __future__ import annotations

import pytest
from fuzz.harnesses import HARNESSES, run
from fuzz.run import CORPUS
from hypothesis import given
from hypothesis import strategies as st

PARSERS = pytest.mark.parametrize("name", HARNESSES)
KEPT = sorted(CORPUS.glob("*/*"))
#: Input that often breaks parsers of text and numbers.
TRICKY = [
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
def test_seeds(name):
    for seed in HARNESSES[name].seeds:
        run(name, seed)


@PARSERS
@given(data=st.binary(max_size=200))
def test_arbitrary_bytes(name, data):
    run(name, data)


@PARSERS
@given(data=st.data())
def test_seeds_with_a_replaced_part(name, data):
    real = data.draw(st.sampled_from(HARNESSES[name].seeds))
    start = data.draw(st.integers(0, len(real)))
    end = data.draw(st.integers(start, min(len(real), start + 40)))
    part = data.draw(st.sampled_from(TRICKY) | st.binary(max_size=8))
    run(name, real[:start] + part + real[end:])


@PARSERS
@pytest.mark.parametrize("part", TRICKY, ids=lambda part: repr(part)[2:20])
def test_tricky_input_alone_and_in_seeds(name, part):
    run(name, part)
    for real in HARNESSES[name].seeds:
        run(name, real + part)
        run(name, part + real)
        run(name, real.replace(b"0", part, 1))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name[:16]}")
def test_corpus(path):
    run(path.parent.name, path.read_bytes())


def test_corpus_has_no_inputs_of_removed_parsers():
    assert {path.parent.name for path in KEPT} <= set(HARNESSES)
    assert KEPT
