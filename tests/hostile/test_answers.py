"""Answers about hostile neighbours are true, and can be printed, written, sent and shown."""

from __future__ import annotations

import json
import pickle
from html.parser import HTMLParser

import pytest
from hostile.neighbours import Neighbour, visible

import portrange
from portrange._render import svg

#: All that answers are made of; nothing else may get into a page.
ELEMENTS = {"table", "thead", "tbody", "caption", "tr", "th", "td", "ul", "li", "p", "em", "strong"}
ATTRIBUTES = {"style", "scope"}
#: A page about one neighbour, whatever it says of itself, in characters.
PAGE = 20_000


class Elements(HTMLParser):
    """What a page consists of, as far as a lenient reader understands it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.others: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.others.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def of(neighbour: Neighbour) -> portrange.Listener:
    [one] = portrange.who_listens(neighbour.port)
    return one


def texts(neighbour: Neighbour):
    """Everything that may be printed about a neighbour."""
    found = portrange.who_listens(neighbour.port)
    [one] = found
    yield from (str(found), found.to_text(80), found.to_text(40), repr(found))
    yield from (str(one), one.holder, repr(one), *map(str, one.owners), *map(repr, one.owners))
    for obstacle in portrange.why_busy(neighbour.port, address="127.0.0.1"):
        yield from (str(obstacle), obstacle.detail, repr(obstacle))


def pages(neighbour: Neighbour):
    """Everything that a notebook may show about a neighbour."""
    found = portrange.who_listens(neighbour.port)
    answers = (found, *found, *(owner for one in found for owner in one.owners))
    obstacles = portrange.why_busy(neighbour.port, address="127.0.0.1")
    return [answer._repr_html_() for answer in (*answers, *obstacles)]


def test_it_is_known_for_what_it_is(neighbour):
    one = of(neighbour)
    [owner] = one.owners
    assert owner.pid == neighbour.pid
    assert (one.user, owner.user) == ("root", "root")
    assert owner.name == neighbour.lines.comm.decode("utf-8", "backslashreplace")
    assert owner.exe == portrange.listeners().on(neighbour.port)[0].owners[0].exe
    assert one.scope == "service"
    assert one.cgroup is not None
    assert one.cgroup.endswith("/" + neighbour.lines.cgroup.decode("utf-8", "backslashreplace"))


def test_its_command_line_is_whole(neighbour):
    [owner] = of(neighbour).owners
    expected = [argument.decode("utf-8", "backslashreplace") for argument in neighbour.lines.arguments]
    assert list(owner.cmdline[-len(expected) :]) == expected
    assert owner.cmdline[0] == (expected[0] or " ")


def test_whatever_is_printed_is_printable(neighbour):
    for text in texts(neighbour):
        assert all(line.isprintable() for line in text.split("\n"))
        text.encode("utf-8")


def test_what_is_printed_is_as_many_lines_as_meant(neighbour):
    found = portrange.who_listens(neighbour.port)
    assert str(found).count("\n") == 1
    assert "\n" not in str(found[0])
    assert "\n" not in found[0].holder
    assert all("\n" not in str(obstacle) for obstacle in portrange.why_busy(neighbour.port, address="127.0.0.1"))


def test_what_is_printed_is_bounded(neighbour):
    assert max(len(text) for text in texts(neighbour) if "cmdline=" not in text) < PAGE
    assert max(map(len, pages(neighbour))) < PAGE


def test_a_page_consists_of_its_own_elements(neighbour):
    for page in pages(neighbour):
        found = Elements(page)
        assert found.elements <= ELEMENTS
        assert found.attributes <= ATTRIBUTES
        assert not found.others
        assert visible(neighbour.lines.comm) in found.text
        assert found.text.isprintable()


def test_a_drawing_consists_of_its_own_elements(neighbour):
    name = neighbour.lines.arguments[0].decode("utf-8", "backslashreplace")
    found = Elements(svg.bars(name, [svg.Bar(name, 0.5)]))
    assert found.elements == {"svg", "title", "text", "rect"}
    assert not [attribute for attribute in found.attributes if attribute.startswith("on")]
    assert found.text.isprintable()


def test_json_is_ascii_and_says_the_same(neighbour):
    answers = [portrange.who_listens(neighbour.port), *portrange.why_busy(neighbour.port, address="127.0.0.1")]
    for answer in answers:
        written = json.dumps(answer.to_dict())
        assert written.isascii()
        assert written.isprintable()
        assert json.loads(written) == answer.to_dict()
        assert pickle.loads(pickle.dumps(answer)) == answer


def test_the_kernel_keeps_newlines_out_of_the_names_of_groups(neighbourhood):
    """So a group's name is one line in every list of groups."""
    [one] = portrange.who_listens(neighbourhood["lines"].port)
    assert one.cgroup is not None
    assert "\n" not in one.cgroup
    assert one.cgroup.endswith("/a\rb\vc\u2028.service")


def test_a_program_file_cannot_be_called_more_than_a_file(neighbourhood):
    """The kernel's 15 bytes of a name are completed from the command line, which may say anything."""
    assert of(neighbourhood["long"]).process == "x" * 15


def test_a_container_is_called_what_its_group_is_called(neighbourhood):
    one = of(neighbourhood["container"])
    assert one.container == "<img src=x onerror=alert(1)>\x1b[2J"
    assert "\x1b" not in str(portrange.who_listens(one.port))


def test_all_of_them_stand_in_one_table(neighbourhood):
    found = portrange.listeners()
    shown = str(found).split("\n")
    assert len(shown) == 1 + len(found.listeners) + len(found.incomplete)
    for neighbour in neighbourhood.values():
        [line] = [line for line in shown if f"({neighbour.pid})" in line]
        assert visible(neighbour.lines.comm) in line


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_all_of_them_fit_a_terminal(neighbourhood, columns):
    from portrange._render.text import width

    assert all(width(line) <= columns for line in portrange.listeners().to_text(columns).split("\n"))
