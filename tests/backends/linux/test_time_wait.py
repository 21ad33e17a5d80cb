"""Which settings let the kernel give the port of a TIME-WAIT socket to a new connection, and from when on."""

from __future__ import annotations

import pytest
from stand_in import StandIn

from portrange._backends.linux.time_wait import Reuse


def settings(**values: bytes) -> StandIn:
    """A machine with these settings below net.ipv4, and no others."""
    return StandIn(files={f"/proc/sys/net/ipv4/{name}": value for name, value in values.items()})


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
def test_where_ports_are_used_again(reuse, everywhere, loopback):
    found = Reuse.of(settings(tcp_tw_reuse=reuse, tcp_timestamps=b"1\n", tcp_tw_reuse_delay=b"1000\n"))
    assert (found.everywhere, found.loopback) == (everywhere, loopback)


@pytest.mark.parametrize("timestamps", [{"tcp_timestamps": b"0\n"}, {}, {"tcp_timestamps": b"?\n"}])
def test_nowhere_without_timestamps(timestamps):
    assert Reuse.of(settings(tcp_tw_reuse=b"1\n", **timestamps))[:2] == (False, False)


@pytest.mark.parametrize(
    ("delay", "left"),
    [
        ({"tcp_tw_reuse_delay": b"1000\n"}, 58_988),
        ({"tcp_tw_reuse_delay": b"1\n"}, 59_987),
        ({"tcp_tw_reuse_delay": b"60000\n"}, -12),  # never
        ({}, 58_988),  # a kernel before 6.13: a second
    ],
)
def test_a_port_is_called_free_only_when_the_kernel_surely_agrees(delay, left):
    """It is counted down from a minute in ticks of up to 10 ms, and decided in milliseconds: 12 ms are added."""
    assert Reuse.of(settings(tcp_tw_reuse=b"1\n", tcp_timestamps=b"1\n", **delay)).expires == left
