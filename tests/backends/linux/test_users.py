"""Whether the number of a user means one, by the files of the caller's user namespace."""

from __future__ import annotations

import re

import pytest
from stand_in import StandIn

from portrange import ParseError
from portrange._backends.linux import users

MAP, OVERFLOW = "/proc/self/uid_map", "/proc/sys/kernel/overflowuid"


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("", 0),
        ("0 0 0\n", 0),
        ("0 1000 1\n", 1),
        ("0 1000 1\n1 100000 65536\n", 65537),
        ("         0          0 4294967295\n", 4294967295),
        ("0 0 4294967294\n\n", 4294967294),
    ],
)
def test_how_many_users_there_are(text, known):
    assert users.parse_uid_map(text, "a map") == known
    assert users.knows_all(StandIn(files={MAP: text.encode()})) is (known == 4294967295)


@pytest.mark.parametrize("text", ["0 0\n", "0 0 1 2\n", "0 0 x\n", f"0 0 {1 << 32}\n", "0 0 -1\n"])
def test_what_is_no_map(text):
    with pytest.raises(ParseError, match=r"^a map: expected three numbers in each line, found '0 0"):
        users.parse_uid_map(text, "a map")
    for content in (text.encode(), b"0 0 \xff\n"):
        with pytest.raises(ParseError, match=re.escape(f"{MAP}: expected three numbers")):
            users.knows_all(StandIn(files={MAP: content}))


def test_without_user_namespaces_all_users_are_known():
    assert users.knows_all(StandIn()) is True


def test_a_map_that_may_not_be_read_says_nothing():
    assert users.knows_all(StandIn(files={MAP: PermissionError(13, "Permission denied", MAP)})) is False


@pytest.mark.parametrize(
    ("content", "number"),
    [(b"65534\n", 65534), (b"99\n", 99), (b"\xff\n", 65534), (b"4294967296\n", 65534), (b"0\n", 0)],
)
def test_the_number_of_unknown_users(content, number):
    assert users.overflow(StandIn(files={OVERFLOW: content})) == number


def test_the_number_of_unknown_users_is_read_once():
    host = StandIn(files={OVERFLOW: b"99\n"})
    assert users.overflow(host) == 99
    host.files = {OVERFLOW: b"98\n"}
    assert users.overflow(host) == 99
    assert users.overflow(StandIn()) == 65534
