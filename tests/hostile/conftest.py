"""Neighbours that are as hostile as the kernel allows, started once for all tests of a module."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hostile.neighbours import NEIGHBOURS, Neighbour, move_in
from live.cgroups import Cgroups
from live.world import World
from notebooks.conftest import browser  # noqa: F401 - the same one

if sys.platform != "linux":
    pytest.skip("needs the procfs and the cgroups of Linux", allow_module_level=True)


@pytest.fixture(scope="module")
def neighbourhood(root: None, sock_diag: None) -> Iterator[dict[str, Neighbour]]:
    """Start all neighbours, each with a listener, and yield them by name."""
    try:
        cgroups = Cgroups.here()
    except OSError as error:
        pytest.skip(f"cannot create a cgroup: {error}")
    world = World()
    try:
        yield {name: move_in(world, cgroups, lines) for name, lines in NEIGHBOURS.items()}
    finally:
        world.close()
        cgroups.close()


@pytest.fixture(params=NEIGHBOURS)
def neighbour(request: pytest.FixtureRequest, neighbourhood: dict[str, Neighbour]) -> Neighbour:
    return neighbourhood[request.param]
