"""What a mount shows of the control groups, which can change while a program runs."""

from __future__ import annotations

import pytest
from live.cgroups import Cgroups
from live.world import World


@pytest.mark.usefixtures("namespaces")
def test_a_group_that_was_out_of_sight_is_found_once_it_is_in_sight(cgroups: Cgroups, world: World):
    child = world.start("join_cgroup(sys.argv[1]); made = tcp(); say(port(made)); wait()", cgroups.make("web.service"))
    told = world.ask(
        """
        import portrange
        mount_point, other, number = sys.argv[1:]
        def unit():
            return [one.unit for one in portrange.who_listens(int(number))]
        new_mounts()
        bind_mount(other, mount_point)
        narrow = [unit(), unit()]
        unmount(mount_point)
        say([*narrow, unit()])
        """,
        cgroups.mount,
        cgroups.make("other"),
        child.hear(),
    )
    assert told == [[None], [None], ["web.service"]]
