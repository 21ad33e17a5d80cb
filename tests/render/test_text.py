from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portrange._render.text import page, shorten, table, visible, width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("größer 端口", "größer 端口"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\u202eabc", r"\u202eabc"),
        ("\x9b1m", r"\x9b1m"),
        ("\ud800", r"\ud800"),
    ],
)
def test_control_characters_are_made_visible(text, shown):
    assert visible(text) == shown


@given(st.text())
def test_whatever_it_was_it_is_printable_afterwards(text):
    assert visible(text).isprintable()


@given(st.text(), st.integers(1, 50))
def test_shortened_text_fits(text, columns):
    assert width(shorten(text, columns)) <= columns


def test_columns_are_aligned_also_with_wide_signs():
    lines = table(("A", "B"), [("端口", "x"), ("abc", "y")]).splitlines()
    assert lines == ["A     B", "端口  x", "abc   y"]


def test_empty_columns_are_left_out():
    assert table(("A", "B", "C"), [("1", "", "2"), ("3", "", "4")]) == "A  C\n1  2\n3  4"


def test_a_page_has_labels_and_continued_lines():
    assert page("Port 1", {"IANA": ["one", "two"]}) == "Port 1\n  IANA   one\n         two"
