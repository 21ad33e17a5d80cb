"""Errors: each also a builtin, with its parts, and able to travel between processes."""

from __future__ import annotations

import copy
import errno
import pickle

import pytest

from portrange import InvalidPortError, ParseError, PortrangeError, SourceError, UnsupportedPlatformError

ERRORS = [
    (InvalidPortError("70000 is not a port"), ValueError),
    (UnsupportedPlatformError("no way is known"), NotImplementedError),
    (SourceError("/proc/net/tcp", "Permission denied", errno.EACCES), OSError),
    (SourceError("netsh", "no answer"), OSError),
    (ParseError("/proc/stat", "a line with btime", "x" * 1000), ValueError),
]


@pytest.mark.parametrize(("error", "builtin"), ERRORS)
def test_each_is_portranges_and_a_builtin(error, builtin):
    assert isinstance(error, PortrangeError)
    assert isinstance(error, builtin)


@pytest.mark.parametrize(("error", "builtin"), ERRORS)
def test_each_survives_pickling_and_copying(error, builtin):
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


def test_a_source_error_names_the_source_and_keeps_the_number():
    error = SourceError.from_os_error("/proc/net/tcp", PermissionError(errno.EACCES, "Permission denied"))
    assert str(error) == "/proc/net/tcp: Permission denied"
    assert (error.source, error.errno) == ("/proc/net/tcp", errno.EACCES)


def test_a_parse_error_shows_what_was_found_and_keeps_it_short():
    error = ParseError("a file", "a number", "x" * 1000)
    assert str(error).startswith("a file: expected a number, found 'xxx")
    assert len(str(error)) < 200
    assert error.text == "x" * 120
