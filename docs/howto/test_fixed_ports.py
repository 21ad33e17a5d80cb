"""The ports that this project writes down are safe to rely on, wherever its tests run."""

import pytest

import portrange

#: Where a project has its settings, it imports them instead.
FIXED_PORTS = {"web": 8080, "metrics": 9464, "database": 5432}


@pytest.mark.parametrize(("purpose", "port"), FIXED_PORTS.items())
def test_the_port_is_safe(purpose: str, port: int) -> None:
    info = portrange.classify(port)
    assert info.safe, "\n".join([f"{purpose}: port {port}", *map(str, info.risks)])


@pytest.mark.parametrize(("purpose", "port"), FIXED_PORTS.items())
def test_no_common_system_hands_the_port_out(purpose: str, port: int) -> None:
    """Also where the tests do not run: a colleague's laptop, the customer's server."""
    pools = set(portrange.classify(port).ephemeral_by_default_on) & {"linux", "macos", "windows"}
    assert not pools, f"{purpose}: port {port} is in the default pool of {', '.join(sorted(pools))}"
