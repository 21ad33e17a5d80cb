"""Settings that let the kernel reuse the port of a TIME-WAIT socket, and the required age."""

from __future__ import annotations

import pytest
from fakes import FakeHost

from portrange._backends.linux.usage import Reuse


def settings(**values: bytes) -> FakeHost:
    """Return a host that has only these settings below net.ipv4."""
    return FakeHost(files={f"/proc/sys/net/ipv4/{name}": value for name, value in values.items()})


@pytest.mark.parametrize(
    ("reuse", "everywhere", "loopback"),
    [
        (b"0\n", False, False),
        (b"1\n", True, True),
        (b"2\n", False, True),
        (b"3\n", False, False),
        (b"x\n", False, False),
    ],
)
def test_scope_of_reuse(reuse, everywhere, loopback):
    found = Reuse.of(settings(tcp_tw_reuse=reuse, tcp_timestamps=b"1\n", tcp_tw_reuse_delay=b"1000\n"))
    assert (found.everywhere, found.loopback) == (everywhere, loopback)


@pytest.mark.parametrize("timestamps", [{"tcp_timestamps": b"0\n"}, {}, {"tcp_timestamps": b"?\n"}])
def test_no_reuse_without_timestamps(timestamps):
    found = Reuse.of(settings(tcp_tw_reuse=b"1\n", **timestamps))
    assert (found.everywhere, found.loopback) == (False, False)


@pytest.mark.parametrize(
    ("delay", "left"),
    [
        ({"tcp_tw_reuse_delay": b"1000\n"}, 58_988),
        ({"tcp_tw_reuse_delay": b"1\n"}, 59_987),
        ({"tcp_tw_reuse_delay": b"60000\n"}, -12),  # never
        ({}, 58_988),  # a kernel before 6.13: a second
    ],
)
def test_expiry_allows_for_timer_granularity(delay, left):
    """The timer counts down from 60 s in ticks of up to 10 ms; the kernel compares milliseconds: 12 ms are added."""
    assert Reuse.of(settings(tcp_tw_reuse=b"1\n", tcp_timestamps=b"1\n", **delay)).expires == left
