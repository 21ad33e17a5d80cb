"""Changes of the visible cgroups while a program runs."""

from __future__ import annotations

import pytest
from live.cgroups import Cgroups
from live.world import World


@pytest.mark.usefixtures("namespaces")
def test_cgroup_is_found_after_its_hiding_mount_is_removed(cgroups: Cgroups, world: World):
    child = world.start("join_cgroup(sys.argv[1]); made = tcp(); say(port(made)); wait()", cgroups.make("web.service"))
    queries = world.ask(
        """
        import portrange
        mount_point, other, number = sys.argv[1:]
        def found():
            return [(listener.unit, listener.scope) for listener in portrange.who_listens(int(number))]
        new_mounts()
        bind_mount(other, mount_point)
        narrow = [found(), found()]
        unmount(mount_point)
        say([*narrow, found()])
        """,
        cgroups.mount,
        cgroups.make("other"),
        child.hear(),
    )
    # Where the group of the socket is hidden, the unit is that of its owner, found among all processes.
    assert queries == [[["web.service", "host"]], [["web.service", "host"]], [["web.service", "service"]]]
