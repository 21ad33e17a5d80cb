"""Check that the fixed ports of this project are safe on every machine that runs its tests."""

import pytest

import portrange

#: Import the settings of the project instead, if it has any.
FIXED_PORTS = {"web": 8080, "metrics": 9464, "database": 5432}


@pytest.mark.parametrize(("purpose", "port"), FIXED_PORTS.items())
def test_the_port_is_safe(purpose: str, port: int) -> None:
    info = portrange.classify(port)
    assert info.safe, "\n".join([f"{purpose}: port {port}", *map(str, info.risks)])


@pytest.mark.parametrize(("purpose", "port"), FIXED_PORTS.items())
def test_no_common_system_allocates_the_port(purpose: str, port: int) -> None:
    """Cover systems that do not run the tests, such as a developer laptop or a production server."""
    systems = set(portrange.classify(port).ephemeral_by_default_on) & {"linux", "macos", "windows"}
    assert not systems, f"{purpose}: port {port} is in the default ephemeral range of {', '.join(sorted(systems))}"
