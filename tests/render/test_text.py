from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portrange._render.strings import visible
from portrange._render.text import Line, Names, Several, Style, labelled, page, shorten, table, width, wrap


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
def test_visible_escapes_control_characters(text, shown):
    assert visible(text) == shown


@given(st.text())
def test_visible_text_is_printable(text):
    assert visible(text).isprintable()


@given(st.text(), st.integers(1, 50))
def test_shortened_text_fits(text, columns):
    assert width(shorten(text, columns)) <= columns


def test_columns_with_wide_characters_are_aligned():
    lines = table(("A", "B"), [("端口", "x"), ("abc", "y")]).splitlines()
    assert lines == ["A     B", "端口  x", "abc   y"]


def test_empty_columns_are_omitted():
    assert table(("A", "B", "C"), [("1", "", "2"), ("3", "", "4")]) == "A  C\n1  2\n3  4"


def test_page_has_labels_and_continuation_lines():
    assert page("Port 1", {"IANA": ["one", "two"]}) == "Port 1\n  IANA   one\n         two"


WORKERS = Names("", (("a-long-name", "(81)"), ("b", "(82)"), ("another-long-name", "(83)")))


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (60, "a-long-name (81), b (82), another-long-name (83)"),
        (45, "a-long-name (81), b (82), another-long-… (83)"),
        (36, "a-long-… (81), b (82), another… (83)"),
        (30, "a-long-… (81), b (82), +1"),
        (18, "a-long-… (81), +2"),
        (14, "a-lo… (81), +2"),
    ],
)
def test_fit_shortens_names_before_it_omits_pids(columns, shown):
    assert WORKERS.fit(columns) == shown


@given(st.text(), st.lists(st.tuples(st.text(), st.integers(1, 10**6).map("({})".format))), st.integers(1, 90))
def test_names_fit_and_are_printable(opening, named, columns):
    shown = Names(visible(opening), named).fit(columns)
    assert width(shown) <= columns
    assert shown.isprintable()


def test_many_names_in_a_sentence_are_counted():
    assert WORKERS.summary() == str(WORKERS)
    assert WORKERS.summary(most=1) == "a-long-name (81) and 2 more"


def test_narrow_table_shortens_its_widest_column_first():
    rows = [("tcp", "127.0.0.1:80", "a-service-with-a-long-name.service", WORKERS)]
    assert table(("P", "ADDRESS", "UNIT", "HELD BY"), rows, 60, whole=(0, 1)) == (
        "P    ADDRESS       UNIT                 HELD BY\ntcp  127.0.0.1:80  a-service-with-a-l…  a-long-… (81), +2"
    )


@given(st.lists(st.tuples(st.text(), st.text(), st.text())), st.integers(20, 100))
def test_tables_fit(rows, columns):
    assert all(width(line) <= columns for line in table(("A", "B", "C"), rows, columns).split("\n"))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("short", ["short"]),
        ("some terms that go on", ["some terms", "  that go", "  on"]),
        ("  indented terms go on", ["  indented", "    terms", "    go on"]),
        ("unbreakably-long", ["unbreakabl", "  y-long"]),
        ("   unbreakably-long", ["     unbre", "     akabl", "     y-lon", "     g"]),
        ("an unbreakably-long one", ["an", "  unbreaka", "  bly-long", "  one"]),
        ("端口端口端口", ["端口端口端", "  口"]),
        ("ten column ", ["ten column"]),
        ("ten column  s", ["ten column", "   s"]),
        (" " * 12, [""]),
        ("", [""]),
    ],
)
def test_wrapped_text_has_a_hanging_indent(text, lines):
    assert wrap(text, 10) == lines


@given(st.text().map(visible), st.integers(20, 80))
def test_wrapped_text_fits_and_is_complete(text, columns):
    lines = wrap(text, columns)
    assert all(width(line) <= columns for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert len(lines) == 1 or all(line.strip() for line in lines)


def test_labels_have_their_own_column():
    assert labelled([Line("a", "one"), Line("long", "two"), Line("", "three")]) == "a    one\nlong two\n     three"


def test_text_follows_below_labels_that_leave_no_room():
    assert labelled([Line("a-long-label", "text"), Line("", "more")], Style(30)) == "a-long-label\n  text\n  more"


def test_colours_do_not_change_the_layout():
    lines = [Line("bad:", "a sentence that is wrapped", "bad"), Line("", "more", "good")]
    coloured = labelled(lines, Style(25, colour=True))
    assert coloured == "\x1b[31mbad:\x1b[0m a sentence that is\n       wrapped\n     more"
    assert Style(25).paint("bad", "text") == "text"
    assert Style(25, colour=True).paint("nothing special", "text") == "text"


def test_combining_characters_have_no_width():
    assert width("e\u0301") == 1
    assert shorten("e\u0301" * 4, 4) == "e\u0301" * 4


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (40, "127.0.0.1, fe80::1, ::1"),
        (20, "127.0.0.1 +2 more"),
        (18, "127.0.0.1 +2 more"),
        (12, "127.0.0.1 +2"),
        (8, "12….1 +2"),
        (2, "…"),
    ],
)
def test_list_that_does_not_fit_counts_the_rest(columns, shown):
    assert Several(("127.0.0.1", "fe80::1", "::1")).fit(columns) == shown


@given(st.lists(st.text(max_size=20), max_size=5), st.integers(1, 60))
def test_lists_fit_and_are_printable(items, columns):
    shown = Several(items).fit(columns)
    assert width(shown) <= columns
    assert shown.isprintable()


def test_narrow_columns_are_shortened_in_their_order_and_right_columns_aligned():
    rows = [("1", "a" * 20, "b" * 20), ("10", "a", "b")]
    assert table(("N", "A", "B"), rows, 40, narrow=((2, 10), (1, 10)), right=(0,)).splitlines() == [
        " N  A                     B",
        " 1  aaaaaaaaaaaaaaaaaaaa  bbbbbbbbbbbbb…",
        "10  a                     b",
    ]
    assert (
        table(("N", "A", "B"), rows, 30, narrow=((2, 10), (1, 10))).splitlines()[1] == "1   aaaaaaaaaaaaa…  bbbbbbbbb…"
    )


def test_single_address_is_cut_in_the_middle():
    assert Several(("fd00:1234:5678:9abc:def0:1234:5678:9abd",)).fit(15) == "fd00:12…78:9abd"
