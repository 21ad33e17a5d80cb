"""Process descriptions from procfs."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portrange import ParseError
from portrange._backends.linux import procfs
from portrange._backends.linux.procfs import (
    ProcessReader,
    Stat,
    parse_boot_time,
    parse_cmdline,
    parse_stat,
    parse_uid,
)
from portrange._host.system import System

#: Wine also has a /proc, with other processes.
NEEDS_PROC = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the procfs that is read here")
REST = "S 1 7 7 0 -1 4194560 100 0 0 0 5 3 0 0 20 0 1 0 4711 1000 200 18446744073709551615"


@pytest.mark.parametrize("name", ["sshd", "a b", "a) b", "(sd-pam)", "", ")(", "S 1 2", "x\ny"])
def test_parse_stat_reads_any_process_name(name):
    assert parse_stat(f"7 ({name}) {REST}\n".encode(), "file") == Stat(name.encode(), "S", 4711, 1)


@pytest.mark.parametrize(
    "text", ["", "7", "7 (name", "7 name) " + REST, "7 (name) S 1 2", f"7 (name) {REST}".replace("4711", "x")]
)
def test_parse_stat_rejects_invalid_text(text):
    with pytest.raises(ParseError, match=r"^the file"):
        parse_stat(text.encode(), "the file")


@pytest.mark.parametrize("text", ["", "cpu 1 2 3\n", "btime\n", "btime x\n"])
def test_parse_boot_time_rejects_invalid_text(text):
    with pytest.raises(ParseError):
        parse_boot_time(text, "file")


@pytest.mark.parametrize("text", ["", "Uid:\n", "Uid:\t0\n", "Uid:\ta\tb\tc\td\n"])
def test_parse_uid_rejects_invalid_text(text):
    with pytest.raises(ParseError):
        parse_uid(text, "file")


@pytest.mark.parametrize(
    ("content", "arguments"),
    [
        (b"", ()),
        (b"a\0b\0", ("a", "b")),
        (b"a\0\0", ("a", "")),
        (b"nginx: master process", ("nginx: master process",)),  # the program overwrote its arguments
        (b"\xff\0", ("\\xff",)),
    ],
)
def test_parse_cmdline(content, arguments):
    assert parse_cmdline(content) == arguments


@given(st.text())
def test_arbitrary_text_gives_a_value_or_a_parse_error(text):
    for parse, content in ((parse_stat, text.encode()), (parse_boot_time, text), (parse_uid, text)):
        try:
            parse(content, "file")
        except ParseError as error:
            assert error.source == "file"


@given(st.binary())
def test_parse_cmdline_returns_text_that_utf_8_can_encode(content):
    for argument in parse_cmdline(content):
        argument.encode("utf-8")


@NEEDS_PROC
def test_describe_this_process():
    description = ProcessReader(System()).describe(os.getpid())
    assert description is not None
    process, (started, name, exe) = description
    assert process.pid == os.getpid()
    assert process.exe == os.path.realpath(sys.executable)
    assert process.cmdline[0].endswith(os.path.basename(process.cmdline[0]))
    assert (started, exe) == (procfs.start_ticks(System(), os.getpid()), process.exe)
    assert os.fsencode(process.name).startswith(name)


@NEEDS_PROC
def test_new_process_starts_after_this_process():
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            before = ProcessReader(System()).describe(os.getpid())[0].started
            process = ProcessReader(System()).describe(child.pid)[0]
            for _ in range(100):  # execve(2) may not have completed yet
                if process.cmdline == ("sleep", "60"):
                    break
                time.sleep(0.05)
                process = ProcessReader(System()).describe(child.pid)[0]
            assert process.cmdline == ("sleep", "60")
            assert process.started >= before
        finally:
            child.kill()


@NEEDS_PROC
def test_ended_process_is_none():
    with subprocess.Popen(["true"]) as child:
        child.wait()
    assert ProcessReader(System()).describe(child.pid) is None
    assert procfs.start_ticks(System(), child.pid) is None


@pytest.mark.parametrize("separator", ["\r", "\v", "\f", "\x1c", "\x85", "\u2028"])
def test_parse_uid_ignores_a_uid_line_in_the_process_name(separator):
    """The kernel escapes only newlines in names; other separators that str.splitlines knows stay as they are."""
    assert parse_uid(f"Name:\ta{separator}Uid:\t0\t0\t0\nPid:\t7\nUid:\t1000\t1000\t1000\t1000\n", "file") == 1000


NUMBERS = {
    "thousands of digits": "9" * 5000,
    "65 bits": str(1 << 64),
    "negative": "-1",
    "signed": "+1",
    "grouped": "1_0",
    "other digits": "\u0664\u0665",
    "superscript": "\u00b2",
    "fraction": "1.0",
    "empty": "",
}


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS.keys())
def test_invalid_numbers_raise_parse_error(number):
    with pytest.raises(ParseError):
        parse_boot_time(f"btime {number}\n", "file")
    with pytest.raises(ParseError):
        parse_uid(f"Uid:\t0\t{number}\t\n", "file")
    with pytest.raises(ParseError):
        parse_stat(f"7 (a) S {'1 ' * 18}{number}".encode(), "file")


def test_largest_numbers_are_accepted():
    assert parse_boot_time(f"btime {(1 << 64) - 1}\n", "file") == (1 << 64) - 1
    assert parse_uid(f"Uid:\t0\t{(1 << 32) - 1}\n", "file") == (1 << 32) - 1
    with pytest.raises(ParseError):
        parse_uid(f"Uid:\t0\t{1 << 32}\n", "file")
