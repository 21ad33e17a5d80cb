"""Results about hostile neighbours are correct, and can be printed, serialized and rendered."""

from __future__ import annotations

import json
import pickle
from html.parser import HTMLParser

import pytest
from hostile.neighbours import Neighbour, visible

import portrange
from portrange._render import picture

#: The only elements and attributes of results; a page must not contain any other.
ELEMENTS = {"table", "thead", "tbody", "tr", "th", "td", "ul", "li", "p", "em", "strong"}
ATTRIBUTES = {"style", "scope"}
#: Maximum length of a page about one neighbour, in characters, whatever its names.
MAX_PAGE = 20_000


class Elements(HTMLParser):
    """Elements, attributes and text of a page, as a lenient parser reads them."""

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


def listener_of(neighbour: Neighbour) -> portrange.Listener:
    [listener] = portrange.who_listens(neighbour.port)
    return listener


def texts(neighbour: Neighbour):
    """Yield every text that may be printed about a neighbour."""
    found = portrange.who_listens(neighbour.port)
    [listener] = found
    yield from (str(found), found.to_text(80), found.to_text(40), repr(found))
    yield from (str(listener), listener.holder, repr(listener), *map(str, listener.owners), *map(repr, listener.owners))
    for obstacle in portrange.why_busy(neighbour.port, address="127.0.0.1"):
        yield from (str(obstacle), obstacle.detail, repr(obstacle))


def pages(neighbour: Neighbour):
    """Return every page that a notebook may show about a neighbour."""
    found = portrange.who_listens(neighbour.port)
    results = (found, *found, *(owner for listener in found for owner in listener.owners))
    obstacles = portrange.why_busy(neighbour.port, address="127.0.0.1")
    return [result._repr_html_() for result in (*results, *obstacles)]


def test_listener_and_owner_are_correct(neighbour):
    listener = listener_of(neighbour)
    [owner] = listener.owners
    assert owner.pid == neighbour.pid
    assert (listener.user, owner.user) == ("root", "root")
    assert owner.name == neighbour.lines.comm.decode("utf-8", "backslashreplace")
    assert owner.exe == portrange.listeners().on(neighbour.port)[0].owners[0].exe
    assert listener.scope == "service"
    assert listener.cgroup is not None
    assert listener.cgroup.endswith("/" + neighbour.lines.cgroup.decode("utf-8", "backslashreplace"))


def test_command_line_is_complete(neighbour):
    [owner] = listener_of(neighbour).owners
    expected = [argument.decode("utf-8", "backslashreplace") for argument in neighbour.lines.arguments]
    assert list(owner.cmdline[-len(expected) :]) == expected
    assert owner.cmdline[0] == (expected[0] or " ")


def test_texts_are_printable(neighbour):
    for text in texts(neighbour):
        assert all(line.isprintable() for line in text.split("\n"))
        text.encode("utf-8")


def test_texts_have_the_intended_number_of_lines(neighbour):
    found = portrange.who_listens(neighbour.port)
    assert str(found).count("\n") == 1
    assert "\n" not in str(found[0])
    assert "\n" not in found[0].holder
    assert all("\n" not in str(obstacle) for obstacle in portrange.why_busy(neighbour.port, address="127.0.0.1"))


def test_length_of_texts_and_pages_is_bounded(neighbour):
    assert max(len(text) for text in texts(neighbour) if "cmdline=" not in text) < MAX_PAGE
    assert max(map(len, pages(neighbour))) < MAX_PAGE


def test_page_contains_only_elements_of_results(neighbour):
    for page in pages(neighbour):
        found = Elements(page)
        assert found.elements <= ELEMENTS
        assert found.attributes <= ATTRIBUTES
        assert not found.others
        assert visible(neighbour.lines.comm) in found.text
        assert found.text.isprintable()


def test_drawing_contains_only_its_own_elements(neighbour):
    name = neighbour.lines.arguments[0].decode("utf-8", "backslashreplace")
    found = Elements(picture.bars(name, [picture.Bar(name, 0.5, "half")]))
    assert (found.elements, found.attributes) == ({"div"}, {"style"})
    assert found.text.isprintable()


def test_json_is_ascii_and_lossless(neighbour):
    results = [portrange.who_listens(neighbour.port), *portrange.why_busy(neighbour.port, address="127.0.0.1")]
    for result in results:
        written = json.dumps(result.to_dict())
        assert written.isascii()
        assert written.isprintable()
        assert json.loads(written) == result.to_dict()
        assert pickle.loads(pickle.dumps(result)) == result


def test_cgroup_names_contain_no_newlines(neighbourhood):
    """The kernel rejects them, so that a name is one line in every list of cgroups."""
    [listener] = portrange.who_listens(neighbourhood["lines"].port)
    assert listener.cgroup is not None
    assert "\n" not in listener.cgroup
    assert listener.cgroup.endswith("/a\rb\vc\u2028.service")


def test_truncated_name_is_not_completed_beyond_a_file_name(neighbourhood):
    """The kernel truncates names to 15 bytes; they are completed from the command line, which is untrusted."""
    assert listener_of(neighbourhood["long"]).process == "x" * 15


def test_container_has_the_name_of_its_cgroup(neighbourhood):
    listener = listener_of(neighbourhood["container"])
    assert listener.container == "<img src=x onerror=alert(1)>\x1b[2J"
    assert "\x1b" not in str(portrange.who_listens(listener.port))


def test_table_has_one_line_for_each_neighbour(neighbourhood):
    found = portrange.listeners()
    shown = found.to_text(every_socket=True).split("\n")
    assert len(shown) == 1 + len(found.listeners) + len(found.incomplete)
    for neighbour in neighbourhood.values():
        [line] = [line for line in shown if f" {neighbour.pid} " in line]
        assert visible(neighbour.lines.comm) in line


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_table_fits_the_terminal(neighbourhood, columns):
    from portrange._render.text import width

    assert all(width(line) <= columns for line in portrange.listeners().to_text(columns).split("\n"))
