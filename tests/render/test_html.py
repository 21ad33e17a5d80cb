from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portrange._render.html import record, table, title


class Reader(HTMLParser):
    """A parsed document: the tags still open, all tags, and the text."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], set(), []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader


values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=10)


@given(st.lists(st.tuples(st.text(), st.text())), st.lists(st.text()))
def test_any_text_gives_a_well_formed_table_of_table_tags(rows, notes):
    reader = read(table(("A", "B"), rows, notes))
    assert reader.open == []
    assert reader.tags <= {"table", "thead", "tbody", "tr", "th", "td", "p"}


@given(st.text(), st.text(), st.dictionaries(st.text(), values))
def test_any_record_gives_well_formed_html(name, verdict, entries):
    reader = read(title(name, (verdict, "bad")) + title(name) + record(entries.items()))
    assert reader.open == []
    assert reader.tags <= {"table", "tbody", "tr", "th", "td", "em", "strong", "ul", "li", "p", "span"}


def test_booleans_and_none_are_rendered_as_yes_no_and_unknown():
    text = read(record({"a": True, "b": False, "c": None, "d": [1, 2]}.items())).text
    assert text == ["A", "yes", "B", "no", "C", "unknown", "D", "1", "2"]


def test_table_has_human_headings_and_figures_at_the_right():
    html = table(("PROTO", "TIME-WAIT", "IN USE"), [("tcp", "1,000", "")], right=(1, 2))
    assert read(html).text == ["Protocol", "TIME-WAIT", "tcp", "1,000"]
    assert html.count("text-align:right") == 2
    assert read(record([("dual_stack", True), ("uid", 0), ("This host", "")])).text[::2] == [
        "Dual stack",
        "User ID",
        "This host",
    ]


@pytest.mark.parametrize("role", ["good", "notice", "bad"])
def test_verdict_is_text_beside_the_title(role):
    html = title("Port 80", ("a verdict", role))
    assert "".join(read(html).text) == "Port 80: a verdict"
    assert "background-color:#" in html
