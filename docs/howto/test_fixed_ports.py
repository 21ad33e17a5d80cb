"""Check that the fixed ports of this project are safe on every system that it runs on."""

import pytest

import portrange

#: Replace this with the settings of the project.
FIXED_PORTS = {"web": 8080, "metrics": 9464, "database": 5432}
#: The systems that the project runs on; the tests can run on any of them.
TARGETS = ("linux", "macos", "windows")


@pytest.mark.parametrize(("purpose", "port"), FIXED_PORTS.items())
def test_the_port_is_safe(purpose: str, port: int) -> None:
    info = portrange.classify(port, targets=TARGETS)
    assert info.safe, "\n".join([f"{purpose}: port {port}", *map(str, info.risks)])
