"""Directories of cgroup IDs: search, caching and invalidation."""

from __future__ import annotations

import errno
from collections.abc import Collection

import pytest
from fakes import FakeHost

from portrange._backends.linux import cgroup
from portrange._backends.linux.cgroup import Cgroup

MOUNT = "/sys/fs/cgroup"
MOUNTINFO = "/proc/self/mountinfo"


class Tree(FakeHost):
    """A fake cgroup tree: inode numbers by directory; `searched` counts the searches."""

    def __init__(self, numbers: dict[str, int], *, mounted: bool = True) -> None:
        folders = {MOUNT: ["cgroup.controllers"]} if mounted else {}
        self.mountinfo: dict[str, bytes | OSError] = {MOUNTINFO: b""}
        super().__init__(self.mountinfo, folders=folders)
        self.numbers = numbers
        self.searched = 0
        self.denied = False

    def inode(self, path: str) -> int:
        if path not in self.numbers:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return self.numbers[path]

    def find_directories(self, top: str, inodes: Collection[int]) -> dict[int, str]:
        assert top == MOUNT
        self.searched += 1
        if self.denied:
            raise PermissionError(errno.EACCES, "Permission denied")
        return {number: path for path, number in self.numbers.items() if number in inodes}


@pytest.fixture
def tree() -> Tree:
    return Tree({MOUNT: 1, f"{MOUNT}/a": 2, f"{MOUNT}/a/b": 3, f"{MOUNT}/\udcff": 4})


def test_cgroup_is_found_below_the_mount(tree):
    assert cgroup.find(tree, 3) == Cgroup(f"{MOUNT}/a/b", "/a/b")


def test_mount_point_is_the_root_cgroup(tree):
    assert cgroup.find(tree, 1) == Cgroup(MOUNT, "/")
    assert tree.searched == 0


def test_several_cgroups_are_found_in_one_search(tree):
    groups = {2: Cgroup(f"{MOUNT}/a", "/a"), 3: Cgroup(f"{MOUNT}/a/b", "/a/b")}
    assert cgroup.find_all(tree, [2, 3]) == groups
    assert tree.searched == 1
    assert cgroup.find_all(tree, [2, 3, 9]) == {**groups, 9: None}
    assert cgroup.find_all(tree, [2, 3, 9]) == {**groups, 9: None}
    assert tree.searched == 2


def test_several_cgroups_of_an_unreadable_tree_are_unknown(tree):
    tree.denied = True
    assert cgroup.find_all(tree, [2, 3]) == {2: None, 3: None}
    tree.denied = False
    assert None not in cgroup.find_all(tree, [2, 3]).values()


def test_path_that_is_not_utf_8_is_escaped(tree):
    assert cgroup.find(tree, 4) == Cgroup(f"{MOUNT}/\udcff", "/\\xff")


def test_found_cgroup_is_cached(tree):
    assert cgroup.find(tree, 3) == cgroup.find(tree, 3)
    assert tree.searched == 1


def test_cached_cgroup_with_another_inode_is_searched_again(tree):
    cgroup.find(tree, 3)
    tree.numbers = {MOUNT: 1, f"{MOUNT}/a/b": 9, f"{MOUNT}/moved": 3}
    assert cgroup.find(tree, 3) == Cgroup(f"{MOUNT}/moved", "/moved")
    assert tree.searched == 2


def test_removed_cgroup_stays_missing(tree):
    cgroup.find(tree, 3)
    tree.numbers = {MOUNT: 1}
    assert cgroup.find(tree, 3) is None
    tree.numbers[f"{MOUNT}/late"] = 3
    assert cgroup.find(tree, 3) is None, "cgroup IDs are never reused"
    assert tree.searched == 2


def test_missing_cgroup_is_searched_again_when_mounts_change(tree):
    numbers, tree.numbers = tree.numbers, {MOUNT: 2}
    assert cgroup.find(tree, 3) is None
    tree.numbers = numbers
    tree.mountinfo[MOUNTINFO] = b"1 1 0:1 / /elsewhere rw - tmpfs x rw\n"
    assert cgroup.find(tree, 3) == Cgroup(f"{MOUNT}/a/b", "/a/b")


def test_missing_cgroups_are_not_cached_when_mountinfo_is_unreadable(tree):
    tree.mountinfo[MOUNTINFO] = PermissionError(errno.EACCES, "Permission denied")
    numbers, tree.numbers = tree.numbers, {MOUNT: 2}
    assert cgroup.find(tree, 3) is None
    tree.numbers = numbers
    assert cgroup.find(tree, 3) == Cgroup(f"{MOUNT}/a/b", "/a/b")


def test_missing_cgroup_is_searched_once(tree):
    for _ in range(3):
        assert cgroup.find(tree, 99) is None
    assert tree.searched == 1


def test_denied_search_is_not_cached(tree):
    tree.denied = True
    assert cgroup.find(tree, 3) is None
    tree.denied = False
    assert cgroup.find(tree, 3) == Cgroup(f"{MOUNT}/a/b", "/a/b")


def test_result_is_not_cached_without_cgroup2():
    tree = Tree({f"{MOUNT}/a": 2}, mounted=False)
    assert cgroup.find(tree, 2) is None
    tree.folders = {MOUNT: ["cgroup.controllers"]}
    assert cgroup.find(tree, 2) == Cgroup(f"{MOUNT}/a", "/a")


def test_cache_of_found_cgroups_is_bounded(tree):
    tree.numbers |= {f"{MOUNT}/{number}": number for number in range(100, 100 + 4096)}
    for number in range(100, 100 + 4096):
        assert cgroup.find(tree, number) is not None
    assert len(tree.constants.cgroups) == 4096
    assert cgroup.find(tree, 3) is not None
    assert list(tree.constants.cgroups) == [3]


def test_cgroups_are_found_while_another_thread_clears_the_cache(tree):
    class Cleared(dict[int, tuple[str, str]]):
        """The worst moment: another thread clears the cache after any look-up that is not the last one."""

        def __contains__(self, number: object) -> bool:
            found = super().__contains__(number)
            self.clear()
            return found

    tree.constants.cgroups = Cleared({3: (f"{MOUNT}/a/b", "/a/b")})
    assert cgroup.find(tree, 3) == Cgroup(f"{MOUNT}/a/b", "/a/b")


def test_cache_of_missing_cgroups_is_bounded(tree):
    for number in range(100, 100 + 4096):
        assert cgroup.find(tree, number) is None
    assert tree.searched == 4096
    cgroup.find(tree, 100)
    assert tree.searched == 4096
    cgroup.find(tree, 99)
    cgroup.find(tree, 100)
    assert tree.searched == 4098


def test_search_of_several_cgroups_keeps_the_cache_bounded(tree):
    tree.constants.cgroups.update({number: (f"{MOUNT}/{number}", f"/{number}") for number in range(100, 100 + 4095)})
    assert None not in cgroup.find_all(tree, [2, 3]).values()
    assert len(tree.constants.cgroups) <= 4096


def test_one_search_may_fill_the_cache(tree):
    tree.constants.cgroups.update({number: (f"{MOUNT}/{number}", f"/{number}") for number in range(100, 100 + 4094)})
    assert None not in cgroup.find_all(tree, [2, 3]).values()
    assert len(tree.constants.cgroups) == 4096
    assert tree.searched == 1


# --- another procfs ---------------------------------------------------------------------------------------------------

HOST_MOUNTINFO = "/host/proc/1/mountinfo"
HOST_TREE = b"30 1 0:26 /part /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n31 1 0:5 / /dev rw - devtmpfs udev rw\n"


@pytest.fixture
def of_host(tree: Tree) -> Tree:
    """The same tree for a container that reads the procfs of its host, whose process 1 cannot be entered."""
    tree.procfs = "/host/proc"
    tree.mountinfo.clear()
    tree.mountinfo.update({"/host/proc/self/mountinfo": b"", HOST_MOUNTINFO: HOST_TREE})
    return tree


def test_mounts_of_the_host_are_below_the_root_of_its_process_1(of_host):
    assert cgroup.mounts_of_host(of_host) == {"/host/proc/1/root/sys/fs/cgroup": "/part"}
    assert cgroup.mounts(of_host) == [MOUNT]
    of_host.folders = {**of_host.folders, "/host/proc/1/root/sys/fs/cgroup": ["cgroup.controllers"]}
    assert cgroup.mounts(of_host) == ["/host/proc/1/root/sys/fs/cgroup", MOUNT]


def test_own_procfs_and_unreadable_mounts_give_no_mounts_of_the_host(tree, of_host):
    of_host.mountinfo[HOST_MOUNTINFO] = PermissionError(errno.EACCES, "Permission denied")
    assert cgroup.mounts_of_host(of_host) == {}
    tree.procfs = "/proc"
    tree.mountinfo["/proc/1/mountinfo"] = HOST_TREE
    assert cgroup.mounts_of_host(tree) == {}


@pytest.mark.parametrize("path", ["/host/proc/self/mountinfo", HOST_MOUNTINFO])
def test_missing_cgroup_is_searched_again_when_mounts_of_either_process_change(of_host, path):
    assert cgroup.find(of_host, 99) is None
    assert cgroup.find(of_host, 99) is None
    assert of_host.searched == 1
    of_host.mountinfo[path] = b"1 1 0:1 / /elsewhere rw - tmpfs x rw\n"
    assert cgroup.find(of_host, 99) is None
    assert of_host.searched == 2
