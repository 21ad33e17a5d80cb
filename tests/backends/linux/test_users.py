"""Users that the caller's user namespace does not map (uid_map, overflowuid)."""

from __future__ import annotations

import re

import pytest
from fakes import FakeHost

from portrange import ParseError
from portrange._backends.linux import procfs

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
def test_parse_uid_map_counts_users(text, known):
    assert procfs.parse_uid_map(text, "a map") == known
    assert procfs.maps_all_users(FakeHost(files={MAP: text.encode()})) is (known == 4294967295)


@pytest.mark.parametrize("text", ["0 0\n", "0 0 1 2\n", "0 0 x\n", f"0 0 {1 << 32}\n", "0 0 -1\n"])
def test_parse_uid_map_rejects_invalid_text(text):
    with pytest.raises(ParseError, match=r"^a map: expected three numbers in each line, found '0 0"):
        procfs.parse_uid_map(text, "a map")
    for content in (text.encode(), b"0 0 \xff\n"):
        with pytest.raises(ParseError, match=re.escape(f"{MAP}: expected three numbers")):
            procfs.maps_all_users(FakeHost(files={MAP: content}))


def test_all_users_are_known_without_user_namespaces():
    assert procfs.maps_all_users(FakeHost()) is True


def test_users_may_be_unknown_when_uid_map_is_unreadable():
    assert procfs.maps_all_users(FakeHost(files={MAP: PermissionError(13, "Permission denied", MAP)})) is False


@pytest.mark.parametrize(
    ("content", "number"),
    [
        (b"65534\n", 65534),
        (b"99\n", 99),
        (b"70000\n", 70000),
        (b"\xff\n", 65534),
        (b"4294967296\n", 65534),
        (b"0\n", 0),
    ],
)
def test_overflow_uid(content, number):
    assert procfs.overflow_uid(FakeHost(files={OVERFLOW: content})) == number


def test_overflow_uid_is_cached_per_host():
    host = FakeHost(files={OVERFLOW: b"99\n"})
    assert procfs.overflow_uid(host) == 99
    host.files = {OVERFLOW: b"98\n"}
    assert procfs.overflow_uid(host) == 99
    assert procfs.overflow_uid(FakeHost()) == 65534
