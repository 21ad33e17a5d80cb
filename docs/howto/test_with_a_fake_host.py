"""Test a program with a fake host in place of the machine."""

import pytest

import portrange
from portrange.testing import FakeHost


def first_free(ports: list[int], host: portrange.Host | None = None) -> int:
    """Return the first port that can be bound: the code under test."""
    return next(port for port in ports if not portrange.why_busy(port, host=host).blocks)


@pytest.fixture
def host() -> FakeHost:
    """Return a machine on which PostgreSQL listens."""
    postgres = portrange.Process(977, "postgres")
    return FakeHost(listeners=[portrange.Listener("tcp", "ipv4", "127.0.0.1", 5432, owners=(postgres,))])


def test_first_free_leaves_out_a_port_in_use(host: FakeHost) -> None:
    assert first_free([5432, 5433], host) == 5433
