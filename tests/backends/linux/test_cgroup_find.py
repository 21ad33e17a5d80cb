"""From the id of a control group to its directory: what is remembered, and when it is not believed any more."""

from __future__ import annotations

import errno

import pytest
from stand_in import StandIn

from portrange._backends.linux import cgroup
from portrange._backends.linux.cgroup import Cgroup

MOUNT = "/sys/fs/cgroup"
MOUNTINFO = "/proc/self/mountinfo"


class Tree(StandIn):
    """Directories below the mount with their numbers; every search is counted."""

    def __init__(self, numbers: dict[str, int], *, mounted: bool = True) -> None:
        folders = {MOUNT: ["cgroup.controllers"]} if mounted else {}
        self.mountinfo: dict[str, bytes | OSError] = {MOUNTINFO: b""}
        super().__init__(self.mountinfo, folders=folders)
        self.numbers = numbers
        self.searched = 0
        self.refuses = False

    def inode(self, path: str) -> int:
        if path not in self.numbers:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return self.numbers[path]

    def find_directory(self, top: str, inode: int) -> str | None:
        assert top == MOUNT
        self.searched += 1
        if self.refuses:
            raise PermissionError(errno.EACCES, "Permission denied")
        return next((path for path, number in self.numbers.items() if number == inode), None)


@pytest.fixture
def tree() -> Tree:
    return Tree({MOUNT: 1, f"{MOUNT}/a": 2, f"{MOUNT}/a/b": 3, f"{MOUNT}/\udcff": 4})


def test_a_group_is_found_below_the_mount(tree):
    assert cgroup.find(tree, 3) == Cgroup(f"{MOUNT}/a/b", "/a/b")


def test_the_mount_itself_is_the_root_of_all_groups(tree):
    assert cgroup.find(tree, 1) == Cgroup(MOUNT, "/")
    assert tree.searched == 0


def test_a_path_that_is_not_text_is_shown_with_escapes(tree):
    assert cgroup.find(tree, 4) == Cgroup(f"{MOUNT}/\udcff", "/\\xff")


def test_what_was_found_is_looked_at_again_but_not_searched_again(tree):
    assert cgroup.find(tree, 3) == cgroup.find(tree, 3)
    assert tree.searched == 1


def test_what_has_another_number_by_now_is_searched_again(tree):
    cgroup.find(tree, 3)
    tree.numbers = {MOUNT: 1, f"{MOUNT}/a/b": 9, f"{MOUNT}/moved": 3}
    assert cgroup.find(tree, 3) == Cgroup(f"{MOUNT}/moved", "/moved")
    assert tree.searched == 2


def test_what_is_gone_is_gone_for_good(tree):
    cgroup.find(tree, 3)
    tree.numbers = {MOUNT: 1}
    assert cgroup.find(tree, 3) is None
    tree.numbers[f"{MOUNT}/late"] = 3
    assert cgroup.find(tree, 3) is None, "ids are never used again"
    assert tree.searched == 2


def test_what_was_out_of_sight_is_searched_again_when_something_else_is_mounted(tree):
    whole, tree.numbers = tree.numbers, {MOUNT: 2}
    assert cgroup.find(tree, 3) is None
    tree.numbers = whole
    tree.mountinfo[MOUNTINFO] = b"1 1 0:1 / /elsewhere rw - tmpfs x rw\n"
    assert cgroup.find(tree, 3) == Cgroup(f"{MOUNT}/a/b", "/a/b")


def test_where_it_is_not_told_what_is_mounted_nothing_is_out_of_sight_for_good(tree):
    tree.mountinfo[MOUNTINFO] = PermissionError(errno.EACCES, "Permission denied")
    whole, tree.numbers = tree.numbers, {MOUNT: 2}
    assert cgroup.find(tree, 3) is None
    tree.numbers = whole
    assert cgroup.find(tree, 3) == Cgroup(f"{MOUNT}/a/b", "/a/b")


def test_what_was_not_found_is_searched_once_and_not_for_every_socket(tree):
    for _ in range(3):
        assert cgroup.find(tree, 99) is None
    assert tree.searched == 1


def test_a_search_that_was_refused_proves_nothing(tree):
    tree.refuses = True
    assert cgroup.find(tree, 3) is None
    tree.refuses = False
    assert cgroup.find(tree, 3) == Cgroup(f"{MOUNT}/a/b", "/a/b")


def test_without_cgroup2_nothing_is_known_and_nothing_remembered():
    tree = Tree({f"{MOUNT}/a": 2}, mounted=False)
    assert cgroup.find(tree, 2) is None
    tree.folders = {MOUNT: ["cgroup.controllers"]}
    assert cgroup.find(tree, 2) == Cgroup(f"{MOUNT}/a", "/a")


def test_only_so_many_are_remembered(tree):
    tree.numbers |= {f"{MOUNT}/{number}": number for number in range(100, 100 + 4096)}
    for number in range(100, 100 + 4096):
        assert cgroup.find(tree, number) is not None
    assert len(tree.proven["cgroups"]) == 4096
    assert cgroup.find(tree, 3) is not None
    assert list(tree.proven["cgroups"]) == [3]


def test_only_so_many_that_are_not_there_are_remembered(tree):
    for number in range(100, 100 + 4096):
        assert cgroup.find(tree, number) is None
    assert tree.searched == 4096
    cgroup.find(tree, 100)
    assert tree.searched == 4096
    cgroup.find(tree, 99)
    cgroup.find(tree, 100)
    assert tree.searched == 4098
