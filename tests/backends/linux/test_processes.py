"""Processes as procfs describes them."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portrange import Host, ParseError
from portrange._backends.linux import processes
from portrange._backends.linux.processes import ProcessReader, parse_boot_time, parse_cmdline, parse_stat, parse_uid

#: Under Wine there is a /proc as well, of other processes.
NEEDS_PROC = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the procfs that is read here")
REST = "S 1 7 7 0 -1 4194560 100 0 0 0 5 3 0 0 20 0 1 0 4711 1000 200 18446744073709551615"


@pytest.mark.parametrize("name", ["sshd", "a b", "a) b", "(sd-pam)", "", ")(", "S 1 2", "x\ny"])
def test_any_name_is_read_whole(name):
    assert parse_stat(f"7 ({name}) {REST}\n".encode(), "file") == (name.encode(), "S", 4711)


@pytest.mark.parametrize(
    "text", ["", "7", "7 (name", "7 name) " + REST, "7 (name) S 1 2", f"7 (name) {REST}".replace("4711", "x")]
)
def test_what_is_no_stat(text):
    with pytest.raises(ParseError, match=r"^the file"):
        parse_stat(text.encode(), "the file")


@pytest.mark.parametrize("text", ["", "cpu 1 2 3\n", "btime\n", "btime x\n"])
def test_what_tells_no_boot_time(text):
    with pytest.raises(ParseError):
        parse_boot_time(text, "file")


@pytest.mark.parametrize("text", ["", "Uid:\n", "Uid:\t0\n", "Uid:\ta\tb\tc\td\n"])
def test_what_tells_no_user(text):
    with pytest.raises(ParseError):
        parse_uid(text, "file")


@pytest.mark.parametrize(
    ("content", "arguments"),
    [
        (b"", ()),
        (b"a\0b\0", ("a", "b")),
        (b"a\0\0", ("a", "")),
        (b"nginx: master process", ("nginx: master process",)),  # a program that wrote over its arguments
        (b"\xff\0", ("\\xff",)),
    ],
)
def test_command_lines(content, arguments):
    assert parse_cmdline(content) == arguments


@given(st.text())
def test_any_text_gives_a_value_or_a_parse_error(text):
    for parse, content in ((parse_stat, text.encode()), (parse_boot_time, text), (parse_uid, text)):
        try:
            parse(content, "file")
        except ParseError as error:
            assert error.source == "file"


@given(st.binary())
def test_any_command_line_goes_into_json_and_utf_8(content):
    for argument in parse_cmdline(content):
        argument.encode("utf-8")


@NEEDS_PROC
def test_this_process():
    description = ProcessReader(Host()).describe(os.getpid())
    assert description is not None
    process, started = description
    assert process.pid == os.getpid()
    assert process.exe == os.path.realpath(sys.executable)
    assert process.cmdline[0].endswith(os.path.basename(process.cmdline[0]))
    assert started == processes.start_ticks(Host(), os.getpid())


@NEEDS_PROC
def test_a_process_started_now_was_started_now():
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            before = ProcessReader(Host()).describe(os.getpid())[0].started
            process = ProcessReader(Host()).describe(child.pid)[0]
            for _ in range(100):  # it may still be on its way from one program to the other
                if process.cmdline == ("sleep", "60"):
                    break
                time.sleep(0.05)
                process = ProcessReader(Host()).describe(child.pid)[0]
            assert process.cmdline == ("sleep", "60")
            assert process.started >= before
        finally:
            child.kill()


@NEEDS_PROC
def test_a_process_that_has_gone_is_none():
    with subprocess.Popen(["true"]) as child:
        child.wait()
    assert ProcessReader(Host()).describe(child.pid) is None
    assert processes.start_ticks(Host(), child.pid) is None


@pytest.mark.parametrize("sign", ["\r", "\v", "\f", "\x1c", "\x85", "\u2028"])
def test_a_name_cannot_pass_for_the_line_of_the_user(sign):
    """The kernel escapes newlines in a name alone; a process may call itself what ends a line elsewhere."""
    assert parse_uid(f"Name:\ta{sign}Uid:\t0\t0\t0\nPid:\t7\nUid:\t1000\t1000\t1000\t1000\n", "file") == 1000


NUMBERS = {
    "thousands of digits": "9" * 5000,
    "65 bits": str(1 << 64),
    "negative": "-1",
    "signed": "+1",
    "grouped": "1_0",
    "other digits": "\u0664\u0665",
    "raised": "\u00b2",
    "a fraction": "1.0",
    "nothing": "",
}


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS.keys())
def test_what_the_kernel_does_not_print_is_no_number(number):
    with pytest.raises(ParseError):
        parse_boot_time(f"btime {number}\n", "file")
    with pytest.raises(ParseError):
        parse_uid(f"Uid:\t0\t{number}\t\n", "file")
    with pytest.raises(ParseError):
        parse_stat(f"7 (a) S {'1 ' * 18}{number}".encode(), "file")


def test_the_greatest_numbers_are_numbers():
    assert parse_boot_time(f"btime {(1 << 64) - 1}\n", "file") == (1 << 64) - 1
    assert parse_uid(f"Uid:\t0\t{(1 << 32) - 1}\n", "file") == (1 << 32) - 1
    with pytest.raises(ParseError):
        parse_uid(f"Uid:\t0\t{1 << 32}\n", "file")
