"""Neighbours that are as hostile as the kernel lets them be, once for all tests of a module."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hostile.neighbours import NEIGHBOURS, Neighbour, move_in
from live.cgroups import Cgroups
from live.world import World
from notebooks.conftest import browser  # noqa: F401 - the same one

if sys.platform != "linux":
    pytest.skip("processes are renamed and grouped as on Linux", allow_module_level=True)


@pytest.fixture(scope="module")
def neighbourhood(root: None, sock_diag: None) -> Iterator[dict[str, Neighbour]]:
    """All neighbours by name, each with a port that it listens on."""
    try:
        cgroups = Cgroups.here()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    world = World()
    try:
        yield {name: move_in(world, cgroups, lines) for name, lines in NEIGHBOURS.items()}
    finally:
        world.close()
        cgroups.close()


@pytest.fixture(params=NEIGHBOURS)
def neighbour(request: pytest.FixtureRequest, neighbourhood: dict[str, Neighbour]) -> Neighbour:
    return neighbourhood[request.param]
