"""Settings of recorded Linux hosts, including variants such as WSL, Android and gVisor."""

from __future__ import annotations

import pytest
from recorded import RecordedHost

from portrange import ParseError, PortrangeError, Span, classify, ephemeral_range, who_listens

FILE = "/proc/sys/net/ipv4/ip_local_port_range"


@pytest.mark.parametrize(
    ("name", "first", "last", "source", "assumed"),
    [
        ("linux-6.18", 32768, 60999, FILE, False),
        ("linux-6.18-reserved", 1500, 40000, FILE, False),
        ("linux-3.10-old", 32768, 61000, FILE, False),
        ("linux-6.18-no-reserved", 32768, 60999, FILE, True),
        ("linux-6.18-denied", 32768, 60999, "documented default", True),
        ("linux-5.10-android", 32768, 60999, "documented default", True),
        ("linux-4.4-gvisor", 16000, 65535, FILE, False),
        ("linux-5.15-wsl2-mirrored", 44620, 48715, FILE, False),
        # WSL 1 uses the sockets of Windows.
        ("linux-4.4-wsl1", 49152, 65535, "documented default", True),
    ],
)
def test_ephemeral_range(name, first, last, source, assumed):
    ephemeral = ephemeral_range(host=RecordedHost(name))
    assert (ephemeral.first, ephemeral.last, ephemeral.source, ephemeral.assumed) == (first, last, source, assumed)


def test_excluded_ports_are_unknown_on_wsl_1():
    info = classify(50000, host=RecordedHost("linux-4.4-wsl1"))
    assert info.excluded is None
    assert any(reason.startswith("WSL 1: Windows owns its sockets") for reason in info.settings.incomplete)
    assert classify(50000, host=RecordedHost("linux-5.15-wsl2-mirrored")).excluded is False


def test_kernel_release_is_read_once():
    class Counting(RecordedHost):
        read_releases = 0

        def read(self, path):
            self.read_releases += path.endswith("/osrelease")
            return super().read(path)

    host = Counting("linux-6.18")
    assert [classify(port, host=host).excluded for port in (1, 2, 3)] == [False] * 3
    assert host.read_releases == 1


@pytest.mark.parametrize(
    ("release", "excluded"),
    [(b"4.4.0-\xff-Microsoft\n", None), (b"5.15-microsoft-standard-WSL2\n", False), (b"", False)],
)
def test_wsl_1_is_recognised_by_its_release_suffix(release, excluded):
    class Released(RecordedHost):
        def read(self, path):
            return release if path.endswith("/osrelease") else super().read(path)

    assert classify(50000, host=Released("linux-6.18")).excluded is excluded


def test_excluded_ports_are_unknown_when_osrelease_is_unreadable():
    class Unreleased(RecordedHost):
        def read(self, path):
            if path.endswith("/osrelease"):
                raise PermissionError(13, "Permission denied", path)
            return super().read(path)

    info = classify(50000, host=Unreleased("linux-6.18"))
    assert (info.ephemeral, info.excluded) == (True, None)
    [reason] = info.settings.incomplete
    assert reason == (
        "/proc/sys/kernel/osrelease: cannot be read, so this may be WSL 1, where Windows excludes ports; "
        "allow reading it"
    )


def test_reserved_ports_are_not_ephemeral():
    host = RecordedHost("linux-6.18-reserved")
    ephemeral = ephemeral_range(host=host)
    assert ephemeral.reserved == (Span(8080, 8080), Span(9148, 9150), Span(33000, 33009))
    assert len(ephemeral) == 38501 - 14
    info = classify(8080, host=host)
    assert (info.ephemeral, info.reserved, info.privileged) == (False, True, False)
    assert classify(79, host=host).privileged is True


def test_privileged_ports_are_unknown_on_old_kernels():
    info = classify(80, host=RecordedHost("linux-3.10-old"))
    assert info.privileged is None
    assert len(info.settings.incomplete) == 1
    assert "ip_unprivileged_port_start" in info.settings.incomplete[0]


def test_parse_error_names_garbled_file():
    host = RecordedHost("linux-6.18-garbled")
    with pytest.raises(ParseError) as caught:
        ephemeral_range(host=host)
    assert caught.value.source == FILE
    settings = classify(80, host=host).settings
    assert (settings.pools, settings.reserved, settings.privileged) == (None, None, None)
    assert len(settings.incomplete) == 3


@pytest.mark.parametrize("name", ["linux-4.4-wsl1", "linux-5.10-android"])
def test_who_listens_raises_when_sockets_cannot_be_listed(name):
    with pytest.raises(PortrangeError):
        who_listens(8080, host=RecordedHost(name))
