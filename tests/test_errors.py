"""Errors: builtin base classes, attributes, pickling and copying."""

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
def test_error_is_a_portrange_error_and_a_builtin_error(error, builtin):
    assert isinstance(error, PortrangeError)
    assert isinstance(error, builtin)


@pytest.mark.parametrize(("error", "builtin"), ERRORS)
def test_error_survives_pickling_and_copying(error, builtin):
    for duplicate in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(duplicate) is type(error)
        assert str(duplicate) == str(error)
        assert vars(duplicate) == vars(error)


def test_source_error_names_the_source_and_keeps_errno():
    error = SourceError.from_os_error("/proc/net/tcp", PermissionError(errno.EACCES, "Permission denied"))
    assert str(error) == "/proc/net/tcp: Permission denied"
    assert (error.source, error.errno) == ("/proc/net/tcp", errno.EACCES)


def test_parse_error_shows_truncated_text():
    error = ParseError("a file", "a number", "x" * 1000)
    assert str(error).startswith("a file: expected a number, found 'xxx")
    assert len(str(error)) < 200
    assert error.text == "x" * 120
