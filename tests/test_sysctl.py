"""Calls of sysctl(3), tested with a C library that follows its manual page."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys

import pytest

from portrange import ParseError, Span
from portrange._backends import sysctl
from portrange._backends.sysctl import parse_number, parse_ports
from portrange._host.sysctl import read_sysctl, read_with_size
from portrange._host.system import System

LIBRARY = r"""
#include <errno.h>
#include <string.h>

static int grown;

static int give(const void *value, size_t length, void *old, size_t *old_length)
{
    if (old == 0) { *old_length = length; return 0; }
    if (*old_length < length) { errno = ENOMEM; return -1; }
    memcpy(old, value, length);
    *old_length = length;
    return 0;
}

int sysctlbyname(const char *name, void *old, size_t *old_length, const void *new, size_t new_length)
{
    static const int first = 49152;
    if (new != 0 || new_length != 0) { errno = EPERM; return -1; }
    if (strcmp(name, "net.inet.ip.portrange.first") == 0) return give(&first, sizeof first, old, old_length);
    if (strcmp(name, "empty") == 0) return give("", 0, old, old_length);
    if (strcmp(name, "growing") == 0) {
        grown = old ? grown : grown + 1;
        return give("0123456789", old ? grown + 1 - (grown == 3) : grown, old, old_length);
    }
    if (strcmp(name, "smaller") == 0) return give("0123456789", old ? 2 : 10, old, old_length);
    if (strcmp(name, "endless") == 0) { errno = ENOMEM; return old ? -1 : give("", 1, old, old_length); }
    if (strcmp(name, "secret") == 0) { errno = EACCES; return -1; }
    errno = ENOENT;
    return -1;
}

int sysctl(const int *name, unsigned length, void *old, size_t *old_length, const void *new, size_t new_length)
{
    static const int last = 49151;
    if (length == 4 && name[0] == 4 && name[1] == 2 && name[2] == 0 && name[3] == 8)
        return give(&last, sizeof last, old, old_length);
    errno = ENOENT;
    return -1;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    directory = tmp_path_factory.mktemp("libc")
    (directory / "sysctl.c").write_text(LIBRARY)
    library = directory / "libsysctl.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, directory / "sysctl.c"], check=True)
    return str(library)


def test_read_sysctl_by_name(library):
    assert parse_number(read_sysctl("net.inet.ip.portrange.first", library), "sysctl") == 49152


def test_read_sysctl_by_mib_numbers(library):
    assert parse_number(read_sysctl((4, 2, 0, 8), library), "sysctl") == 49151


def test_read_sysctl_empty_value(library):
    assert read_sysctl("empty", library) == b""


def test_read_sysctl_value_that_grows_between_calls(library):
    assert read_sysctl("growing", library) == b"012"


def test_read_with_size_returns_the_requested_size(library):
    assert read_with_size("smaller", library) == (b"01", 10)


@pytest.mark.parametrize(
    ("name", "number"),
    [("nowhere", errno.ENOENT), ((4, 2, 0, 99), errno.ENOENT), ("secret", errno.EACCES), ("endless", errno.ENOMEM)],
)
def test_read_sysctl_failure_keeps_errno_and_names_the_setting(library, name, number):
    with pytest.raises(OSError, match=str(name).replace("(", r"\(").replace(")", r"\)")) as caught:
        read_sysctl(name, library)
    assert caught.value.errno == number


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have a sysctl")
def test_sysctl_missing_from_the_c_library_raises_os_error():
    with pytest.raises(OSError, match="no sysctl"):
        System().sysctl("net.inet.ip.portrange.first")


def test_parse_number_requires_four_bytes(monkeypatch):
    monkeypatch.setattr(sysctl, "byteorder", "big")
    assert parse_number(b"\0\0\xc0\0", "sysctl") == 49152
    with pytest.raises(ParseError):
        parse_number(b"\0\0\0\0\0\0\xc0\0", "sysctl")


@pytest.mark.parametrize("order", ["little", "big"])
def test_parse_ports_reads_a_bitmap_of_32_bit_units(order, monkeypatch):
    monkeypatch.setattr(sysctl, "byteorder", order)
    units = [0] * 2048
    units[0], units[1], units[2047] = 1 << 31, 1, 1 << 31
    bitmap = b"".join(unit.to_bytes(4, order) for unit in units)
    assert parse_ports(bitmap, "sysctl") == (Span(31, 32), Span(65535, 65535))
    with pytest.raises(ParseError):
        parse_ports(bitmap[:64], "sysctl")
