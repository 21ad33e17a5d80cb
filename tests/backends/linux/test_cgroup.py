"""Units and containers in cgroup paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portrange import ParseError
from portrange._backends.linux.cgroup import (
    Cgroup,
    container,
    is_ambiguous,
    is_user_unit,
    parse_memberships,
    parse_unified,
    unit,
)
from portrange._backends.linux.procfs import Mount, parse_mounts

ID = "0123456789abcdef" * 4
POD = "12345678-1234-1234-1234-123456789abc"
UNDERSCORED = POD.replace("-", "_")
TASK = POD.replace("-", "")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", None),
        ("/system.slice", None),
        ("/system.slice/nginx.service", "nginx.service"),
        (r"/system.slice/my\x2dapp.service", "my-app.service"),
        (r"/system.slice/my\x2Dapp.service", "my-app.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-web.service", "app-web.service"),
        ("/system.slice/docker.service/worker", "docker.service"),
        ("/system.slice/_cgroup.service", "cgroup.service"),
        ("/machine.slice/service", None),
        ("/init.scope", None),
        ("/user.slice/user-1000.slice/user@1000.service/init.scope", None),
    ],
)
def test_unit(path, name):
    assert unit(path) == name


@pytest.mark.parametrize(
    "path",
    [
        f"/docker/{ID}",
        f"/system.slice/docker-{ID}.scope",
        f"/machine.slice/libpod-{ID}.scope",
        f"/machine.slice/libpod-{ID}.scope/container",
        f"/libpod_parent/libpod-{ID}",
        f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container",
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDERSCORED}.slice/cri-containerd-{ID}.scope",
        f"/kubepods.slice/kubepods-pod{UNDERSCORED}.slice/crio-{ID}.scope",
        f"/kubepods/besteffort/pod{POD}/{ID}",
        f"/kubepods.slice/kubepods-pod{UNDERSCORED}.slice/{ID}",
        f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UNDERSCORED}.slice/{ID}",
        f"/default/{ID}",
        f"/k8s.io/{ID}",
        f"/user.slice/user-1000.slice/user@1000.service/app.slice/web.service/libpod-payload-{ID}",
        f"/system.slice/containerd.service/kubepods-besteffort-pod{UNDERSCORED}.slice:cri-containerd:{ID}",
        f"/system.slice/kubepods-pod{UNDERSCORED}.slice:crio:{ID}",
        f"/system.slice/system.slice:docker:{ID}",
        f"/user.slice/user-1000.slice/user@1000.service/user.slice/nerdctl-{ID}.scope",
        f"/ecs/{POD}/{ID}",
        f"/ecs/{TASK}/{ID}",
        f"/ecs/a-cluster/{TASK}/{ID}",
        f"/ecs/a-cluster/{TASK}/{ID}/init",
        f"/outer/ecs/{TASK}/{ID}",
        f"/outer/ecs/a-cluster/{TASK}/{ID}",
        f"/ecstasks.slice/ecstasks-{TASK}.slice/docker-{ID}.scope",
    ],
)
def test_container_of_known_engines(path):
    assert container(path) == ID


@pytest.mark.parametrize(
    ("path", "name"), [("/lxc.payload.web", "web"), ("/lxc/web", "web"), ("/lxc.payload.web/init.scope", "web")]
)
def test_container_of_lxc_is_its_name(path, name):
    assert container(path) == name


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/system.slice/docker.service",
        "/system.slice/docker-cleanup.service",
        f"/home/{ID}",
        f"/docker/{ID[:-1]}",
        f"/docker/{ID.upper()}",
        f"/system.slice/docker-{ID}.service",
        f"/system.slice/mydocker-{ID}.scope",
        "/user.slice/not-a-docker-container.scope",
        f"/libpod-payload-{ID}.scope",
        f"/my-libpod-payload-{ID}",
        f"/libpod-payload-{ID[:-1]}",
        f"/system.slice/kubepods.slice:other:{ID}",
        f"/system.slice/kubepods.slice:docker:{ID[:-1]}",
        f"/system.slice/:docker:{ID}",
        f"/user.slice/a:b.slice:docker:{ID}",
        f"/user.slice/nerdctl-{ID}",
        f"/user.slice/nerdctl-{ID}.service",
        f"/ecs/{ID}",
        f"/ecs/a-cluster/{ID}",
        f"/ecs/{TASK[:-1]}/{ID}",
        f"/ecs/a/b/{TASK}/{ID}",
        f"/myecs/{TASK}/{ID}",
        f"/{TASK}/{ID}",
        f"/mydocker/{ID}",
        f"/{ID}",
        f"/ecs/{TASK[:4]}-{TASK[4:]}/{ID}",
        f"/ecs/{'g' * 32}/{ID}",
        f"/kubepods/pod{POD[:-1]}/{ID}",
        f"/kubepods/podg{POD[1:]}/{ID}",
        f"/kubepods.slice/kubepods-pod{UNDERSCORED[:-1]}.slice/{ID}",
        f"/kubepods.slice/kubepods-podg{UNDERSCORED[1:]}.slice/{ID}",
        f"/kubepods.slice/kubepods-burstable.slice/{ID}",
        f"/kubepods.slice/a-pod{UNDERSCORED}.slice/{ID}",
    ],
)
def test_container_is_none_for_similar_paths(path):
    assert container(path) is None


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/\n", "/"),
        ("0::/a:b/c\n", "/a:b/c"),
        (f"3:cpu,cpuacct:/a\n1:name=systemd:/docker/{ID}\n0::/\n", f"/docker/{ID}"),
        ("1:name=systemd:/a\n", "/a"),
        # systemd's hierarchy of version 1 exists, but nothing uses it.
        ("9:name=systemd:/\n0::/system.slice/ssh.service\n", "/system.slice/ssh.service"),
        ("9:name=systemd:/\n8:pids:/a\n0::/\n", "/"),
        ("8:pids:/a\n0::/system.slice/ssh.service\n", "/system.slice/ssh.service"),
        ("2:cpu:/docker/x\n1:name=openrc:/docker\n0::/\n", None),
        ("2:cpu:/a\n", None),
        ("", None),
    ],
)
def test_parse_memberships_prefers_the_systemd_hierarchy(text, path):
    assert parse_memberships(text, "file") == path


def test_parse_memberships_can_ignore_cgroup2_beside_systemds_hierarchy():
    assert parse_memberships("9:name=systemd:/\n0::/a\n", "file", unified=False) == "/"
    assert parse_memberships("9:name=systemd:/b\n0::/a\n", "file", unified=False) == "/b"
    assert parse_memberships("0::/a\n", "file", unified=False) == "/a"


def test_parse_unified_returns_the_group_in_cgroup2():
    assert parse_unified("1:name=systemd:/a\n0::/b\n", "file") == "/b"
    assert parse_unified("1:name=systemd:/a\n", "file") is None
    with pytest.raises(ParseError, match=r"^file: "):
        parse_unified("x", "file")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/user.slice/user-7.slice/user@7.service/app.slice/web.service", True),
        ("/user.slice/user-7.slice/user@7.service/session.slice/dbus.socket", True),
        ("/user.slice/user-7.slice/user@7.service/init.scope", False),
        ("/user.slice/user-7.slice/user@7.service", False),
        ("/user.slice/user-7.slice/session-3.scope", False),
        ("/system.slice/user@7.service.d/web.service", False),
        ("/system.slice/web.service", False),
        ("/", False),
    ],
)
def test_is_user_unit(path, expected):
    assert is_user_unit(path) is expected


@pytest.mark.parametrize("text", ["x", "0:/\n", "0::/\n\x85\n"])
def test_parse_memberships_rejects_invalid_text(text):
    with pytest.raises(ParseError, match=r"^file: expected a number, names and a path in each line, found "):
        parse_memberships(text, "file")


def test_root_of_unified_hierarchy_says_nothing_in_hybrid_mode():
    assert is_ambiguous(Cgroup("/sys/fs/cgroup/unified", "/"))
    assert not is_ambiguous(Cgroup("/sys/fs/cgroup/unified/a", "/a"))
    assert not is_ambiguous(Cgroup("/sys/fs/cgroup", "/"))


def test_parse_mounts():
    text = (
        "31 23 0:28 / /sys/fs/cgroup rw shared:1 - tmpfs tmpfs rw,mode=755\n"
        "41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw,relatime - cgroup2 cgroup2 rw\n"
    )
    assert parse_mounts(text, "mountinfo") == [
        Mount("/sys/fs/cgroup", "tmpfs", ("rw", "mode=755")),
        Mount("/sys/fs/cgroup/uni fied", "cgroup2", ("rw",)),
    ]


def test_parse_mounts_rejects_invalid_text():
    with pytest.raises(ParseError, match=r"^mountinfo"):
        parse_mounts("31 23 0:28 / /sys/fs/cgroup rw\n", "mountinfo")


@given(st.text())
def test_arbitrary_text_gives_a_value_or_a_parse_error(text):
    unit(text)
    container(text)
    try:
        parse_mounts(text, "mountinfo")
    except ParseError:
        pass


@pytest.mark.parametrize("separator", ["\r", "\v", "\f", "\x1c", "\x85", "\u2028"])
def test_parse_mounts_accepts_line_separators_in_names(separator):
    """Otherwise a FUSE mount of an unprivileged user would make the table unreadable for all users."""
    line = f"42 35 0:39 / /home/me/a{separator}b rw - fuse.x x{separator}y rw\n"
    assert parse_mounts(line, "file") == [Mount(f"/home/me/a{separator}b", "fuse.x", ("rw",))]


def test_parse_mounts_reads_the_namespace_of_nsfs_mounts():
    text = "88 60 0:4 net:[4026532316] /run/netns/blue\\040sky rw shared:5 - nsfs nsfs rw\n"
    assert parse_mounts(text, "file") == [Mount("/run/netns/blue sky", "nsfs", ("rw",), "net:[4026532316]")]


def test_unit_shows_invalid_utf_8_as_escapes():
    assert unit(r"/a\xff\xc3.service") == r"a\xff\xc3.service"


@pytest.mark.parametrize("name", ["web ", " web", "X", "XX"])
def test_container_of_lxc_can_have_any_name(name):
    assert container(f"/lxc/{name}") == name
    assert container(f"/lxc/{name}/") == name


def test_parse_mounts_splits_fields_at_single_spaces():
    assert parse_mounts("1 1 0:1 /  rw - a b c", "file") == [Mount("", "a", ("c",))]
    assert parse_mounts("1 1 0:1 / /x rw - a", "file") == [Mount("/x", "a", ())]
    assert parse_mounts("1 1 0:1 / /x rw - a b - c", "file") == [Mount("/x", "a", ("c",))]
